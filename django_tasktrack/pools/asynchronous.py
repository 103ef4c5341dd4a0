"""The pool for ``async def`` tasks: thousands of bodies in flight in one event loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import connections

from .. import runner
from ..epilogue import Epilogue
from ..exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from ..outcomes import Claim, Outcome, failed, revoked
from .base import Finished, Pool, PoolOptions, Reported
from .hygiene import (
    clean_connections,
    prepare_connections,
    process_of_bodies,
    run_with_clean_connections,
)
from .local import CHILDREN_ONLY

logger = logging.getLogger("django_tasktrack.worker")

#: Seconds between two looks at the connections, while nothing fails.
_CLEAN_EVERY = 1.0
#: More than a pool has places.
_MANY_THREADS = 1_000_000
#: As the worker ends, what bodies have left behind gets so many seconds to end too.
_LEAVE = 0.5


class _Threads(ThreadPoolExecutor):
    """Threads that tell whether something runs in them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._calls: set[Future[Any]] = set()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        call = super().submit(fn, *args, **kwargs)
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return call

    def is_busy(self) -> bool:
        return bool(self._calls)


class AsyncioPool(Pool):
    """Bodies in the event loop of the main thread; those that are no ``async def`` run in threads.

    A body is stopped by cancelling it, when it is revoked and when its time is over. It can refuse, and a
    thread goes on, so this pool does not claim to terminate.

    All ``async def`` bodies share one more thread, asgiref's, for what they call by ``sync_to_async``, the
    ORM included. Any of them may hold it for long, so the pool itself never waits for it.
    """

    name = "asyncio"
    cannot = CHILDREN_ONLY

    def __init__(self, options: PoolOptions) -> None:
        super().__init__(options)
        self._loop = asyncio.new_event_loop()
        self._bodies: dict[UUID, asyncio.Task[Outcome]] = {}
        self._aside: set[asyncio.Task[None]] = set()
        self._preparing: asyncio.Task[None] | None = None
        self._cleaned_at = 0.0
        self._revoked: set[UUID] = set()
        self._awake: asyncio.Event | None = None
        self._serving: asyncio.Task[Any] | None = None
        # A thread for each body that may run, and for each that runs on after its end was told: twice as many
        # as places. Threads are started when they are needed, so the places are what bounds them.
        self._places = self.concurrency
        self._left: set[Future[Any] | asyncio.Task[Outcome]] = set()
        self._threads = _Threads(_MANY_THREADS, thread_name_prefix="tasktrack")
        #: Those of bodies that use ``asyncio.to_thread`` and its like.
        self._their_threads = _Threads(thread_name_prefix="asyncio")
        self._loop.set_default_executor(self._their_threads)

    @staticmethod
    def default_concurrency() -> int:
        return 100

    def revoke(self, task_id: UUID) -> None:
        self._call(partial(self._cancel, task_id))

    def resize(self, concurrency: int) -> None:
        with self._changed:
            self._places = concurrency
            self._count_places()
        self._wake()

    def acknowledge(self, claim: Claim, written: bool) -> None:
        verdict = self._teller(claim)
        if verdict is not None:
            self._call(partial(_give, verdict, written))

    def abandon(self) -> None:
        with self._changed:
            waiting = list(self._telling.values())
        super().abandon()
        for verdict in waiting:  # nobody will say any more whether they are committed
            self._call(partial(_give, verdict, False))
        self._call(self._cancel_all)

    def leaves_bodies_running(self) -> bool:
        if self._loop.is_closed():
            return False
        asked = asyncio.run_coroutine_threadsafe(self._is_deserted(), self._loop)
        try:
            return not asked.result(timeout=4 * _LEAVE)
        except TimeoutError:  # the loop itself is held up
            return True

    def serve(self) -> None:
        with (
            process_of_bodies(),
            asyncio.Runner(loop_factory=lambda: self._loop) as asyncio_runner,
        ):
            asyncio_runner.run(self._serve())
        self._threads.shutdown(wait=False)

    async def _serve(self) -> None:
        self._serving = asyncio.current_task()
        self._awake = asyncio.Event()
        while not self._finishing:
            self._awake.clear()
            while self._has_room() and (taken := self._take()):
                self._prepare()
                self._begin(*taken)
            await self._awake.wait()
        self._cancel_all()

    def _has_room(self) -> bool:
        busy = len(self._bodies) + len(self._telling)
        return not self._finishing and busy < self.concurrency

    def _begin(self, claim: Claim, began: float) -> None:
        told: list[Epilogue] = []
        body = self._loop.create_task(
            runner.run_async(
                claim,
                self.worker,
                send=lambda report: self._post(Reported(claim, report, began, time.monotonic())),
                is_revoked=lambda: claim.task_id in self._revoked,
                in_thread=self._in_thread,
                later=told.append,
            )
        )
        self._bodies[claim.task_id] = body
        self._keep(self._loop.create_task(self._watch(claim, began, body, told)))

    def _keep(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        """Hold a task of the pool's own until it has ended: a loop alone does not."""
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)
        return task

    async def _watch(
        self, claim: Claim, began: float, body: asyncio.Task[Outcome], told: list[Epilogue]
    ) -> None:
        """See one body to its end, and tell of it."""
        outcome = await self._within_limits(claim, body)
        ended = time.monotonic()
        if self._bodies.get(claim.task_id) is body:
            del self._bodies[claim.task_id]
        self._revoked.discard(claim.task_id)
        # Of an end that is not the body's own it has nothing to tell.
        own = body.done() and not body.cancelled() and body.result() is outcome
        verdict = self._loop.create_future() if told and own else None
        known = self._has_ended(claim, verdict)
        if known:
            self._post(Finished(claim, outcome, began, ended, waits=bool(verdict)))
        self._clean(outcome)
        if known and verdict:
            if await verdict:
                await self._in_thread(told.pop().tell)
            self._free(claim)
        if self._awake is not None:
            self._awake.set()

    def _has_ended(self, claim: Claim, verdict: asyncio.Future[bool] | None) -> bool:
        """Mark a claim as no longer running. False: nobody wants to know. Whoever listens is told of it
        when the verdict has come."""
        with self._changed:
            known = self._ended(claim)
            if known and verdict:
                self._tells(claim, verdict)
            return known

    async def _within_limits(self, claim: Claim, body: asyncio.Task[Outcome]) -> Outcome:
        """The body's outcome; cancelled when its time is over, the limit's."""
        soft, hard = self.limits(claim)
        limit = min((seconds for seconds in (soft, hard) if seconds is not None), default=None)
        await asyncio.wait({body}, timeout=limit)
        if body.cancelled():  # before its first step, so that it could not answer by itself
            return revoked("")
        if body.done():
            return body.result()
        body.cancel()
        await asyncio.wait({body}, timeout=self.options.terminate_grace)
        if not body.done():
            self._leave(body)
        if limit == soft:
            return failed(SoftTimeLimitExceeded(f"It ran for more than {limit:g} s."))
        return failed(TimeLimitExceeded(f"It ran for more than {limit:g} s."))

    # Bodies in threads, and what runs on after its end was told

    async def _in_thread(self, body: Callable[[], Any]) -> Any:
        call = self._threads.submit(copy_context().run, run_with_clean_connections, body)
        try:
            return await asyncio.wrap_future(call)
        finally:
            if not call.done():
                self._leave(call)

    def _leave(self, body: Future[Any] | asyncio.Task[Outcome]) -> None:
        """It does not end. Others take its place, up to a second thread for each place."""
        logger.warning("A body that is to end runs on; as long as it does it costs a thread.")
        self._left.add(body)
        self._count_places()
        body.add_done_callback(lambda _: self._call(partial(self._came_back, body)))

    def _came_back(self, body: Future[Any] | asyncio.Task[Outcome]) -> None:
        self._left.discard(body)
        self._count_places()
        if self._awake is not None:
            self._awake.set()

    def _count_places(self) -> None:
        self.concurrency = max(0, min(self._places, 2 * self._places - len(self._left)))

    async def _is_deserted(self) -> bool:
        """Whether nothing of any body is left, in the loop or in a thread; what can be stopped is."""
        rest = asyncio.all_tasks() - {asyncio.current_task(), self._serving}
        for task in rest:
            task.cancel()
        if rest:
            await asyncio.wait(rest, timeout=_LEAVE)
        try:
            async with asyncio.timeout(_LEAVE):  # whoever uses their shared thread comes first
                await sync_to_async(connections.close_all)()
        except TimeoutError:
            return False
        threads = self._threads, self._their_threads
        return all(t.done() for t in rest) and not any(t.is_busy() for t in threads)

    # The connections of the thread that asynchronous code shares. It does one thing after the other, so
    # what is put there now comes before all that a later body asks of it.

    def _prepare(self) -> None:
        """Have them checked before a new body uses them, if they were idle."""
        idle = time.monotonic() - self._cleaned_at >= _CLEAN_EVERY
        if idle and (self._preparing is None or self._preparing.done()):
            self._preparing = self._keep(self._in_shared_thread(prepare_connections))

    def _clean(self, outcome: Outcome) -> None:
        """Look after them, now and then, and where a body has failed."""
        now = time.monotonic()
        if outcome.error is not None or now - self._cleaned_at >= _CLEAN_EVERY:
            self._cleaned_at = now
            self._keep(self._in_shared_thread(clean_connections))

    def _in_shared_thread(self, call: Callable[[], None]) -> asyncio.Task[None]:
        return self._loop.create_task(sync_to_async(call)())

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


def _give(verdict: asyncio.Future[bool], written: bool) -> None:
    if not verdict.done():
        verdict.set_result(written)
