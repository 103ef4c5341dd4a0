"""Blocks as plain aligned text, for pipes and for terminals without ``rich``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..logs import one_line, plain_lines
from .blocks import Block, Cell, Column, Heading, Line, Pairs, Table, text_of

_GAP = "  "


def rendered(blocks: Iterable[Block]) -> str:
    """The text of some blocks, with all columns and nothing cut: programs read it too."""
    return "\n".join(text.rstrip() for block in blocks for text in _lines(block)).removeprefix("\n")


def _lines(block: Block) -> Iterator[str]:
    match block:
        case Heading(text):
            yield ""
            yield one_line(text)
        case Line(words, indent):
            text = plain_lines(" ".join(filter(None, map(text_of, words))))
            yield from (" " * indent + part for part in text.split("\n"))
        case Table(columns, rows):
            yield from _table(columns, rows)
        case Pairs(rows):
            width = max((len(text_of(name)) for name, _ in rows), default=0)
            for name, cell in rows:
                yield f"{text_of(name).ljust(width)}{_GAP}{one_line(text_of(cell))}"


def _table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> Iterator[str]:
    kept = [number for number, column in enumerate(columns) if not column.narrow]
    columns = [columns[number] for number in kept]
    texts = [[one_line(text_of(row[number])) for number in kept] for row in rows]
    heads = [column.title.upper() for column in columns]
    widths = [max(map(len, column)) for column in zip(heads, *texts, strict=True)]
    for row in (heads, *texts):
        yield _GAP.join(
            text.rjust(width) if column.right else text.ljust(width)
            for text, width, column in zip(row, widths, columns, strict=True)
        )
