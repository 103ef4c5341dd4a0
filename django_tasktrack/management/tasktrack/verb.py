"""What a verb of ``manage.py tasktrack`` is."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...exceptions import TasktrackError
from .console import Console

#: What the process ends with.
DONE, NO, USAGE, INTERRUPTED = 0, 1, 2, 130

Options = Mapping[str, Any]


class Nothing(TasktrackError):
    """What was asked for is not there: the answer is no."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One thing that the command can do. A new one is a module and its place in the registry.

    Args:
        name: as it is typed.
        help: a line for ``--help``.
        arguments: adds what it takes; ``--json`` is there already.
        run: does it, and returns ``DONE``, or ``NO`` where the answer is no. It may raise this package's
            errors and the database's, which are told in one block.
    """

    name: str
    help: str
    arguments: Callable[[ArgumentParser], None]
    run: Callable[[Options, Console], int]


def no_arguments(parser: ArgumentParser) -> None:
    """For verbs that take none."""
