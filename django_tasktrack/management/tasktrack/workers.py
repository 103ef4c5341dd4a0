"""``tasktrack workers`` and ``tasktrack ping``: who works."""

from __future__ import annotations

from argparse import ArgumentParser

from ...overview.fleet import fleet
from ...vendors import task_database, vendor_for
from ...words import span
from . import documents
from .blocks import Word, line, toned
from .console import Console
from .tables import worker_table
from .verb import DONE, NO, Options, Verb, no_arguments

_NOBODY = "No worker lives. Start one: manage.py worker"


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--all", action="store_true", help="with the latest that have stopped or were lost"
    )


def _run(options: Options, console: Console) -> int:
    vendor = vendor_for(task_database())
    now = vendor.now()
    found = fleet(vendor, now, gone=options["all"])
    blocks = [worker_table(found, now)] if found else []
    console.give([documents.worker(member) for member in found], *blocks)
    if not any(member.lives for member in found):
        console.say(_NOBODY)
    return DONE if found else NO


def _ping(options: Options, console: Console) -> int:
    vendor = vendor_for(task_database())
    found = fleet(vendor, vendor.now())
    living = [member for member in found if member.lives]
    lines = [
        line(
            toned("alive" if member.lives else "lost", "pong" if member.lives else "silent"),
            member.row.name,
            Word(f"a sign of life {span(member.silence)} ago", "quiet"),
        )
        for member in found
    ]
    console.give([documents.worker(member) for member in living], *lines)
    if not living:
        console.say(_NOBODY)
    return DONE if living else NO


VERB = Verb("workers", "the workers, and what they have in hand", _arguments, _run)
PING = Verb("ping", "which workers live; fails if none does", no_arguments, _ping)
