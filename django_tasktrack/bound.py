"""What a task can do while it runs: ``self``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from datetime import datetime, timedelta
from typing import Any, Literal, NoReturn, TypeVar, overload
from uuid import UUID

from django.utils import timezone

from . import checked, context, registry
from .exceptions import InvalidTask, MaxRetriesExceededError, NotRunning, Retry
from .outcomes import Final, Report
from .payloads import decode, encode
from .registry import Definition
from .request import Request
from .result import AsyncResult
from .retries import exhausted
from .states import FINAL, State

T = TypeVar("T")


class Bound:
    """The part of a task that is about its running attempt.

    Attributes:
        name: by which rows call it.
    """

    name: str
    _definition: Definition

    #: As Celery offers it: ``except self.MaxRetriesExceededError``.
    MaxRetriesExceededError = MaxRetriesExceededError

    @property
    def request(self) -> Request:
        """The running attempt; outside of one, an empty request."""
        running = context.current()
        return running.request if running else Request()

    @property
    def progress(self) -> TaskProgress:
        """Tells how far the running task is."""
        return TaskProgress(context.require("self.progress"))

    def AsyncResult(self, task_id: UUID | str | None) -> AsyncResult:  # noqa: N802  Celery's name
        """What became of a task; of the running one, what it is doing. Nothing has the id None."""
        return AsyncResult(task_id or "")

    def update_state(
        self,
        state: str | None = None,
        meta: Mapping[str, Any] | None = None,
        *,
        task_id: UUID | str | None = None,
    ) -> None:
        """Tell what the running task calls its state, and anything about it.

        Args:
            state: any word but PENDING and RETRY; shown as the state while it runs. SUCCESS, FAILURE and
                REVOKED are what it ends in if it raises ``Ignore``, and show only then.
            meta: JSON values, shown by ``AsyncResult.info``.
            task_id: its own id, as Celery accepts it.
        """
        running = context.require("self.update_state()")
        if task_id is not None and str(task_id) != str(running.claim.task_id):
            raise InvalidTask(
                f"update_state(task_id={str(task_id)!r}) names another task than the one that runs.",
                hint="A task tells of itself alone; leave task_id out.",
            )
        if isinstance(state, str) and state in FINAL:
            running.final = Final(State(state), context.label_report(None, meta).meta)
            running.checkpoint()
        else:
            running.report(context.label_report(state, meta))

    def checkpoint(self) -> None:
        """Raise ``TaskRevoked`` here if someone has asked to revoke the running task."""
        context.require("self.checkpoint()").checkpoint()

    @overload
    def retry(
        self,
        args: Sequence[Any] | None = ...,
        kwargs: Mapping[str, Any] | None = ...,
        exc: BaseException | None = ...,
        throw: Literal[True] = ...,
        eta: datetime | None = ...,
        countdown: float | timedelta | None = ...,
        max_retries: int | None = ...,
    ) -> NoReturn: ...

    @overload
    def retry(
        self,
        args: Sequence[Any] | None = ...,
        kwargs: Mapping[str, Any] | None = ...,
        exc: BaseException | None = ...,
        *,
        throw: Literal[False],
        eta: datetime | None = ...,
        countdown: float | timedelta | None = ...,
        max_retries: int | None = ...,
    ) -> Retry: ...

    def retry(  # noqa: PLR0917  in Celery's order
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | None = None,
        countdown: float | timedelta | None = None,
        max_retries: int | None = None,
    ) -> Retry:
        """End this attempt and run the task again later.

        Args:
            args, kwargs: as Celery accepts them; only those that the task has already.
            exc: why; by default the exception that is being handled.
            throw: whether to end the attempt here. If not, it ends when the body returns.
            eta: the time of the next attempt.
            countdown: seconds until it, instead; by default the task's own backoff or delay.
            max_retries: instead of the task's own limit.

        Raises:
            Retry: to end the attempt.
            MaxRetriesExceededError: no retry is left, and no ``exc`` was given (else that is raised), whatever is
                being handled.
            InvalidTask: other arguments than the task's own.
        """
        running = context.require("self.retry()")
        if not running.is_open:
            raise NotRunning("self.retry() comes too late: the attempt has ended.")
        _check_same(running.claim.args, args, "args")
        _check_same(running.claim.kwargs, kwargs, "kwargs")
        claim = running.claim
        if exhausted(claim.retries, claim.max_retries if max_retries is None else max_retries):
            if exc is not None:  # what is only being handled is not raised, as in Celery
                raise exc
            raise MaxRetriesExceededError(
                f"Task {self.name}[{claim.task_id}] has used its {claim.retries} retries.",
                running.request.args,
                running.request.kwargs,
            )
        delay = self._delay(countdown, eta, claim.retries)
        asked = Retry(exc=exc or sys.exc_info()[1], delay=delay, max_retries=max_retries)
        if throw:
            raise asked
        running.asked = asked
        return asked

    def _delay(
        self, countdown: float | timedelta | None, eta: datetime | None, retries: int
    ) -> float:
        if eta is not None:
            return (checked.aware(eta, "eta") - timezone.now()).total_seconds()
        if countdown is not None:
            return checked.seconds(countdown, "countdown")
        return self._definition.retry.delay_after(retries)


def _check_same(own: str, given: object, what: str) -> None:
    """Refuse a retry with other arguments: the row says for good what a task was called with."""
    if given is None:
        return
    if isinstance(given, BaseException):
        raise TypeError(f"self.retry({given!r}) gives it as args. Hint: Write self.retry(exc=...).")
    value = dict(given) if isinstance(given, Mapping) else given
    if decode(encode(value, what)) != decode(own):
        raise InvalidTask(
            f"self.retry({what}=...) changes what the task was called with.",
            hint="Enqueue another task and raise Ignore, or keep what changes in the database.",
        )


class TaskProgress:
    """How far a running task is, as ``self.progress``."""

    def __init__(self, running: context.Context) -> None:
        self._running = running

    def set(
        self,
        current: float,
        total: float | None = None,
        message: str | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """Say that ``current`` of ``total`` is done. What is left out stays as it was."""
        report = context.label_report(None, meta)
        self._running.report(report._replace(current=current, total=total, message=message))

    def increment(self, by: float = 1, message: str | None = None) -> None:
        """Say that ``by`` more is done."""
        self._running.increment(by, message)

    def iter(
        self, items: Iterable[T], total: float | None = None, message: str | None = None
    ) -> Iterator[T]:
        """Yield ``items``, counting each as done when the next is asked for."""
        if total is None and isinstance(items, Sized):
            total = len(items)
        self._running.report(Report(current=0, total=total, message=message))
        for item in items:
            yield item
            self._running.increment(1)


class _CurrentTask:
    """The task that the calling code belongs to, whichever that is; false outside of one."""

    def _get_current_object(self) -> Any:
        running = context.current()
        return registry.get(running.claim.name).task if running else None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._get_current_object(), name)

    def __bool__(self) -> bool:
        return self._get_current_object() is not None

    def __eq__(self, other: object) -> bool:
        return bool(self._get_current_object() == other)

    def __hash__(self) -> int:
        return hash(self._get_current_object())

    def __repr__(self) -> str:
        return repr(self._get_current_object())


#: Celery's ``current_task``: ``self`` where nobody has passed it.
current_task: Any = _CurrentTask()
