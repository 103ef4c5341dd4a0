"""Pools that run bodies in the worker's own process: solo in its main thread, threads in several."""

from __future__ import annotations

import logging
import threading
import time
from uuid import UUID

from .. import runner
from ..epilogue import Epilogue
from ..outcomes import Claim
from .base import Finished, Pool, PoolOptions, Reported
from .hygiene import (
    clean_connections,
    prepare_connections,
    process_of_bodies,
    run_coroutine,
    run_with_clean_connections,
)
from .surroundings import Surroundings

logger = logging.getLogger("django_tasktrack.worker")

#: Options that need a process a body.
CHILDREN_ONLY = frozenset({"least", "max_tasks_per_child", "max_memory_per_child"})


class _Verdict:
    """Whether an end is committed: a body's thread waits for it, the engine's gives it."""

    def __init__(self) -> None:
        self._given = threading.Event()
        self._written = False

    def give(self, written: bool) -> None:
        """The first that is given counts."""
        if not self._given.is_set():
            self._written = written
            self._given.set()

    def wait(self) -> bool:
        self._given.wait()
        return self._written


class _LocalPool(Pool):
    """Bodies in this process. A thread cannot be killed, so neither can a task here."""

    cannot = CHILDREN_ONLY | {"time_limit", "soft_time_limit"}

    def __init__(self, options: PoolOptions) -> None:
        super().__init__(options)
        self._revoked: set[tuple[UUID, int]] = set()

    def revoke(self, task_id: UUID) -> None:
        with self._changed:
            running = self._running.get(task_id)
            if running is not None:
                self._revoked.add((task_id, running[0].lease))

    def acknowledge(self, claim: Claim, written: bool) -> None:
        verdict = self._teller(claim)
        if verdict is not None:
            verdict.give(written)

    def abandon(self) -> None:
        with self._changed:  # what cannot be killed is asked to end
            self._revoked.update(
                (claim.task_id, claim.lease) for claim, _ in self._running.values()
            )
            self._wait_no_longer()
        super().abandon()

    def finish(self) -> None:
        super().finish()
        with self._changed:
            self._wait_no_longer()

    def _wait_no_longer(self) -> None:
        """Nobody will say any more whether ends are committed."""
        for verdict in self._telling.values():
            verdict.give(False)

    def _work(self) -> None:
        """Run claims in the calling thread until the pool finishes, or has a thread too many."""
        while not (self._finishing or self._is_one_too_many()):
            taken = self._take()
            if taken is None:
                with self._changed:
                    if self._has_nothing_to_do():
                        self._changed.wait()
                continue
            self._run(*taken)

    def _has_nothing_to_do(self) -> bool:
        return not (self._waiting or self._finishing)

    def _is_one_too_many(self) -> bool:
        """Whether the calling thread is to end; it is counted out then."""
        return False

    def _run(self, claim: Claim, began: float) -> None:
        prepare_connections()
        told: list[Epilogue] = []
        outcome = runner.run(
            claim,
            self.worker,
            send=lambda report: self._post(Reported(claim, report, began, time.monotonic())),
            is_revoked=lambda: (claim.task_id, claim.lease) in self._revoked,
            run_coroutine=run_coroutine,
            later=told.append,
        )
        ended = time.monotonic()
        self._revoked.discard((claim.task_id, claim.lease))
        clean_connections()
        verdict = _Verdict() if told else None
        with self._changed:
            if not self._ended(claim):
                return
            if verdict:
                self._tells(claim, verdict)
        self._post(Finished(claim, outcome, began, ended, waits=bool(verdict)))
        if verdict:
            if verdict.wait():
                run_with_clean_connections(told.pop().tell)
            self._free(claim)


class SoloPool(_LocalPool):
    """One body at a time, in the main thread."""

    name = "solo"
    can_resize = False

    def __init__(self, options: PoolOptions) -> None:
        super().__init__(options)
        self.concurrency = 1

    def serve(self) -> None:
        with process_of_bodies():
            self._surroundings = Surroundings()
            self._work()

    def _run(self, claim: Claim, began: float) -> None:
        super()._run(claim, began)
        if not self._surroundings.restore():
            logger.error("%s[%s] has closed the output.", claim.name, claim.task_id)
            self._surroundings = Surroundings()


class ThreadPool(_LocalPool):
    """Bodies in threads, for tasks that wait more than they compute."""

    name = "threads"

    def __init__(self, options: PoolOptions) -> None:
        super().__init__(options)
        self._started = 0
        self._threads = 0

    def serve(self) -> None:
        with process_of_bodies():
            self._serve()

    def _serve(self) -> None:
        with self._changed:
            # With a timeout, so that signal handlers of the main thread get their turn.
            while not self._finishing:
                while self._threads < self.concurrency:
                    self._start_thread()
                self._changed.wait(timeout=0.5)

    def _start_thread(self) -> None:
        name = f"tasktrack-{self._started}"
        threading.Thread(target=self._work, name=name, daemon=True).start()
        self._started += 1
        self._threads += 1

    def _has_nothing_to_do(self) -> bool:
        return super()._has_nothing_to_do() and self._threads <= self.concurrency

    def _is_one_too_many(self) -> bool:
        with self._changed:
            if self._threads <= self.concurrency:
                return False
            self._threads -= 1
            return True
