"""``tasktrack pool``: a worker that runs is to run more or fewer tasks at once."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError
from typing import NamedTuple

from ...adaptation import Wish, resized
from ...models import Worker
from . import adapting
from .console import Console
from .verb import Options, Verb


class _Size(NamedTuple):
    """So many, or so many more or fewer."""

    number: int
    relative: bool

    def of(self, before: int) -> int:
        return before + self.number if self.relative else self.number


def _size(text: str) -> _Size:
    match = re.fullmatch(r"([+-]?)([0-9]{1,5})", text)
    if not match:
        raise ArgumentTypeError(f"{text!r} is no size; write for example 8, +2 or -1")
    return _Size(int(text), bool(match[1]))


def _arguments(parser: ArgumentParser) -> None:
    adapting.add_arguments(parser)
    parser.add_argument(
        "size", type=_size, metavar="SIZE", help="tasks at once: 8, or +2 or -1 of what it has"
    )


def _run(options: Options, console: Console) -> int:
    size: _Size = options["size"]

    def decide(row: Worker, before: Wish) -> Wish:
        return resized(row, before, size.of(before.concurrency))

    return adapting.ask(options, console, decide, lambda wish: str(wish.concurrency))


VERB = Verb("pool", "have a worker run more or fewer tasks at once", _arguments, _run)
