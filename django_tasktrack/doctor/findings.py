"""What the doctor has found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """How bad it is."""

    GOOD = 0
    NOTE = 1  # nothing is wrong, and it is worth knowing
    WARNING = 2  # it may become a problem
    PROBLEM = 3  # something does not run that should


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        code: names the kind of finding, for programs; it stays the same.
        level: how bad it is.
        text: a sentence or two.
        hint: what to do about it.
    """

    code: str
    level: Level
    text: str
    hint: str = ""


def good(code: str, text: str) -> Finding:
    return Finding(code, Level.GOOD, text)


def note(code: str, text: str, hint: str = "") -> Finding:
    return Finding(code, Level.NOTE, text, hint)


def warning(code: str, text: str, hint: str = "") -> Finding:
    return Finding(code, Level.WARNING, text, hint)


def problem(code: str, text: str, hint: str = "") -> Finding:
    return Finding(code, Level.PROBLEM, text, hint)


def worst(findings: Iterable[Finding]) -> Level:
    return max((finding.level for finding in findings), default=Level.GOOD)


def listed(words: Iterable[str], most: int = 5) -> str:
    """Some words, and how many more there are."""
    known = list(words)
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return ", ".join(known[:most]) + more
