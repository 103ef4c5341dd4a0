"""What verbs show: headings, lines, tables, pairs. How it looks is the console's affair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Word(NamedTuple):
    """A text with the tone in which it is meant: the tone alone never tells anything."""

    text: str
    tone: str = ""


class Bar(NamedTuple):
    """How far something is, 0 to 100; None where nobody knows."""

    percent: float | None
    width: int = 10

    @property
    def text(self) -> str:
        return "" if self.percent is None else f"{int(self.percent)}%"


Cell = str | Word | Bar


def text_of(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell.text


class Line(NamedTuple):
    """One line, or several where the text has them."""

    words: Sequence[Cell]
    indent: int = 0


def line(*words: Cell, indent: int = 0) -> Line:
    return Line(words, indent)


class Heading(NamedTuple):
    """What the blocks after it are about."""

    text: str


class Column(NamedTuple):
    """A column of a table.

    Args:
        title: in its head.
        right: whether it is set flush right, as numbers are.
        wide: left out where the terminal is narrow.
        narrow: shown only there, in the place of something wide.
        gives: whether it is cut where the others need the room; ``from_left`` says at which end.
        folds: whether it runs on in lines below instead.
    """

    title: str
    right: bool = False
    wide: bool = False
    narrow: bool = False
    gives: bool = False
    from_left: bool = False
    folds: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a head."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]


class Pairs(NamedTuple):
    """Names and what they hold, below each other; a long text stays beside its name."""

    rows: Sequence[tuple[Cell, Cell]]


Block = Line | Heading | Table | Pairs

#: The tone of each state, condition and level.
TONES = {
    "PENDING": "quiet",
    "STARTED": "active",
    "RETRY": "warn",
    "SUCCESS": "good",
    "FAILURE": "bad",
    "REVOKED": "off",
    "EXPIRED": "off",
    "UNKNOWN": "off",
    "alive": "good",
    "silent": "warn",
    "stopping": "warn",
    "stopped": "off",
    "lost": "bad",
    "GOOD": "good",
    "NOTE": "quiet",
    "WARNING": "warn",
    "PROBLEM": "bad",
}


def toned(word: str, text: str = "") -> Word:
    """A state, condition or level in its tone; ``text`` is shown instead of the word."""
    return Word(text or word, TONES.get(word, ""))
