"""Shows a task while it runs: a live bar on a terminal, a few lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from django_tasktrack import AsyncResult
from django_tasktrack.result import ProgressView
from django_tasktrack.states import FINAL, State

_PAUSE = 0.1


class Stalled(Exception):
    """Nothing has happened to the task for too long."""


def watch(
    console: Console,
    result: AsyncResult,
    until: Callable[[AsyncResult], bool] = AsyncResult.ready,
    patience: float = 30.0,
) -> None:
    """Show how a task proceeds.

    Args:
        console: where to.
        result: of the task.
        until: when to return.
        patience: seconds without any change after which it gives up.

    Raises:
        Stalled: it has given up.
    """
    seen: object = None
    changed_at = time.monotonic()
    with _Bar(console) if console.is_terminal else _Lines(console) as shown:
        while True:
            done = until(result)
            state, progress = result.state, result.progress
            shown.update(state, progress)
            if done:
                return
            if (now := (state, progress.updated_at)) != seen:
                seen, changed_at = now, time.monotonic()
            elif time.monotonic() - changed_at > patience:
                raise Stalled(f"Nothing has changed for {patience:g} s; the task is {state}.")
            time.sleep(_PAUSE)


class _Bar:
    """A bar that moves, for people."""

    def __init__(self, console: Console) -> None:
        # What a narrow terminal has no room for is left out, not wrapped.
        wide = console.width >= 76
        columns = [
            TextColumn("  {task.description}"),
            BarColumn(bar_width=None if wide else 20),
            TaskProgressColumn(),
            *(
                [TextColumn("{task.fields[count]:>16}"), TextColumn("{task.fields[left]:<9}")]
                if wide
                else []
            ),
        ]
        self._live = Progress(*columns, console=console, expand=wide)
        self._task = self._live.add_task("PENDING", total=None, count="", left="")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def update(self, state: str, progress: ProgressView) -> None:
        self._live.update(
            self._task,
            description=f"{escape(state):<7}",
            completed=progress.current or int(state == State.SUCCESS),
            total=progress.total or (1 if state in FINAL else None),
            count=_count(progress),
            left="" if state in FINAL else _left(progress),
        )


class _Lines:
    """A line for each change of state and each quarter, for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: object = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def update(self, state: str, progress: ProgressView) -> None:
        quarter = int((progress.percent or 0) // 25)
        if self._shown != (state, quarter):
            self._shown = (state, quarter)
            percent = "" if progress.percent is None else f"{progress.percent:>4.0f} %"
            self._console.print(f"  {escape(state):<8}{percent}  {_count(progress)}".rstrip())


def _count(progress: ProgressView) -> str:
    if progress.current is None or progress.total is None:
        return ""
    return f"{progress.current:,.0f} / {progress.total:,.0f}"


def _left(progress: ProgressView) -> str:
    return "" if progress.eta is None else f"{progress.eta.total_seconds():.0f} s left"
