"""What goes into the execution of a task, and what comes out of it. Pure values; nobody writes here."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from . import states
from .conf import config
from .exceptions import Ignore, Reject
from .payloads import decode, encode, printable
from .states import State, Transition

#: A task that its body puts back waits for so many seconds: else it would be run in a circle.
REJECTED_PAUSE = 1.0


class Claim(NamedTuple):
    """One task as a worker took it: everything that running it needs, with the lease it holds.

    ``args``, ``kwargs`` and ``headers`` stay JSON text, as stored; only the process that runs the body decodes them.
    """

    task_id: UUID
    name: str
    args: str
    kwargs: str
    queue: str
    priority: int
    attempt: int
    losses: int
    crashes: int
    lease: int
    worker_id: int
    max_attempts: int | None
    eta: datetime | None
    expires_at: datetime | None
    owner: str
    goal_id: int | None
    time_limit: float | None = None
    soft_time_limit: float | None = None
    rerun_if_lost: bool = True
    root_id: UUID | None = None
    parent_id: UUID | None = None
    group_id: UUID | None = None
    headers: str | None = None
    ignore_result: bool = False
    followed: bool = False

    @property
    def is_eager(self) -> bool:
        """Whether no row stands for it: the lease of a row that was claimed is 1 or more."""
        return self.lease == 0

    @property
    def retries(self) -> int:
        """Retries as Celery counts them: attempts that ended by themselves before this one."""
        return self.attempt - 1 - self.losses

    @property
    def begins_surely(self) -> bool:
        """Whether its beginning is committed before its body runs.

        So it is for tasks that were lost before, to know the poisonous ones, and for those that must not
        run twice.
        """
        return self.losses > 0 or not self.rerun_if_lost

    @property
    def max_retries(self) -> int | None:
        return None if self.max_attempts is None else self.max_attempts - 1


@dataclass(frozen=True, slots=True)
class Error:
    """An exception as it is kept: dotted class path, message, traceback text."""

    type: str
    message: str
    traceback: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Error:
        """What to keep of ``error``; nothing that it does when printed can break the record."""
        kind = type(error)
        try:
            message = str(error)
        except BaseException as broken:  # noqa: BLE001  even SystemExit
            message = f"<its __str__ raised {type(broken).__name__}>"
        try:
            text = "".join(traceback.format_exception(error))
        except BaseException as broken:  # noqa: BLE001
            text = f"<its traceback could not be formatted: {type(broken).__name__}>"
        name = kind.__qualname__
        path = name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}"
        return cls(printable(path)[:255], _cap(message), _cap(text))

    def type_alone(self) -> Error:
        """That there was such an error, and nothing that it says."""
        return Error(self.type, "")


def _cap(text: str) -> str:
    """The text in bounds; of a long one the end, because that is where the cause stands."""
    limit = config().MAX_TRACEBACK
    text = printable(text)
    return (
        text if len(text) <= limit else f"… {len(text) - limit:,} characters cut …\n{text[-limit:]}"
    )


class Outcome(NamedTuple):
    """How one attempt ended.

    Attributes:
        transition: what it means for the task's state.
        result: JSON text of the return value; None where it is dropped.
        error: the exception, where there was one.
        delay: seconds until the next attempt, for a retry.
        reason: one line for history.
        max_attempts: a new limit for the task; None leaves its own.
        expected: whether the task has said that it throws such errors: no traceback in the log.
    """

    transition: Transition
    result: str | None = None
    error: Error | None = None
    delay: float = 0.0
    reason: str = ""
    max_attempts: int | None = None
    expected: bool = False


def succeeded(result: str | None) -> Outcome:
    return Outcome(states.SUCCEED, result=result)


class Final(NamedTuple):
    """The final state that a body has set, in which ``Ignore`` ends it. ``meta`` is JSON text."""

    state: State
    meta: str | None


def ignored(final: Final | None = None) -> Outcome:
    """What ``Ignore`` means: nothing is said of the task but what its body has said itself."""
    if final is None or final.state is State.SUCCESS:
        return Outcome(states.SUCCEED, result=final.meta if final else None, reason=_IGNORED)
    if final.state is State.FAILURE:
        return Outcome(states.FAIL, error=_error_in(final.meta), reason=_IGNORED)
    return Outcome(states.STOP, reason=_IGNORED)


_IGNORED = "ignored"


def _error_in(meta: str | None) -> Error:
    """The error that meta tells of, under Celery's keys; else all of it is the message."""
    value = decode(meta)
    said = value if isinstance(value, dict) else {}
    message = said.get("exc_message", "" if meta is None else meta)
    text = message if isinstance(message, str) else encode(message, "exc_message")
    kind = said.get("exc_type")
    path = kind if isinstance(kind, str) else Error.of(Ignore()).type
    return Error(printable(path)[:255], _cap(text))


def rejected(error: Reject) -> Outcome:
    """What ``Reject`` means: back into the queue, uncounted, or a failure."""
    if not error.requeue:
        return failed(error, reason="rejected")
    reason = f"rejected: {error.reason}" if error.reason else "rejected"
    return Outcome(states.RELEASE, delay=REJECTED_PAUSE, reason=printable(reason)[:255])


def failed(error: BaseException, reason: str = "", *, expected: bool = False) -> Outcome:
    return Outcome(states.FAIL, error=Error.of(error), reason=reason, expected=expected)


def retry_later(
    error: BaseException, delay: float, reason: str = "", max_retries: int | None = None
) -> Outcome:
    return Outcome(
        states.RETRY,
        error=Error.of(error),
        delay=max(0.0, delay),
        reason=reason,
        max_attempts=None if max_retries is None else max_retries + 1,
    )


def revoked(reason: str) -> Outcome:
    return Outcome(states.STOP, reason=reason)


class Report(NamedTuple):
    """What a running task says of itself. None leaves a value as it was.

    ``meta`` is JSON text; ``label`` is what the task calls its state.
    """

    current: float | None = None
    total: float | None = None
    message: str | None = None
    meta: str | None = None
    label: str | None = None

    def over(self, older: Report | None) -> Report:
        """This report with ``older``'s values where it has none: several reports become one."""
        if older is None:
            return self
        said = {name: value for name, value in self._asdict().items() if value is not None}
        return older._replace(**said)
