"""Pools that run bodies in the worker's own process: solo in its main thread, threads in several."""

from __future__ import annotations

import logging
import threading
import time
from uuid import UUID

from .. import runner
from ..outcomes import Claim
from .base import Finished, Pool, PoolOptions, Reported
from .hygiene import clean_connections, prepare_connections, run_coroutine
from .surroundings import Surroundings

logger = logging.getLogger("django_tasktrack.worker")

#: Options that need a process a body.
CHILDREN_ONLY = frozenset({"least", "max_tasks_per_child", "max_memory_per_child"})


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

    def abandon(self) -> None:
        with self._changed:  # what cannot be killed is asked to end
            self._revoked.update(
                (claim.task_id, claim.lease) for claim, _ in self._running.values()
            )
        super().abandon()

    def _work(self) -> None:
        """Run claims in the calling thread until the pool finishes."""
        while not self._finishing:
            taken = self._take()
            if taken is None:
                with self._changed:
                    if not self._waiting and not self._finishing:
                        self._changed.wait()
                continue
            self._run(*taken)

    def _run(self, claim: Claim, began: float) -> None:
        prepare_connections()
        outcome = runner.run(
            claim,
            self.worker,
            send=lambda report: self._post(Reported(claim, report, began, time.monotonic())),
            is_revoked=lambda: (claim.task_id, claim.lease) in self._revoked,
            run_coroutine=run_coroutine,
        )
        ended = time.monotonic()
        self._revoked.discard((claim.task_id, claim.lease))
        clean_connections()
        if self._ended(claim):
            self._post(Finished(claim, outcome, began, ended))


class SoloPool(_LocalPool):
    """One body at a time, in the main thread."""

    name = "solo"

    def __init__(self, options: PoolOptions) -> None:
        super().__init__(options)
        self.concurrency = 1

    def serve(self) -> None:
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

    def serve(self) -> None:
        threads = [
            threading.Thread(target=self._work, name=f"tasktrack-{number}", daemon=True)
            for number in range(self.concurrency)
        ]
        for thread in threads:
            thread.start()
        with self._changed:
            # With a timeout, so that signal handlers of the main thread get their turn.
            while not self._finishing:
                self._changed.wait(timeout=0.5)
