"""Everything that this package raises on purpose.

A message names what is wrong, where, and the remedy after "Hint:".
"""

from __future__ import annotations

import builtins
import difflib
from collections.abc import Iterable, Sequence
from typing import Any


def nearest(word: str, known: Iterable[str]) -> str:
    """The remedy for a misspelt word: the closest known one, or what is known at all."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {close[0]!r}?"
    shown = ", ".join(names[:10]) or "none"
    return f"Known: {shown}{', …' if len(names) > 10 else ''}."


class TasktrackError(Exception):
    """The root of this package's errors.

    Args:
        message: what is wrong and where.
        hint: the remedy.
    """

    def __init__(self, message: str = "", hint: str = "") -> None:
        self.hint = hint
        super().__init__(f"{message} Hint: {hint}" if hint else message)


class InvalidTask(TasktrackError, ValueError):
    """A task was declared or enqueued with an option that it cannot have."""


class NotRegistered(TasktrackError, KeyError):
    """No task of this name is known to this process."""

    def __str__(self) -> str:  # KeyError would show the repr
        return str(self.args[0])


class PayloadError(TasktrackError, TypeError):
    """A value cannot be carried as JSON."""


class NotRunning(TasktrackError, RuntimeError):
    """Something that only a running task may do was tried outside of one, or after its end."""


class InvalidTransition(TasktrackError, ValueError):
    """A task is not in a state that allows what was asked."""


class DuplicateTaskId(TasktrackError, ValueError):
    """``task_id=`` names a task that exists."""


class Unsupported(TasktrackError, NotImplementedError):
    """Celery offers this, and there is nothing of the kind here; the hint says what there is."""


class InvalidSchedule(InvalidTask):
    """A schedule says when, or what, in words that mean nothing."""


class GoalClosed(TasktrackError):
    """The goal has ended without being achieved; ``reopen=True`` starts it again."""


class LeaseLost(TasktrackError):
    """The attempt that asks is no longer the one that owns the task; its writes are refused."""


class WorkerLost(TasktrackError):
    """The process that ran the task died."""


#: Celery's word for it.
WorkerLostError = WorkerLost


# What a result raises. Named as Celery names them.


class TaskFailure(TasktrackError):
    """A task's own exception, raised again by ``AsyncResult.get()``.

    It is also an instance of the exception's class where that class is already imported, so that
    ``except ValueError`` works. The class is never imported for it and its ``__init__`` never runs.

    Attributes:
        error_type: dotted path of the class that the task raised.
        remote_traceback: the traceback as the worker saw it.
    """

    error_type = ""
    remote_traceback = ""

    def __str__(self) -> str:  # KeyError and others would show something else
        return str(self.args[0]) if self.args else ""


class TaskRevokedError(TasktrackError):
    """The task was revoked, so there is no result."""


class TimeoutError(TasktrackError, builtins.TimeoutError):  # noqa: A001  Celery's name for it
    """The task did not end in time."""


class SoftTimeLimitExceeded(TasktrackError):
    """Raised inside a running task when its soft time limit has passed. It may clean up, or go on."""


class TimeLimitExceeded(TasktrackError):
    """The task's process was killed because its time limit had passed."""


class UnknownTask(TasktrackError, LookupError):
    """No task has this id."""


class ResultExpired(TasktrackError, LookupError):
    """The task has ended, and its result is kept no longer: its time is over (docs/operating.md#retention)."""


class TaskExpired(ResultExpired, UnknownTask):
    """The task existed; its row has been purged since."""


class WouldDeadlock(TasktrackError, RuntimeError):
    """Waiting here could never end."""


class NotCommitted(WouldDeadlock, TimeoutError):
    """Waiting here could never end: workers do not see the task before its transaction is committed.

    A ``TimeoutError`` too, raised without the wait: code that waits for a moment, and then goes on, goes on.
    """


# What a task raises about itself.


class Ignore(TasktrackError):
    """Raised in a task: end it as SUCCESS with reason "ignored" and no result.

    Where ``update_state()`` was given a final state before, it ends in that one.
    """


class Reject(TasktrackError):
    """Raised in a task: end it as FAILURE, or put it back into its queue.

    Args:
        reason: why; kept in history.
        requeue: whether it waits again, for a second. That attempt does not count.
    """

    def __init__(self, reason: object = "", requeue: bool = False) -> None:
        self.reason = reason
        self.requeue = requeue
        super().__init__(str(reason) if reason else "Rejected by the task.")


class Retry(TasktrackError):
    """Raised by ``self.retry()``: end this attempt and run again later.

    Args:
        message: shown as the reason.
        exc: the exception that asked for it, kept in history.
        delay: seconds until the next attempt.
        max_retries: a new limit for the task; None leaves its own.
    """

    def __init__(
        self,
        message: str = "",
        exc: BaseException | None = None,
        delay: float = 0.0,
        max_retries: int | None = None,
    ) -> None:
        self.exc = exc
        self.delay = delay
        self.max_retries = max_retries
        super().__init__(message or "Retry requested by the task.")

    @property
    def when(self) -> float:
        """Celery's word for ``delay``."""
        return self.delay


class MaxRetriesExceededError(TasktrackError):
    """``self.retry()`` was called after the last allowed attempt.

    Attributes:
        task_args, task_kwargs: what the task was called with.
    """

    def __init__(
        self,
        message: str = "",
        task_args: Sequence[Any] = (),
        task_kwargs: Any = None,
        hint: str = "",
    ) -> None:
        self.task_args = task_args
        self.task_kwargs = task_kwargs or {}
        super().__init__(message, hint)


class TaskRevoked(BaseException):
    """Raised inside a running task at its next checkpoint once someone has asked to revoke it.

    A ``BaseException``, as ``asyncio.CancelledError`` is, so that ``except Exception`` in a
    task does not swallow it by accident.
    """
