"""Waiting for what has not ended: how often to look, and who may."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from asgiref.sync import sync_to_async

from . import context
from .exceptions import (
    TimeoutError,  # noqa: A004  Celery's name for it
    WouldDeadlock,
)

#: Pauses between two looks while waiting, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.25


def pauses(timeout: float | None, interval: float | None) -> Iterator[float]:
    """How long to sleep before each next look; ends when the time is over.

    Args:
        timeout: seconds in all; None for ever.
        interval: seconds between two looks; by default short ones that grow.
    """
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    pause = interval or _FIRST_PAUSE
    while (left := deadline - time.monotonic()) > 0:
        yield min(pause, left)
        pause = interval or min(pause * 1.5, _LONGEST_PAUSE)


_may_wait: ContextVar[bool] = ContextVar("tasktrack_may_wait", default=False)


@contextlib.contextmanager
def allow_join_result() -> Iterator[None]:
    """Let the code of the block wait for other tasks although it runs in one."""
    token = _may_wait.set(True)
    try:
        yield
    finally:
        _may_wait.reset(token)


def check_may_wait(disable_sync_subtasks: bool) -> None:
    """Refuse to wait inside of a task: workers that all wait for others run none.

    Raises:
        WouldDeadlock: a task asks, and is not allowed to.
    """
    if disable_sync_subtasks and context.current() is not None and not _may_wait.get():
        raise WouldDeadlock(
            "A task waits for another one here: with all workers waiting none would run it.",
            hint="Use a chain or a chord; or disable_sync_subtasks=False.",
        )


class Awaited:
    """What one can wait for; a result says how it is asked.

    Attributes:
        id: of the task.
    """

    id: str

    def has_ended(self) -> bool:
        """Whether there is a result to be had, as it is now."""
        raise NotImplementedError

    def ready(self) -> bool:
        """Whether waiting is over."""
        raise NotImplementedError

    @property
    def result(self) -> Any:
        """What is known of it so far."""
        raise NotImplementedError

    def value(self, propagate: bool = True) -> Any:
        """What ``get`` gives once it has ended."""
        raise NotImplementedError

    def _look_again(self) -> None:
        """Forget that it was not to be read again."""
        raise NotImplementedError

    def _timed_out(self, timeout: float) -> TimeoutError:
        raise NotImplementedError

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,
        callback: Callable[[str, Any], object] | None = None,
        disable_sync_subtasks: bool = True,
    ) -> Any:
        """Wait for the end and return the result; None where its value was forgotten.

        Args:
            timeout: seconds to wait at most; None waits for ever.
            propagate: raise the task's exception; else return it.
            interval: seconds between two looks; by default short ones that grow.
            callback: called with the id and the result, which are then not returned.
            disable_sync_subtasks: refuse to wait inside of a task, whose worker may be needed for the other.

        Raises:
            TaskFailure: the task failed. It is also an instance of the class that was raised, where
                that is imported here.
            TaskRevokedError: the task was revoked.
            TimeoutError: it did not end in time.
            ResultExpired: it succeeded, and its value is kept no longer.
            UnknownTask, TaskExpired: there is no such task, or no longer.
            NotCommitted: the transaction that enqueued it is open. A ``TimeoutError``, and a ``WouldDeadlock``.
            WouldDeadlock: a task asks.
        """
        check_may_wait(disable_sync_subtasks)
        for pause in self._pauses(timeout, interval):
            time.sleep(pause)
        value = self.value(propagate)
        if callback is None:
            return value
        callback(self.id, value)
        return None

    def maybe_throw(
        self, propagate: bool = True, callback: Callable[[str, Any], object] | None = None
    ) -> Any:
        """The result as it is now, without waiting; raises the task's exception where it failed."""
        value = self.value(propagate) if self.ready() else self.result
        if callback is not None:
            callback(self.id, value)
        return value

    maybe_reraise = maybe_throw

    def wait(self, *args: Any, **kwargs: Any) -> Any:
        """Celery's other name for ``get``."""
        return self.get(*args, **kwargs)

    async def aget(
        self, timeout: float | None = None, propagate: bool = True, interval: float | None = None
    ) -> Any:
        """``get`` for asynchronous code."""
        check_may_wait(True)
        waits = self._pauses(timeout, interval)
        look = sync_to_async(lambda: next(waits, None))
        while (pause := await look()) is not None:
            await asyncio.sleep(pause)
        return await sync_to_async(self.value)(propagate)

    def _pauses(self, timeout: float | None, interval: float | None) -> Iterator[float]:
        """How long to sleep before each next look, until the task has ended."""
        self._look_again()
        waits = pauses(timeout, interval)
        while not self.has_ended():
            pause = next(waits, None)
            if pause is None:
                raise self._timed_out(timeout or 0.0)
            yield pause
