"""The pool for ``async def`` tasks: thousands of bodies in flight in one event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from uuid import UUID

from asgiref.sync import sync_to_async

from .. import runner
from ..exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from ..outcomes import Claim, Outcome, failed
from .base import Finished, Pool, PoolOptions, Reported
from .hygiene import clean_connections, prepare_connections, run_with_clean_connections
from .local import CHILDREN_ONLY

#: Seconds between two looks at the connections, while nothing fails.
_CLEAN_EVERY = 1.0


class AsyncioPool(Pool):
    """Bodies in the event loop of the main thread; those that are no ``async def`` run in threads.

    A body is stopped by cancelling it, when it is revoked and when its time is over. It can refuse, so
    this pool does not claim to terminate.
    """

    name = "asyncio"
    cannot = CHILDREN_ONLY

    def __init__(self, options: PoolOptions) -> None:
        super().__init__(options)
        self._loop = asyncio.new_event_loop()
        self._bodies: dict[UUID, asyncio.Task[Outcome]] = {}
        self._watches: set[asyncio.Task[None]] = set()
        self._cleaned_at = 0.0
        self._revoked: set[UUID] = set()
        self._awake: asyncio.Event | None = None

    @staticmethod
    def default_concurrency() -> int:
        return 100

    def revoke(self, task_id: UUID) -> None:
        self._call(partial(self._cancel, task_id))

    def abandon(self) -> None:
        super().abandon()
        self._call(self._cancel_all)

    def serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as asyncio_runner:
            asyncio_runner.run(self._serve())

    async def _serve(self) -> None:
        self._awake = asyncio.Event()
        while not self._finishing:
            self._awake.clear()
            await self._prepare()
            while self._has_room() and (taken := self._take()):
                self._begin(*taken)
            await self._awake.wait()
        self._cancel_all()

    def _has_room(self) -> bool:
        return not self._finishing and len(self._bodies) < self.concurrency

    def _begin(self, claim: Claim, began: float) -> None:
        body = self._loop.create_task(
            runner.run_async(
                claim,
                self.worker,
                send=lambda report: self._post(Reported(claim, report, began, time.monotonic())),
                is_revoked=lambda: claim.task_id in self._revoked,
                in_thread=lambda body: asyncio.to_thread(run_with_clean_connections, body),
            )
        )
        self._bodies[claim.task_id] = body
        watching = self._loop.create_task(self._watch(claim, began, body))
        self._watches.add(watching)
        watching.add_done_callback(self._watches.discard)

    async def _watch(self, claim: Claim, began: float, body: asyncio.Task[Outcome]) -> None:
        """See one body to its end, and tell of it."""
        outcome = await self._within_limits(claim, body)
        ended = time.monotonic()
        del self._bodies[claim.task_id]
        self._revoked.discard(claim.task_id)
        await self._clean(outcome)
        if self._ended(claim):
            self._post(Finished(claim, outcome, began, ended))
        if self._awake is not None:
            self._awake.set()

    async def _within_limits(self, claim: Claim, body: asyncio.Task[Outcome]) -> Outcome:
        """The body's outcome; cancelled when its time is over, the limit's."""
        soft, hard = self.limits(claim)
        limit = min((seconds for seconds in (soft, hard) if seconds is not None), default=None)
        await asyncio.wait({body}, timeout=limit)
        if body.done():
            return body.result()
        body.cancel()
        await asyncio.wait({body}, timeout=self.options.terminate_grace)
        if limit == soft:
            return failed(SoftTimeLimitExceeded(f"It ran for more than {limit:g} s."))
        return failed(TimeLimitExceeded(f"It ran for more than {limit:g} s."))

    async def _prepare(self) -> None:
        """Have the connections of the thread that asynchronous code shares checked, if they were idle.

        Before a claim is taken: one that is taken has to be found by a wish to revoke it.
        """
        if time.monotonic() - self._cleaned_at >= _CLEAN_EVERY:
            await sync_to_async(prepare_connections)()

    async def _clean(self, outcome: Outcome) -> None:
        """Look after the connections of the thread that asynchronous code shares, now and then."""
        now = time.monotonic()
        if outcome.error is not None or now - self._cleaned_at >= _CLEAN_EVERY:
            self._cleaned_at = now
            await sync_to_async(clean_connections)()

    # From the engine's thread into the loop

    def _wake(self) -> None:
        self._call(lambda: self._awake.set() if self._awake else None)

    def _call(self, function: Callable[[], object]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function)

    def _cancel(self, task_id: UUID) -> None:
        body = self._bodies.get(task_id)
        if body is not None:  # a wish about a body that has ended must not meet a later attempt
            self._revoked.add(task_id)
            body.cancel()

    def _cancel_all(self) -> None:
        for body in self._bodies.values():
            body.cancel()
