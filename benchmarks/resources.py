"""Servers and a directory for one run; everything is ended and deleted with it."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from benchmarks import servers
from benchmarks.failure import NotRun
from benchmarks.stage import Bench

_ENDING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def resources() -> Iterator[Bench]:
    """What measurements need, until the block ends."""
    for number in _ENDING:
        signal.signal(number, _interrupt)
    with ExitStack() as stack:
        directory = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="tasktrack-bench-", ignore_cleanup_errors=True)
            )
        )
        yield Bench(
            directory,
            _postgres(stack, directory / "postgres"),
            _redis(stack, directory / "redis"),
        )


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """Go back past every ``finally``; a second Ctrl-C must not keep one of them from its work."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _postgres(stack: ExitStack, directory: Path) -> servers.Postgres | NotRun:
    try:
        return stack.enter_context(servers.postgres(directory))
    except NotRun as why:
        return why


def _redis(stack: ExitStack, directory: Path) -> servers.Redis | NotRun:
    directory.mkdir()
    try:
        return stack.enter_context(servers.redis(directory))
    except NotRun as why:
        return why
