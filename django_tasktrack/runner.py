"""Runs one attempt of one task and says how it ended. Writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from functools import partial
from typing import Any

from django.db import DatabaseError

from . import errbacks, registry
from .context import Context, Request, running
from .exceptions import Ignore, Retry, TaskRevoked
from .outcomes import Claim, Outcome, Report, failed, ignored, retry_later, revoked, succeeded
from .payloads import decode
from .registry import Definition
from .retries import exhausted
from .serializers import is_plain, restored

Send = Callable[[Report], None]
OnError = Callable[[BaseException], object]


def run(
    claim: Claim,
    worker: str,
    send: Send,
    is_revoked: Callable[[], bool],
    run_coroutine: Callable[[Coroutine[Any, Any, Any]], Any] = asyncio.run,
    *,
    on_error: OnError | None = None,
) -> Outcome:
    """Run the body of a claimed task in the calling thread; an ``async def`` in a loop of its own.

    Args:
        claim: what to run.
        worker: the worker's name, for ``request.hostname``.
        send: takes the task's reports.
        is_revoked: whether someone wants it to end; asked at each checkpoint.
        run_coroutine: sees an ``async def`` to its end.
        on_error: takes the exception that ended it, which the outcome has as text only.

    Returns:
        How it ended. No exception of the task's escapes, ``SystemExit`` included.
    """
    tell = on_error or _tell_nobody
    try:
        attempt = _Attempt(claim, worker, send, is_revoked)
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
            tell(error)
            return attempt.outcome_of_error(error)
        return attempt.outcome_of_value(value, tell)


async def run_async(
    claim: Claim,
    worker: str,
    send: Send,
    is_revoked: Callable[[], bool],
    in_thread: Callable[[Callable[[], Any]], Awaitable[Any]] = asyncio.to_thread,
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
            if attempt.definition.is_async:
                value = await attempt.call()
            else:
                value = await in_thread(attempt.call)
        except asyncio.CancelledError as error:
            return revoked("") if is_revoked() else attempt.outcome_of_error(error)
        except BaseException as error:  # noqa: BLE001  as above
            return attempt.outcome_of_error(error)
        return attempt.outcome_of_value(value, _tell_nobody)


def _tell_nobody(error: BaseException) -> None:
    """Nobody asks for the exception itself."""


class _Attempt:
    """One run of one body: its arguments decoded, its end judged."""

    def __init__(
        self, claim: Claim, worker: str, send: Send, is_revoked: Callable[[], bool]
    ) -> None:
        self.claim = claim
        self.definition = registry.get(claim.name)
        headers = decode(claim.headers)
        own, self._kwargs = restored(decode(claim.args)), restored(decode(claim.kwargs))
        self._args = [*errbacks.arguments(self.definition, headers, own), *own]
        request = partial(_request, claim, tuple(self._args), self._kwargs, headers, worker)
        self.context = Context(claim, request, send, is_revoked)

    def call(self) -> Any:
        """The body's value; what awaits in it, for an ``async def``."""
        return self.definition.body(*self._args, **self._kwargs)

    def outcome_of_value(self, value: Any, tell: OnError) -> Outcome:
        if self.claim.ignore_result:
            return succeeded(None)
        try:
            return succeeded(self.definition.serialize_result()(value, "The result"))
        except Exception as error:  # noqa: BLE001  whatever a value does when it is looked at
            tell(error)
            return failed(error, reason="the result cannot be stored")

    def outcome_of_error(self, error: BaseException) -> Outcome:
        outcome = self._judged(error)
        if outcome.error and self.claim.ignore_result and not self.definition.keeps_errors():
            return outcome._replace(error=outcome.error.type_alone())
        return outcome

    def _judged(self, error: BaseException) -> Outcome:
        if isinstance(error, Ignore):
            return ignored()
        if isinstance(error, Retry):
            reason = _retry_reason(self.claim, error.max_retries)
            return retry_later(error.exc or error, error.delay, reason, error.max_retries)
        if isinstance(error, TaskRevoked):
            return revoked("")
        return _after_error(self.definition, self.claim, error)


def _is_plain(claim: Claim) -> bool:
    return is_plain(claim.args) and is_plain(claim.kwargs)


def _unstarted(claim: Claim, error: Exception) -> Outcome:
    """A row that cannot be read is that task's failure; where the database could not be asked for what
    it names, the task's own policy decides, as if the body had asked.
    """
    if isinstance(error, DatabaseError):
        return _after_error(registry.get(claim.name), claim, error)
    return failed(error, reason="could not be started")


def _after_error(definition: Definition, claim: Claim, error: BaseException) -> Outcome:
    policy = definition.retry
    if policy.covers(error) and not exhausted(claim.retries, claim.max_retries):
        return retry_later(error, policy.delay_after(claim.retries), _retry_reason(claim))
    return failed(error)


def _retry_reason(claim: Claim, max_retries: int | None = None) -> str:
    limit = claim.max_retries if max_retries is None else max_retries
    allowed = "" if limit is None else f" of {limit}"
    return f"retry {claim.retries + 1}{allowed}"


def _request(
    claim: Claim,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    headers: dict[str, Any] | None,
    worker: str,
) -> Request:
    return Request(
        id=str(claim.task_id),
        task=claim.name,
        args=args,
        kwargs=kwargs,
        attempt=claim.attempt,
        retries=claim.retries,
        hostname=worker,
        delivery_info={"routing_key": claim.queue, "priority": claim.priority},
        eta=claim.eta,
        expires=claim.expires_at,
        owner=claim.owner,
        root_id=str(claim.root_id or claim.task_id),
        parent_id=None if claim.parent_id is None else str(claim.parent_id),
        group=None if claim.group_id is None else str(claim.group_id),
        headers=headers or {},
        is_eager=claim.is_eager,
    )
