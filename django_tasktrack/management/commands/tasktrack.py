"""``manage.py tasktrack``: operate tasks from the terminal."""

from __future__ import annotations

import os
import sys
from argparse import SUPPRESS, ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, SystemCheckError, no_translations

from ..tasktrack import VERBS
from ..tasktrack.console import Console
from ..tasktrack.verb import DONE, INTERRUPTED, NO, USAGE, Nothing
from ..trouble import told_cleanly

_RUNS = {verb.name: verb.run for verb in VERBS}


class Command(BaseCommand):
    help = "Operate background tasks."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        for verb in VERBS:
            own = verbs.add_parser(verb.name, help=verb.help, description=_sentence(verb.help))
            verb.arguments(own)
            own.add_argument("--json", action="store_true", help="for programs: one document")
            _add_django_s(own)

    def check(self, *args: Any, **kwargs: Any) -> None:
        """Settings that are wrong are wrong usage: the answer is not "no"."""
        try:
            super().check(*args, **kwargs)
        except SystemCheckError as error:
            error.returncode = USAGE
            raise

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            code = self._run(options)
            sys.stdout.flush()
        except BrokenPipeError:  # who reads has seen enough, as `head` has
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = DONE
        except KeyboardInterrupt:
            code = INTERRUPTED
        if code:
            sys.exit(code)

    def _run(self, options: dict[str, Any]) -> int:
        # The streams themselves: Django's wrappers add the ends of lines, and colours of their own.
        console = Console(
            options.get("stdout") or sys.stdout,
            options.get("stderr") or sys.stderr,
            as_json=options["json"],
            no_color=options["no_color"],
            force_color=options["force_color"],
        )
        with told_cleanly(database=USAGE):
            try:
                return _RUNS[options["verb"]](options, console)
            except Nothing as error:
                console.say(str(error))
                return NO


def _add_django_s(parser: ArgumentParser) -> None:
    """The options of every command, after the verb too, where people write them."""
    for flag in ("--no-color", "--force-color", "--traceback", "--skip-checks"):
        parser.add_argument(flag, action="store_true", default=SUPPRESS, help=SUPPRESS)
    for option in ("--settings", "--pythonpath"):
        parser.add_argument(option, default=SUPPRESS, help=SUPPRESS)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
