"""``tasktrack purge``: delete finished tasks whose retention is over."""

from __future__ import annotations

from argparse import ArgumentParser

from ...purge import Purged, purge
from . import arguments
from .blocks import Line, line
from .console import Console
from .verb import DONE, Options, Verb


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--older-than",
        type=arguments.duration("d"),
        metavar="7d",
        help="time since their end, instead of the settings' (units s m h d w)",
    )
    parser.add_argument("--dry-run", action="store_true", help="count only")


def _run(options: Options, console: Console) -> int:
    purged = purge(older_than=options["older_than"], dry_run=options["dry_run"])
    document = {item.state: item.tasks for item in purged}
    console.give(
        document, *_lines(purged, options["dry_run"]), line("Goals and their attempts stay.")
    )
    return DONE


def _lines(purged: list[Purged], dry_run: bool) -> list[Line]:
    verb = "Would delete" if dry_run else "Deleted"
    return [
        line(
            f"{verb} {item.tasks:,} {item.state} tasks that ended before {item.before:%Y-%m-%d %H:%M}."
        )
        for item in purged
    ]


VERB = Verb("purge", "delete finished tasks whose retention is over", _arguments, _run)
