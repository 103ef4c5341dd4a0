"""``manage.py tasktrack``: operate tasks from the terminal."""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand

from ...purge import Purged, purge
from ..trouble import told_cleanly

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def duration(text: str) -> float:
    """Seconds in words like ``90s``, ``12h``, ``7d``; a bare number counts days."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw]?)", text.strip())
    if not match:
        raise ArgumentTypeError(f"{text!r} is no duration; write for example 12h or 7d")
    return float(match[1]) * _UNITS[match[2] or "d"]


class Command(BaseCommand):
    help = "Operate background tasks."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        purging = verbs.add_parser("purge", help="delete finished tasks whose retention is over")
        purging.add_argument(
            "--older-than",
            type=duration,
            metavar="7d",
            help="time since their end, instead of the settings' (units s m h d w)",
        )
        purging.add_argument("--dry-run", action="store_true", help="count only")
        purging.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        with told_cleanly():
            purged = purge(older_than=options["older_than"], dry_run=options["dry_run"])
        self.stdout.write(_as_json(purged) if options["json"] else _as_text(purged, options))


def _as_json(purged: list[Purged]) -> str:
    return json.dumps({item.state: item.tasks for item in purged})


def _as_text(purged: list[Purged], options: dict[str, Any]) -> str:
    verb = "Would delete" if options["dry_run"] else "Deleted"
    lines = [
        f"{verb} {item.tasks:,} {item.state} tasks that ended before {item.before:%Y-%m-%d %H:%M}."
        for item in purged
    ]
    return "\n".join([*lines, "Goals and their attempts stay."])
