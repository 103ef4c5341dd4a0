"""What goes into the execution of a task, and what comes out of it. Pure values; nobody writes here."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from . import states
from .conf import config
from .payloads import printable
from .states import Transition


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
    """

    transition: Transition
    result: str | None = None
    error: Error | None = None
    delay: float = 0.0
    reason: str = ""
    max_attempts: int | None = None


def succeeded(result: str | None) -> Outcome:
    return Outcome(states.SUCCEED, result=result)


def ignored() -> Outcome:
    return Outcome(states.SUCCEED, reason="ignored")


def failed(error: BaseException, reason: str = "") -> Outcome:
    return Outcome(states.FAIL, error=Error.of(error), reason=reason)


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
