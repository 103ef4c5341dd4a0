"""``manage.py tasktrack`` in the process of the test."""

from __future__ import annotations

import io
import json
from typing import Any, NamedTuple

from django.core.management import CommandError, call_command


class Ran(NamedTuple):
    """What the command wrote, and what it ended with."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def tasktrack(*args: object, terminal: bool = False) -> Ran:
    """Run a verb. Errors that ``manage.py`` would show are in ``err``, with their exit code."""
    out, err = Terminal() if terminal else io.StringIO(), io.StringIO()
    code = 0
    try:
        call_command("tasktrack", *map(str, args), stdout=out, stderr=err)
    except CommandError as error:
        # From code, argparse's own refusals come without the code that a command line gets.
        code = 2 if str(error).startswith("Error: ") else error.returncode
        err.write(f"CommandError: {error}\n")
    except SystemExit as ended:
        code = int(str(ended.code))
    return Ran(code, out.getvalue(), err.getvalue())
