"""``tasktrack stats``: queues, workers and what has ended lately, at a glance."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ...exceptions import InvalidTask
from ...overview.fleet import Member, fleet
from ...overview.lately import Lately, Spread, lately
from ...overview.queues import QueueFigures, queue_figures
from ...states import FINAL, State
from ...vendors import Vendor, task_database, vendor_for
from ...words import brief, clock, period, span
from . import arguments, documents
from .blocks import Block, Cell, Column, Heading, Table, Word, line, toned
from .console import Console
from .tables import worker_table
from .verb import DONE, Options, Verb

_WINDOW, _INTERVAL = 3600.0, 2.0


@dataclass(frozen=True, slots=True)
class Picture:
    """All of it at one moment of the database's clock."""

    now: datetime
    queues: list[QueueFigures]
    workers: list[Member]
    lately: Lately


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--watch",
        nargs="?",
        type=arguments.duration("s"),
        const=_INTERVAL,
        metavar="SECONDS",
        help=f"show it again and again, until Ctrl-C; every {_INTERVAL:g} s",
    )
    parser.add_argument(
        "--last",
        type=arguments.duration("s"),
        default=_WINDOW,
        metavar="15m",
        help="what ended in so long a time; default: 1h",
    )


def _run(options: Options, console: Console) -> int:
    vendor, window = vendor_for(task_database()), timedelta(seconds=options["last"])
    if options["watch"] is None:
        picture = take(vendor, window)
        console.give(document(picture), *blocks(picture, window))
        return DONE
    if console.as_json:
        raise InvalidTask("--watch is for people.", hint="Ask for --json again when you need it.")
    _watch(vendor, window, max(0.2, options["watch"]), console)
    return DONE


def _watch(vendor: Vendor, window: timedelta, interval: float, console: Console) -> None:
    with console.drawing(whole=True) as draw:
        try:
            while True:
                picture = take(vendor, window)
                draw([line(Word(clock(picture.now), "quiet")), *blocks(picture, window)])
                console.sleep(interval)
        except KeyboardInterrupt:
            return


def take(vendor: Vendor, window: timedelta) -> Picture:
    """The picture of this moment, and of the window before it."""
    now = vendor.now()
    return Picture(
        now, queue_figures(vendor, now), fleet(vendor, now), lately(vendor, now - window)
    )


# For people

_QUEUES = (
    Column("queue", gives=True),
    Column("due", right=True),
    Column("oldest", right=True),
    Column("claimed", right=True),
    Column("scheduled", right=True),
    Column("gated", right=True),
    Column("held", right=True),
    Column(""),
)
_SPREADS = (
    Column("of the successes"),
    Column("mean", right=True),
    Column("median", right=True),
    Column("95%", right=True),
    Column("longest", right=True),
)


def blocks(picture: Picture, window: timedelta) -> Iterator[Block]:
    """The picture as blocks."""
    yield Heading("Queues")
    yield _queues(picture) if picture.queues else line("Nothing waits and nothing runs.")
    yield Heading("Workers")
    if picture.workers:
        yield worker_table(picture.workers, picture.now)
    else:
        yield line(Word("No worker lives.", "bad"), "Start one: manage.py worker")
    yield Heading(f"Ended in the last {period(window)}")
    yield from _ended(picture.lately, window)


def _queues(picture: Picture) -> Table:
    return Table(
        _QUEUES,
        [
            (
                queue.name,
                _count(queue, "due"),
                "" if queue.waited is None else brief(queue.waited),
                _count(queue, "claimed"),
                _count(queue, "scheduled"),
                _count(queue, "gated"),
                _held(queue),
                _paused(queue),
            )
            for queue in picture.queues
        ],
    )


def _count(queue: QueueFigures, what: str) -> str:
    count = getattr(queue, what)
    return f"{count:,}{'+' if what in queue.at_least else ''}" if count else ""


def _held(queue: QueueFigures) -> Cell:
    return Word(_count(queue, "held"), "bad")


def _paused(queue: QueueFigures) -> Cell:
    if queue.paused_at is None:
        return ""
    by = f" by {queue.paused_by}" if queue.paused_by else ""
    return Word(f"paused {clock(queue.paused_at)}{by}", "warn")


def _ended(lately: Lately, window: timedelta) -> Iterator[Block]:
    counts = [(state, lately.ended[state]) for state in State if state in FINAL]
    words = [
        toned(state, f"{count:,}{'+' if state in lately.at_least else ''} {state}")
        for state, count in counts
        if count
    ]
    if not words:
        yield line("Nothing.")
        return
    per_second = sum(count for _, count in counts) / max(window.total_seconds(), 1e-9)
    share = lately.failed_share
    failed = f"{100 * share:.1f}% failed" if share else ""
    yield line(*words, Word(" · ".join(filter(None, [_rate(per_second), failed])), "quiet"))
    rows = [_spread(name, spread) for name, spread in _spreads(lately) if spread]
    if rows:
        yield line()
        yield Table(_SPREADS, rows)


def _spreads(lately: Lately) -> list[tuple[str, Spread | None]]:
    return [
        (f"waited (latest {lately.sampled:,})", lately.waited),
        (f"ran (latest {lately.sampled:,})", lately.ran),
    ]


def _spread(name: str, spread: Spread) -> list[Cell]:
    lengths = (spread.mean, spread.median, spread.p95, spread.longest)
    return [name, *(span(length) for length in lengths)]


def _rate(per_second: float) -> str:
    for unit, seconds in (("s", 1), ("min", 60), ("h", 3600)):
        if per_second * seconds >= 1:
            return f"{per_second * seconds:,.1f} per {unit}"
    return f"{per_second * 86400:,.1f} per day"


# For programs


def document(picture: Picture) -> dict[str, Any]:
    """The picture as JSON values; lengths are in seconds."""
    ended = picture.lately
    return {
        "at": picture.now,
        "queues": [
            {
                "queue": queue.name,
                "due": queue.due,
                "claimed": queue.claimed,
                "scheduled": queue.scheduled,
                "gated": queue.gated,
                "held": queue.held,
                "paused_at": queue.paused_at,
                "paused_by": queue.paused_by or None,
                "oldest_due": documents.seconds(queue.waited),
                "at_least": sorted(queue.at_least),
            }
            for queue in picture.queues
        ],
        "workers": [documents.worker(member) for member in picture.workers],
        "ended": {
            "since": ended.since,
            "counts": dict(ended.ended),
            "at_least": sorted(ended.at_least),
            "failed_share": ended.failed_share,
            "sampled": ended.sampled,
            "waited": _spread_document(ended.waited),
            "ran": _spread_document(ended.ran),
        },
    }


def _spread_document(spread: Spread | None) -> dict[str, float | None] | None:
    if spread is None:
        return None
    names = ("mean", "median", "p95", "longest")
    return {name: documents.seconds(getattr(spread, name)) for name in names}


VERB = Verb("stats", "queues, workers and what ended lately", _arguments, _run)
