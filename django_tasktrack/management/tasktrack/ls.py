"""``tasktrack ls``: the newest tasks that some filters fit."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence

from ...models import TrackedTask
from ...querysets import TaskQuerySet
from ...vendors import task_database, vendor_for
from . import arguments, documents, selection
from .blocks import line
from .console import Console
from .tables import task_table
from .verb import DONE, NO, Options, Verb

_LIMIT = 50


def _arguments(parser: ArgumentParser) -> None:
    selection.add_filters(parser, states=True)
    add_limit(parser)


def add_limit(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--limit", type=arguments.count, default=_LIMIT, metavar="N", help=f"default: {_LIMIT}"
    )


def _run(options: Options, console: Console) -> int:
    vendor = vendor_for(task_database())
    tasks = light(selection.chosen(vendor, options))
    found = selection.newest(tasks, options["state"], options["limit"] + 1)
    if not found:
        console.say(f"No task fits. {selection.why_nothing(vendor, options)}".strip())
    return listed(found, options["limit"], console)


def light(tasks: TaskQuerySet) -> TaskQuerySet:
    """What a list shows of tasks, and no more."""
    rows = tasks.select_related("worker", "progress")
    return rows.defer(*documents.HEAVY, "progress__meta", "worker__known_tasks", "worker__queues")


def listed(found: Sequence[TrackedTask], limit: int, console: Console) -> int:
    """Show tasks, ``limit`` of them; whether there are any is the answer."""
    now = vendor_for(task_database()).now()
    shown = found[:limit]
    blocks = [task_table(shown, now)] if shown else []
    console.give([documents.task_row(task) for task in shown], *blocks)
    if len(found) > limit:
        console.show(line(f"There are more: --limit {limit * 10}"))
    return DONE if shown else NO


VERB = Verb("ls", "list tasks, the newest first", _arguments, _run)
