"""``tasktrack inspect``: what workers hold and know, in Celery's words, from the table."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable

from ...models import TrackedTask
from ...overview.fleet import fleet
from ...querysets import TaskQuerySet
from ...states import WAITING, Stage, State
from ...vendors import Vendor, task_database, vendor_for
from .blocks import Heading, Line, Word, line
from .console import Console
from .ls import add_limit, light, listed
from .verb import DONE, NO, Options, Verb


def _active(tasks: TaskQuerySet) -> TaskQuerySet:
    return tasks.in_state(State.STARTED).order_by("started_at")


def _scheduled(tasks: TaskQuerySet) -> TaskQuerySet:
    return tasks.filter(stage=Stage.SCHEDULED).order_by("run_after")


def _reserved(tasks: TaskQuerySet) -> TaskQuerySet:
    """Claimed, and not begun as far as the table says."""
    return tasks.filter(stage=Stage.CLAIMED, state__in=WAITING).order_by("pk")


def _revoked(tasks: TaskQuerySet) -> TaskQuerySet:
    return tasks.in_state(State.REVOKED).order_by("-finished_at")


_LISTS: dict[str, Callable[[TaskQuerySet], TaskQuerySet]] = {
    "active": _active,
    "scheduled": _scheduled,
    "reserved": _reserved,
    "revoked": _revoked,
}


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "what",
        choices=[*_LISTS, "registered"],
        help="active: running; scheduled: due later; reserved: claimed, not begun; revoked: the latest; "
        "registered: the tasks that living workers know",
    )
    add_limit(parser)


def _run(options: Options, console: Console) -> int:
    vendor = vendor_for(task_database())
    if options["what"] == "registered":
        return _registered(vendor, console)
    tasks = _LISTS[options["what"]](TrackedTask.objects.using(vendor.using).all())
    found = list(light(tasks)[: options["limit"] + 1])
    if not found:
        console.say(f"No task is {options['what']}.")
    return listed(found, options["limit"], console)


def _registered(vendor: Vendor, console: Console) -> int:
    living = [member for member in fleet(vendor, vendor.now()) if member.lives]
    document = [
        {"worker": member.row.name, "id": member.row.pk, "tasks": member.row.known_tasks}
        for member in living
    ]
    blocks: list[Heading | Line] = []
    for member in living:
        version = Word(f"version {member.row.version}", "quiet")
        blocks += [Heading(member.row.name), line(version)]
        blocks += [line(name, indent=2) for name in member.row.known_tasks]
    console.give(document, *blocks)
    if not living:
        console.say("No worker lives.")
    return DONE if living else NO


VERB = Verb("inspect", "what workers run, hold and know", _arguments, _run)
