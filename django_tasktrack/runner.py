"""Runs one attempt of one task and says how it ended. Writes nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from functools import partial
from typing import Any

from django.db import DatabaseError

from . import epilogue, errbacks, registry
from .context import Context, running
from .epilogue import Epilogue
from .exceptions import Ignore, Reject, Retry, TaskRevoked
from .outcomes import (
    Claim,
    Outcome,
    Report,
    failed,
    ignored,
    rejected,
    retry_later,
    revoked,
    succeeded,
)
from .payloads import decode
from .registry import Definition
from .request import Request
from .retries import exhausted
from .serializers import is_plain, restored

Send = Callable[[Report], None]
OnError = Callable[[BaseException], object]
#: Takes what is to be told of an end once it is committed; not called where nobody wants to be told.
Later = Callable[[Epilogue], None]


def run(
    claim: Claim,
    worker: str,
    send: Send,
    is_revoked: Callable[[], bool],
    run_coroutine: Callable[[Coroutine[Any, Any, Any]], Any] = asyncio.run,
    *,
    later: Later | None = None,
    on_error: OnError | None = None,
) -> Outcome:
    """Run the body of a claimed task in the calling thread; an ``async def`` in a loop of its own.

    Args:
        claim: what to run.
        worker: the worker's name, for ``request.hostname``.
        send: takes the task's reports.
        is_revoked: whether someone wants it to end; asked at each checkpoint.
        run_coroutine: sees an ``async def`` to its end.
        later: takes what is to be told of the end once it is committed, if anybody listens.
        on_error: is given what the body raised, or what kept it from being run or its value from being kept.

    Returns:
        How it ended. No exception of the task's escapes, ``SystemExit`` included.
    """
    tell = on_error or _nobody
    try:
        attempt = _Attempt(claim, worker, send, is_revoked, tell)
    except Exception as error:  # noqa: BLE001  a row that cannot be read is that task's failure
        tell(error)
        return _unstarted(claim, error)
    with running(attempt.context):
        try:
            attempt.context.in_body = True
            # In a copy of the context: a language or a time zone that it activates ends with it.
            value = copy_context().run(attempt.call)
            if attempt.definition.is_async:
                value = run_coroutine(value)
            attempt.context.in_body = False
        except BaseException as error:  # noqa: BLE001  SystemExit in a task is that task's failure
            attempt.context.in_body = False
            return attempt.raised(error, later)
        return attempt.returned(value, later)


async def run_async(
    claim: Claim,
    worker: str,
    send: Send,
    is_revoked: Callable[[], bool],
    in_thread: Callable[[Callable[[], Any]], Awaitable[Any]] = asyncio.to_thread,
    *,
    later: Later | None = None,
) -> Outcome:
    """``run`` in the calling event loop; a body that is no ``async def`` runs ``in_thread``.

    Cancelled while somebody wants the task to end, it answers that it was revoked.
    """
    try:
        begin = partial(_Attempt, claim, worker, send, is_revoked)
        # What has to be looked up is looked up by a thread, which may wait.
        attempt = begin() if _is_plain(claim) else await in_thread(begin)
    except Exception as error:  # noqa: BLE001  as above
        return _unstarted(claim, error)
    with running(attempt.context):
        try:
            if not attempt.definition.is_async:
                value = await in_thread(attempt.call)
            else:
                if attempt.is_announced:  # by code that may wait
                    await in_thread(attempt.announce)
                value = await attempt.body()
        except asyncio.CancelledError as error:
            if is_revoked():
                return attempt.ended(revoked(""), None, error, later)
            return attempt.raised(error, later)
        except BaseException as error:  # noqa: BLE001  as above
            return attempt.raised(error, later)
        return attempt.returned(value, later)


def _nobody(error: BaseException) -> None:
    """Nobody wants to have the exception itself."""


class _Attempt:
    """One run of one body: its arguments decoded, its end judged."""

    def __init__(
        self,
        claim: Claim,
        worker: str,
        send: Send,
        is_revoked: Callable[[], bool],
        tell: OnError = _nobody,
    ) -> None:
        self.claim = claim
        self.definition = registry.get(claim.name)
        own, self._kwargs = restored(decode(claim.args)), restored(decode(claim.kwargs))
        headers = decode(claim.headers)
        self._args = [*errbacks.arguments(self.definition, headers, own, self._kwargs), *own]
        self._tell = tell
        request = partial(Request.of_claim, claim, tuple(self._args), self._kwargs, worker)
        self.context = Context(claim, request, send, is_revoked)
        self.is_announced = epilogue.announces(self.definition)
        self._began = time.monotonic()

    def call(self) -> Any:
        """The body's value; what awaits in it, for an ``async def``. Before it, its beginning is told."""
        if self.is_announced:
            self.announce()
        return self.body()

    def announce(self) -> None:
        """Tell whoever listens that the body begins."""
        epilogue.announce(self.definition, self.context)

    def body(self) -> Any:
        """The same as ``call``, and nothing told."""
        return self.definition.body(*self._args, **self._kwargs)

    def returned(self, value: Any, later: Later | None) -> Outcome:
        """The outcome of a body that has returned this."""
        if self.context.asked:
            return self.ended(self._retried(self.context.asked), value, None, later)
        if self.claim.ignore_result:
            return self.ended(succeeded(None), value, None, later)
        try:
            outcome = succeeded(self.definition.serialize_result()(value, "The result"))
        except Exception as error:  # noqa: BLE001  whatever a value does when it is looked at
            unfit = failed(error, reason="the result cannot be stored")
            return self.ended(unfit, None, error, later)
        return self.ended(outcome, value, None, later)

    def raised(self, error: BaseException, later: Later | None) -> Outcome:
        """The outcome of a body that has raised this."""
        return self.ended(self._outcome_of(error), None, error, later)

    def ended(
        self, outcome: Outcome, value: Any, error: BaseException | None, later: Later | None
    ) -> Outcome:
        """The outcome; if anybody wants to be told of it, ``later`` is given what to tell."""
        if error is not None:
            self._tell(error)
        if outcome.error and self.claim.ignore_result and not self.definition.keeps_errors():
            outcome = outcome._replace(error=outcome.error.type_alone())
        if later is not None and epilogue.is_wanted(self.definition, outcome.transition.target):
            told = Epilogue(
                self.definition, self.context, outcome, value=value, error=error, began=self._began
            )
            later(told)
        return outcome

    def _outcome_of(self, error: BaseException) -> Outcome:
        if isinstance(error, Ignore):
            return ignored(self.context.final)
        if isinstance(error, Reject):
            return rejected(error)
        if isinstance(error, Retry):
            return self._retried(error)
        if isinstance(error, TaskRevoked):
            return revoked("")
        return _after_error(self.definition, self.claim, error)

    def _retried(self, asked: Retry) -> Outcome:
        reason = _retry_reason(self.claim, asked.max_retries)
        return retry_later(asked.exc or asked, asked.delay, reason, asked.max_retries)


def _is_plain(claim: Claim) -> bool:
    """Whether its arguments are read without a look-up."""
    return is_plain(claim.args) and is_plain(claim.kwargs) and claim.headers is None


def _unstarted(claim: Claim, error: Exception) -> Outcome:
    """A row that cannot be read is that task's failure; where the database could not be asked for what
    it names, the task's own policy decides, as if the body had asked.
    """
    if isinstance(error, DatabaseError):
        return _after_error(registry.get(claim.name), claim, error)
    return failed(error, reason="could not be started")


def _after_error(definition: Definition, claim: Claim, error: BaseException) -> Outcome:
    policy = definition.retry
    own = policy.unasked_limit
    limit = claim.max_retries if own is None else own
    if policy.covers(error) and not exhausted(claim.retries, limit):
        delay = policy.unasked_delay_after(claim.retries)
        # So that the row allows for it; a smaller one does not bind what the task asks for itself.
        raised = own if exhausted(own or 0, claim.max_retries) else None
        return retry_later(error, delay, _retry_reason(claim, own), raised)
    return failed(error, expected=isinstance(error, definition.throws))


def _retry_reason(claim: Claim, max_retries: int | None = None) -> str:
    limit = claim.max_retries if max_retries is None else max_retries
    allowed = "" if limit is None else f" of {limit}"
    return f"retry {claim.retries + 1}{allowed}"
