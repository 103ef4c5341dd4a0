"""Calls that run here and now, without a row: ``Task.apply()``, and every call under ``ALWAYS_EAGER``."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from datetime import datetime
from typing import Any, TypeVar

from asgiref.sync import async_to_sync
from django.utils import timezone

from . import runner
from .changes import NewTask
from .conf import config
from .epilogue import Epilogue
from .errbacks import Failed
from .exceptions import MaxRetriesExceededError, NotRunning, TaskRevoked, TaskRevokedError
from .models import Progress, StateChange
from .outcomes import Claim, Outcome, Report
from .payloads import decode
from .progress import ProgressView
from .request import Request
from .result import AsyncResult
from .serializers import restored
from .states import State
from .transitions import Answer

_T = TypeVar("_T")

#: After so many attempts a call is given up: a task without a limit of its own would be retried for ever.
MOST_ATTEMPTS = 1000


class EagerResult(AsyncResult):
    """What became of a call that ran here. It has ended, and there is no row: nothing is read or waited for.

    Args:
        claim: its last attempt.
        outcome: how that ended.
        error: what the body raised, with its own traceback; ``get()`` raises it again.
        report: what it told of itself.
    """

    def __init__(
        self, claim: Claim, outcome: Outcome, error: BaseException | None, report: Report | None
    ) -> None:
        super().__init__(claim.task_id)
        self._claim = claim
        self._outcome = outcome
        self._error = error
        self._report = report or Report()
        self._returned = restored(decode(outcome.result))
        self._ended_at = timezone.now()
        self._children: list[AsyncResult] = []
        self._waited_for: BaseException | None = None

    def __repr__(self) -> str:
        return f"<EagerResult {self.id}>"

    @property
    def returned_text(self) -> str:
        """The value as a row would hold it."""
        return self._outcome.result or "null"

    @property
    def is_settled(self) -> bool:
        return True

    def _current(self) -> None:
        """No row: it is not asked for."""

    @property
    def state(self) -> str:
        return self._outcome.transition.target

    def exists(self) -> bool:
        return False

    def ready(self) -> bool:
        return True

    def _is(self, state: State) -> bool:
        return self.state == state

    @property
    def result(self) -> Any:
        """The return value; after a failure the exception itself."""
        if self.state == State.REVOKED:
            return TaskRevokedError(f"Task {self.id} was revoked.")
        return self._returned if self.state == State.SUCCESS else self._error

    @property
    def traceback(self) -> str | None:
        return self._outcome.error.traceback if self._outcome.error else None

    @property
    def progress(self) -> ProgressView:
        told = self._report
        row = Progress(current=told.current, total=told.total)
        return ProgressView(
            told.current, told.total, row.percent, told.message or "", meta=decode(told.meta)
        )

    def history(self) -> list[StateChange]:
        """Nothing: history is of rows."""
        return []

    @property
    def name(self) -> str:
        return self._claim.name

    @property
    def args(self) -> list[Any]:
        return list(restored(decode(self._claim.args)))

    @property
    def kwargs(self) -> dict[str, Any]:
        return dict(restored(decode(self._claim.kwargs)))

    @property
    def queue(self) -> str:
        return self._claim.queue

    @property
    def retries(self) -> int:
        return self._claim.retries

    @property
    def date_done(self) -> datetime:
        return self._ended_at

    @property
    def result_expired_at(self) -> None:
        """Never: it is no row, and goes with the process."""

    @property
    def worker(self) -> str:
        return socket.gethostname()

    def has_ended(self) -> bool:
        return True

    def value(self, propagate: bool = True) -> Any:
        if self.state == State.SUCCESS:
            return self._returned
        error = self.failure or self.result
        if propagate:
            raise error
        return error

    @property
    def failure(self) -> BaseException | None:
        """What was raised where it failed, or where that failed which it has waited for."""
        return self._error if self.state == State.FAILURE else self._waited_for

    def as_failed(self) -> Failed:
        """What an errback is told of it."""
        claim = self._claim
        request = Request.of_claim(claim, tuple(self.args), self.kwargs, self.worker)
        return Failed(request, self.value(propagate=False), self.traceback)

    @property
    def children(self) -> list[AsyncResult]:
        """The results of what has waited for it. Of what its body has called nothing is known."""
        return self._children

    def revoke(self, *args: Any, **options: Any) -> Answer:
        """Refused: it has ended."""
        return Answer.REFUSED

    def rerun(self, **options: Any) -> Answer:
        """Refused: there is no row to run again."""
        return Answer.REFUSED

    def forget(self) -> None:
        self._returned = None

    def refresh(self) -> None:
        """Nothing can have changed."""


def run(new: NewTask, *, throw: bool | None = None, retries: int = 0) -> EagerResult:
    """Run a prepared call to its end in the calling thread, its retries at once one after the other.

    Args:
        new: what would have been enqueued.
        throw: raise what its last attempt raised; by default as ``TASKTRACK["EAGER_PROPAGATES"]`` says.
        retries: as if so many had come before.

    Raises:
        MaxRetriesExceededError: it is retried without an end.
    """
    claim = _claim_of(new, retries)
    for _ in range(MOST_ATTEMPTS):
        result = _attempt(claim)
        if not result._outcome.transition.yields:
            break
        claim = _next(claim, result._outcome)
    else:
        raise MaxRetriesExceededError(
            f"{claim.name} was retried {MOST_ATTEMPTS:,} times in one call, without a delay.",
            hint="Give it max_retries, or let what it waits for come true before it is called.",
        )
    if result.failed() and (config().EAGER_PROPAGATES if throw is None else throw):
        result.value()
    return result


def unrun(new: NewTask, outcome: Outcome, error: BaseException | None) -> EagerResult:
    """What became of a call that did not run; ``error`` is of the one that it has waited for."""
    result = EagerResult(_claim_of(new, 0), outcome, None, None)
    result._waited_for = error
    return result


def _attempt(claim: Claim) -> EagerResult:
    raised: list[BaseException] = []
    told: list[Report] = []
    epilogues: list[Epilogue] = []
    outcome = runner.run(
        claim,
        socket.gethostname(),
        send=lambda report: told.append(report.over(told.pop() if told else None)),
        is_revoked=lambda: False,
        run_coroutine=run_here,
        later=epilogues.append,
        on_error=raised.append,
    )
    for epilogue in epilogues:  # nothing is committed that it could wait for
        epilogue.tell()
    if raised and is_about_the_process(raised[-1]):
        raise raised[-1]
    return EagerResult(claim, outcome, raised[-1] if raised else None, told[-1] if told else None)


def _claim_of(new: NewTask, retries: int) -> Claim:
    return Claim(
        task_id=new.task_id,
        name=new.name,
        args=new.args,
        kwargs=new.kwargs,
        queue=new.queue,
        priority=new.priority,
        attempt=1 + retries,
        losses=0,
        crashes=0,
        lease=0,
        worker_id=0,
        max_attempts=new.max_attempts,
        eta=new.run_after,
        expires_at=new.expires_at,
        owner=new.owner,
        goal_id=new.goal_id,
        root_id=new.root_id,
        parent_id=new.parent_id,
        group_id=new.group_id,
        headers=new.headers,
        ignore_result=new.ignore_result,
    )


def _next(claim: Claim, outcome: Outcome) -> Claim:
    limit = claim.max_attempts if outcome.max_attempts is None else outcome.max_attempts
    return claim._replace(attempt=claim.attempt + 1, max_attempts=limit)


def run_here(body: Coroutine[Any, Any, _T]) -> _T:
    """See an ``async def`` to its end; what it calls by ``sync_to_async`` runs in the calling thread.

    So the ORM finds the caller's connection there, with its open transaction.

    Raises:
        NotRunning: the calling thread runs an event loop, which would have to wait for itself.
    """
    if is_in_a_loop():
        body.close()
        raise NotRunning(
            "A task that is an async def cannot be run to its end inside of an event loop.",
            hint="Run it from there by await sync_to_async(...)().",
        )
    return async_to_sync(_awaited)(body)


async def _awaited(body: Coroutine[Any, Any, _T]) -> _T:
    return await body


def is_in_a_loop() -> bool:
    """Whether the calling thread runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def is_about_the_process(error: BaseException) -> bool:
    """Whether it is no end of a task but of what runs it: Ctrl-C, or the verdict of a test framework."""
    ends_of_tasks = (Exception, SystemExit, TaskRevoked, asyncio.CancelledError, GeneratorExit)
    return not isinstance(error, ends_of_tasks)
