"""``tasktrack purge``: what retention asks for, at once: empty values of results, delete finished tasks."""

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
        help="delete what ended so long ago, whatever settings and tasks say (units s m h d w)",
    )
    parser.add_argument("--dry-run", action="store_true", help="count only")


def _run(options: Options, console: Console) -> int:
    purged = purge(older_than=options["older_than"], dry_run=options["dry_run"])
    document = {item.state: {"deleted": item.tasks, "emptied": item.values} for item in purged}
    console.give(
        document, *_lines(purged, options["dry_run"]), line("Goals and their attempts stay.")
    )
    return DONE


def _lines(purged: list[Purged], dry_run: bool) -> list[Line]:
    delete, empty = ("Would delete", "would empty") if dry_run else ("Deleted", "emptied")
    return [
        line(f"{delete} {item.tasks:,} {item.state} tasks, {empty} {item.values:,} values.")
        for item in purged
    ]


VERB = Verb("purge", "do now what retention asks for: empty values, delete tasks", _arguments, _run)
