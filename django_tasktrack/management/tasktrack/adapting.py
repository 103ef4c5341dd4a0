"""What ``tasktrack pool`` and ``tasktrack queues`` share: one worker is asked to change, and may be waited for."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import timedelta

from ...adaptation import Wish, ask_to_change
from ...conf import config
from ...exceptions import InvalidTask
from ...models import Worker
from ...overview.fleet import Member, fleet
from ...vendors import Vendor, task_database, vendor_for
from ...words import span
from . import arguments, documents, selection
from .blocks import Column, Table, Word
from .console import Console
from .verb import DONE, NO, Nothing, Options

_COLUMNS = (
    Column("id", right=True),
    Column("worker", gives=True),
    Column("before", gives=True),
    Column("wanted", gives=True),
    Column("answer"),
)
_TONES = {"asked": "active", "done": "good", "unchanged": "quiet", "gone": "warn"}
#: Beyond a heartbeat, a worker needs no more seconds than these to do what it is asked for.
_PROMPT = 5.0


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("worker", metavar="WORKER", help="its name or number")
    parser.add_argument(
        "--wait",
        nargs="?",
        type=arguments.duration("s"),
        const=0.0,
        metavar="60s",
        help="until it has done so; by default for a heartbeat and five seconds",
    )


def ask(
    options: Options,
    console: Console,
    decide: Callable[[Worker, Wish], Wish],
    shown: Callable[[Wish], str],
) -> int:
    """Ask the worker, and tell what it answers.

    Args:
        options: of the command line.
        console: to write to.
        decide: from the worker and what it is, or is to become, what it shall become; may refuse by raising.
        shown: what of a wish the table shows.
    """
    vendor = vendor_for(task_database())
    member = _meant(vendor, options["worker"])
    asked = ask_to_change(vendor, member.row.pk, lambda before: decide(member.row, before))
    if asked is None:
        raise Nothing(f"{member.row.name} has just ended.", hint="manage.py tasktrack workers")
    before, wanted = asked
    answer = "unchanged" if wanted == before and not member.row.is_asked_to_change else "asked"
    if answer == "asked" and options["wait"] is not None:
        answer = _answer(vendor, member, wanted, options["wait"] or _patience(), console)
    elif answer == "asked" and not member.lives:
        console.say(f"{member.row.name} has given no sign of life for {span(member.silence)}.")
    _tell(console, member, asked, shown, answer)
    waited = options["wait"] is not None
    return DONE if answer in ({"done", "unchanged"} if waited else {"asked", "unchanged"}) else NO


def _meant(vendor: Vendor, name: str) -> Member:
    """The one living worker that was named.

    Raises:
        Nothing: it does not live, or is about to end.
        InvalidTask: there are several.
    """
    numbers = set(selection.worker_ids(vendor, name))
    found = [member for member in fleet(vendor, vendor.now()) if member.row.pk in numbers]
    if not found:
        raise Nothing(f"{name} does not live any more.", hint="manage.py tasktrack workers")
    if len(found) > 1:
        which = ", ".join(f"{m.row.pk} ({m.row.pid} on {m.row.host})" for m in found)
        raise InvalidTask(
            f"{len(found)} workers are called {name}: {which}.", hint="Give a number."
        )
    (member,) = found
    if member.row.shutdown_requested_at:
        raise Nothing(f"{name} was asked to end, and changes no more.")
    return member


def _patience() -> float:
    return config().HEARTBEAT + _PROMPT


def _answer(vendor: Vendor, member: Member, wanted: Wish, patience: float, console: Console) -> str:
    """What has come of it, as soon as that can be told."""
    deadline = time.monotonic() + patience
    while True:
        row = Worker.objects.using(vendor.using).get(pk=member.row.pk)
        if row.requests_met >= wanted.number:
            return "done"
        if not row.is_alive:
            return "gone"
        if time.monotonic() > deadline:
            waited = span(timedelta(seconds=patience))
            console.say(f"{row.name} has not done so after {waited}; the request stands.")
            return "asked"
        console.sleep(0.1)


def _tell(
    console: Console,
    member: Member,
    asked: tuple[Wish, Wish],
    shown: Callable[[Wish], str],
    answer: str,
) -> None:
    row, (before, wanted) = member.row, asked
    document = {
        "id": row.pk,
        "worker": row.name,
        "before": documents.wish(before),
        "wanted": documents.wish(wanted),
        "answer": answer,
    }
    cells = (str(row.pk), row.name, shown(before), shown(wanted), Word(answer, _TONES[answer]))
    console.give(document, Table(_COLUMNS, [cells]))
