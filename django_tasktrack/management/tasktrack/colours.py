"""Blocks on a terminal, by ``rich`` (the extra ``cli``): colours, bars, and tables that fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table as RichTable
from rich.text import Text

from ..logs import one_line, plain_lines
from .blocks import Bar, Block, Cell, Column, Heading, Line, Pairs, Table, Word, text_of

_STYLES = {
    "good": "green",
    "bad": "bold red",
    "warn": "yellow",
    "active": "cyan",
    "off": "magenta",
    "quiet": "dim",
    "strong": "bold",
}
#: Terminals with fewer columns do without what is ``wide``.
_WIDE = 120


class Coloured:
    """A terminal.

    Args:
        stream: what is written to.
        no_color: without colours all the same; ``NO_COLOR`` is respected in any case.
    """

    def __init__(self, stream: TextIO, no_color: bool) -> None:
        self._console = Console(
            file=stream,
            no_color=no_color or None,
            force_terminal=True,
            highlight=False,
            markup=False,
        )

    def show(self, blocks: Iterable[Block]) -> None:
        self._console.print(self._group(blocks))

    def live(self) -> Live:
        """A part of the terminal that is drawn anew; blocks go there by ``draw``."""
        return Live(console=self._console, auto_refresh=False, transient=True)

    def screen(self) -> Live:
        """The whole terminal, given back as it was."""
        return Live(console=self._console, auto_refresh=False, screen=True)

    def draw(self, live: Live, blocks: Iterable[Block]) -> None:
        live.update(self._group(blocks), refresh=True)

    def _group(self, blocks: Iterable[Block]) -> Group:
        shown = list(blocks)
        if shown and isinstance(shown[0], Heading):  # nothing stands above it to be apart from
            shown[0] = Line([Word(shown[0].text, "strong")])
        return Group(*(self._renderable(block) for block in shown))

    def _renderable(self, block: Block) -> RenderableType:
        match block:
            case Heading(text):
                return Text("\n" + one_line(text), style="bold")
            case Line(words, indent):
                shown = Text(" ").join(_text(word, one=False) for word in words if text_of(word))
                return Padding(shown, (0, 0, 0, indent), expand=False) if indent else shown
            case Table(columns, rows):
                return self._table(columns, rows)
            case Pairs(rows):
                grid = RichTable.grid(padding=(0, 2, 0, 0))
                grid.add_column(style="dim", no_wrap=True)
                grid.add_column(overflow="fold")
                for name, cell in rows:
                    held = _cell(cell) if isinstance(cell, Bar) else _text(cell, one=False)
                    grid.add_row(_text(name, one=True), held)
                return grid

    def _table(self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> RichTable:
        narrow = self._console.width < _WIDE
        kept = [
            number
            for number, column in enumerate(columns)
            if not (column.wide if narrow else column.narrow)
            and any(text_of(row[number]) for row in rows)
        ]
        widths = self._widths([columns[number] for number in kept], rows, kept)
        table = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for number in kept:
            column = columns[number]
            table.add_column(
                column.title.upper(),
                justify="right" if column.right else "left",
                no_wrap=not column.gives,
            )
        for row in rows:
            table.add_row(*(_fitted(row[n], columns[n], widths.get(n, 0)) for n in kept))
        return table

    def _widths(
        self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], kept: Sequence[int]
    ) -> dict[int, int]:
        """How wide each column is that gives way: those that need little get it, the others share."""
        needs = {
            number: max([len(column.title), *(_length(row[number]) for row in rows)])
            for number, column in zip(kept, columns, strict=True)
        }
        giving = sorted((n for n, c in zip(kept, columns, strict=True) if c.gives), key=needs.get)  # type: ignore[arg-type]
        left = self._console.width - sum(needs[n] for n in kept if n not in giving) - 2 * len(kept)
        widths = {}
        for others, number in zip(range(len(giving), 0, -1), giving, strict=True):
            widths[number] = max(8, min(needs[number], left // others))
            left -= widths[number]
        return widths


def _length(cell: Cell) -> int:
    return cell.width + 5 if isinstance(cell, Bar) and cell.text else cell_len(text_of(cell))


def _fitted(cell: Cell, column: Column, width: int) -> RenderableType:
    """A cell on one line; the end that tells less is cut, of a dotted name the beginning."""
    text = text_of(cell)
    if column.folds:
        return _text(cell, one=False)
    if column.gives and cell_len(text) > width:
        cut = _ending(text, width) if column.from_left else f"{text[: width - 1]}…"
        return _cell(Word(cut, cell.tone if isinstance(cell, Word) else ""))
    return _cell(cell)


def _ending(name: str, width: int) -> str:
    """The end of a dotted name, if possible from one of its dots on."""
    ends = (name[at + 1 :] for at, letter in enumerate(name) if letter == ".")
    fitting = next((end for end in ends if len(end) < width), name[len(name) - width + 1 :])
    return f"…{fitting}"


def _cell(cell: Cell) -> RenderableType:
    if isinstance(cell, Bar) and cell.percent is not None:
        grid = RichTable.grid(padding=(0, 1, 0, 0))
        grid.add_column(width=cell.width)
        grid.add_column(justify="right", width=4)
        bar = ProgressBar(total=100, completed=cell.percent, width=cell.width)
        grid.add_row(bar, Text(cell.text))
        return grid
    return _text(cell, one=True)


def _text(cell: Cell, *, one: bool) -> Text:
    """A word in its tone; ``one``: on one line, cut where there is no room."""
    text = text_of(cell)
    tone = cell.tone if isinstance(cell, Word) else ""
    if one:
        return Text(one_line(text), _STYLES.get(tone, ""), no_wrap=True, overflow="ellipsis")
    return Text(plain_lines(text), _STYLES.get(tone, ""))
