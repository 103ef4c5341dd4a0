"""``tasktrack shutdown``: end workers in an orderly way, wherever they are."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Sequence
from datetime import timedelta

from ...conf import config
from ...models import Worker
from ...overview.fleet import Member, fleet
from ...registration import ask_to_end
from ...vendors import Vendor, task_database, vendor_for
from ...words import span
from . import arguments, selection
from .blocks import Column, Table, Word
from .console import Console
from .verb import DONE, NO, Nothing, Options, Verb

_COLUMNS = (Column("id", right=True), Column("worker", gives=True), Column("answer"))
_TONES = {"asked": "active", "stopped": "good", "lost": "bad", "gone": "warn"}


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "workers", nargs="*", metavar="WORKER", help="names or numbers; without, all that live"
    )
    parser.add_argument(
        "--wait",
        nargs="?",
        type=arguments.duration("s"),
        const=0.0,
        metavar="60s",
        help="until they have stopped; by default for a heartbeat, GRACE and ten seconds",
    )
    arguments.add_yes(parser)


def _run(options: Options, console: Console) -> int:
    vendor = vendor_for(task_database())
    meant = _meant(vendor, options["workers"])
    if not meant:
        raise Nothing("No worker counts as alive.")
    names = ", ".join(member.row.name for member in meant[:5]) + (", ..." if len(meant) > 5 else "")
    asks = not options["workers"] and not options["yes"]
    if asks and not console.confirm(f"End all {len(meant)} workers ({names})?"):
        return NO
    asked = ask_to_end(vendor, [member.row.pk for member in meant])
    answers = {m.row.pk: "asked" if m.row.pk in asked else "gone" for m in meant}
    if options["wait"] is not None:
        answers |= _ends(vendor, asked, options["wait"] or _patience(), console)
    _tell(meant, answers, console)
    if options["wait"] is None:
        return DONE if set(answers.values()) == {"asked"} else NO
    return DONE if set(answers.values()) <= {"stopped", "gone"} else NO


def _meant(vendor: Vendor, names: Sequence[str]) -> list[Member]:
    """The living workers that were named; all, if none was.

    Raises:
        Nothing: one of the names is no living worker's.
    """
    living = fleet(vendor, vendor.now())
    if not names:
        return living
    meant: dict[int, Member] = {}
    for name in names:
        numbers = set(selection.worker_ids(vendor, name))
        found = {member.row.pk: member for member in living if member.row.pk in numbers}
        if not found:
            raise Nothing(f"{name} does not live any more.", hint="manage.py tasktrack workers")
        meant |= found
    return list(meant.values())


def _patience() -> float:
    """What a worker needs at most: it hears of it at a sign of life, and lets its tasks end."""
    return config().HEARTBEAT + config().GRACE + 10.0


def _ends(
    vendor: Vendor, asked: Sequence[int], patience: float, console: Console
) -> dict[int, str]:
    """What has become of those that were asked, as soon as all have ended."""
    deadline = time.monotonic() + patience
    while True:
        rows = Worker.objects.using(vendor.using).filter(pk__in=asked)
        answers = {row.pk: "asked" if row.is_alive else row.condition for row in rows}
        if "asked" not in answers.values():
            return answers
        if time.monotonic() > deadline:
            console.say(f"Not all have stopped after {span(timedelta(seconds=patience))}.")
            return answers
        console.sleep(0.2)


def _tell(meant: Sequence[Member], answers: dict[int, str], console: Console) -> None:
    document = [{"id": m.row.pk, "worker": m.row.name, "answer": answers[m.row.pk]} for m in meant]
    rows = [
        (str(m.row.pk), m.row.name, Word(answers[m.row.pk], _TONES[answers[m.row.pk]]))
        for m in meant
    ]
    console.give(document, Table(_COLUMNS, rows))


VERB = Verb("shutdown", "end workers in an orderly way", _arguments, _run)
