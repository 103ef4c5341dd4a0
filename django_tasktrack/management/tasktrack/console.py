"""Where verbs write: a terminal in colours, a pipe in plain text, or one JSON document."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from django.core.serializers.json import DjangoJSONEncoder

from . import plain
from .blocks import Block, line

if TYPE_CHECKING:
    from .colours import Coloured

#: Draws some blocks in the place of those before.
Draw = Callable[[Iterable[Block]], None]


class Console:
    """What one run of the command writes.

    Args:
        out: results go there.
        err: what is said beside them.
        as_json: one document instead of text.
        no_color: no colours, whatever the terminal can.
        force_color: as for a terminal, though it is none.
    """

    def __init__(
        self,
        out: TextIO,
        err: TextIO,
        *,
        as_json: bool = False,
        no_color: bool = False,
        force_color: bool = False,
    ) -> None:
        self.as_json = as_json
        self._out, self._err = out, err
        terminal = not as_json and (force_color or out.isatty())
        self._colours = _coloured(out, no_color) if terminal else None

    def give(self, document: Any, *blocks: Block) -> None:
        """The answer: the document as JSON, or else the blocks."""
        if self.as_json:
            text = json.dumps(_finite(document), cls=DjangoJSONEncoder, indent=2)
            self._out.write(text + "\n")
        else:
            self.show(*blocks)

    def show(self, *blocks: Block) -> None:
        """Blocks for people; nothing where programs read."""
        if self.as_json:
            return
        if self._colours:
            self._colours.show(blocks)
        elif blocks:
            self._write(self._out, plain.rendered(blocks))

    def say(self, *blocks: str | Block) -> None:
        """Something beside the answer."""
        said = [line(block) if isinstance(block, str) else block for block in blocks]
        self._write(self._err, plain.rendered(said))

    def confirm(self, question: str) -> bool:
        """Whether a person at a terminal says yes; nobody there means no."""
        if not sys.stdin.isatty():
            self.say(f"{question} Nobody is there to ask: add --yes.")
            return False
        self._err.write(f"{question} [y/N] ")
        self._err.flush()
        return sys.stdin.readline().strip().lower() in {"y", "yes"}

    @contextmanager
    def drawing(self, *, whole: bool = False) -> Iterator[Draw]:
        """What is drawn anew in one place; without colours one after the other.

        Args:
            whole: take the whole terminal, and give it back afterwards.
        """
        if self._colours is None:
            yield lambda blocks: self.show(*blocks)
            return
        coloured = self._colours
        with coloured.screen() if whole else coloured.live() as live:
            yield lambda blocks: coloured.draw(live, blocks)

    @property
    def can_redraw(self) -> bool:
        """Whether ``drawing`` replaces what it drew before."""
        return self._colours is not None

    def sleep(self, seconds: float) -> None:
        """Wait, with all that was written shown."""
        self._out.flush()
        time.sleep(seconds)

    def _write(self, stream: TextIO, text: str) -> None:
        # What a terminal's encoding lacks is escaped instead of being an error.
        encoding = getattr(stream, "encoding", None) or "utf-8"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def _coloured(out: TextIO, no_color: bool) -> Coloured | None:
    encoding = getattr(out, "encoding", None) or "utf-8"
    if os.environ.get("TERM") == "dumb" or not encoding.lower().startswith("utf"):
        return None
    try:
        from .colours import Coloured  # optional: the extra "cli"
    except ImportError:
        return None
    return Coloured(out, no_color or bool(os.environ.get("NO_COLOR")))


def _finite(value: Any) -> Any:
    """The document without numbers that JSON has not."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
