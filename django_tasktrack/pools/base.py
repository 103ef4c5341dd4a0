"""What every pool can do: take claims, run them, tell how they ended.

The engine's thread submits and asks; the pool runs bodies elsewhere and posts events.
"""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from ..outcomes import Claim, Outcome, Report


class Finished(NamedTuple):
    """A body ended by itself. Moments are on this process's monotonic clock, here and below.

    ``waits`` tells whether what ran it wants to know (``acknowledge``) when its end is committed.
    """

    claim: Claim
    outcome: Outcome
    began: float
    ended: float
    waits: bool = False


class Died(NamedTuple):
    """The process that ran a body ended under it."""

    claim: Claim
    how: str
    began: float
    ended: float


class Reported(NamedTuple):
    """A running task told how far it is."""

    claim: Claim
    report: Report
    began: float
    happened: float


class Free(NamedTuple):
    """What ran a body has told of its end whoever listens, and takes others again."""

    claim: Claim


Event = Finished | Died | Reported | Free
Post = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How a pool runs bodies. Times are seconds.

    Args:
        worker: the worker's name, for the tasks' ``request.hostname``.
        concurrency: bodies that run at once; None for the pool's own default.
        least: with a pool that can shrink, how many children it keeps when there is nothing to do.
        terminate_grace: between a terminating signal and SIGKILL.
        time_limit, soft_time_limit: of tasks that have none of their own.
        max_tasks_per_child: tasks after which a child is replaced.
        max_memory_per_child: bytes of resident memory beyond which it is replaced, after its task.
    """

    worker: str
    concurrency: int | None = None
    least: int | None = None
    terminate_grace: float = 5.0
    time_limit: float | None = None
    soft_time_limit: float | None = None
    max_tasks_per_child: int | None = None
    max_memory_per_child: int | None = None


class Pool(ABC):
    """Runs claims, ``concurrency`` at a time.

    ``serve`` belongs to the main thread and returns after ``finish``; everything else is called from
    the engine's thread.
    """

    name: ClassVar[str]
    #: Whether a running body can be stopped against its will.
    can_terminate: ClassVar[bool] = False
    #: Whether it can run more or fewer bodies at once than it did when it was started.
    can_resize: ClassVar[bool] = True
    #: What of ``PoolOptions`` this pool cannot do.
    cannot: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, options: PoolOptions) -> None:
        self.options = options
        self.concurrency = options.concurrency or self.default_concurrency()
        self.worker = options.worker
        self._changed = threading.Condition()
        self._waiting: dict[UUID, tuple[Claim, float]] = {}
        self._running: dict[UUID, tuple[Claim, float]] = {}
        #: What tells, or waits to tell, of an end that was posted: it takes no other claim meanwhile.
        self._telling: dict[tuple[UUID, int], Any] = {}
        self._finishing = False
        self._post: Post

    @staticmethod
    def default_concurrency() -> int:
        if hasattr(os, "sched_getaffinity"):  # what this process may use, not what the machine has
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1

    def refused_options(self) -> list[str]:
        """What was asked for and this pool cannot do."""
        return sorted(name for name in self.cannot if getattr(self.options, name) is not None)

    def limits(self, claim: Claim) -> tuple[float | None, float | None]:
        """The soft and the hard time limit of a claim."""
        soft = claim.soft_time_limit or self.options.soft_time_limit
        return soft, claim.time_limit or self.options.time_limit

    def start(self, post: Post) -> None:
        """Get ready to run; events go to ``post``, from any thread."""
        self._post = post

    @abstractmethod
    def serve(self) -> None:
        """Run what is submitted until ``finish`` is called."""

    def submit(self, claims: Sequence[Claim]) -> None:
        """Run these as soon as there is room, in this order."""
        now = time.monotonic()
        with self._changed:
            self._waiting.update((claim.task_id, (claim, now)) for claim in claims)
        self._wake()

    def resize(self, concurrency: int) -> None:
        """Run so many bodies at once from now on. Those that run are not stopped."""
        with self._changed:
            self.concurrency = concurrency
        self._wake()

    def finish(self) -> None:
        """Let ``serve`` return. What still runs is not waited for."""
        self._finishing = True
        self._wake()

    def load(self) -> tuple[int, int]:
        """How many claims wait for room, and how many run, or have ended and are still told of."""
        with self._changed:
            return len(self._waiting), len(self._running) + len(self._telling)

    def running(self) -> list[tuple[Claim, float]]:
        """What runs, and since when on the monotonic clock."""
        with self._changed:
            return list(self._running.values())

    def has(self, task_id: UUID) -> bool:
        """Whether a claim of this task waits or runs here."""
        with self._changed:
            return task_id in self._waiting or task_id in self._running

    def withdraw(self, task_id: UUID) -> bool:
        """Take a waiting claim back. False: it runs or has run, and cannot be taken back."""
        with self._changed:
            return self._waiting.pop(task_id, None) is not None

    def withdraw_waiting(self, longer_than: float = 0.0) -> list[Claim]:
        """Take back what has waited for so many seconds."""
        limit = time.monotonic() - longer_than
        with self._changed:
            late = [claim for claim, since in self._waiting.values() if since <= limit]
            for claim in late:
                del self._waiting[claim.task_id]
            return late

    @abstractmethod
    def revoke(self, task_id: UUID) -> None:
        """Have a running task told, at its next checkpoint, that it is to end."""

    def terminate(self, task_id: UUID, signal: str) -> bool:
        """Kill the process that runs a task. False: this pool cannot, or it does not run here."""
        return False

    def acknowledge(self, claim: Claim, written: bool) -> None:  # noqa: B027  not every pool waits
        """Let what ran a claim, and waits, know that its end is committed.

        Args:
            claim: as ``Finished`` has named it.
            written: False: it was refused, and nobody is to be told of it.
        """

    def abandon(self) -> None:
        """Forget what waits and runs; no event tells of it. What can be killed is killed."""
        with self._changed:
            self._waiting.clear()
            self._running.clear()
            self._telling.clear()

    def leaves_bodies_running(self) -> bool:
        """Whether bodies that are no longer told of run on in this process, and would keep it from ending."""
        return False

    # For the pools themselves

    def _take(self) -> tuple[Claim, float] | None:
        """The next claim to run now, marked as running."""
        with self._changed:
            if not self._waiting:
                return None
            task_id = next(iter(self._waiting))
            claim, _ = self._waiting.pop(task_id)
            self._running[task_id] = claim, time.monotonic()
            return self._running[task_id]

    def _ended(self, claim: Claim) -> bool:
        """Mark a claim as no longer running. False: it was abandoned, and nobody wants to know."""
        with self._changed:
            known = self._running.get(claim.task_id)
            if known is None or known[0].lease != claim.lease:
                return False
            del self._running[claim.task_id]
            return True

    def _teller(self, claim: Claim) -> Any:
        """Who tells, or waits to tell, of this claim's end; None: nobody any more."""
        with self._changed:
            return self._telling.get(_attempt(claim))

    def _tells(self, claim: Claim, who: Any) -> None:
        """Somebody has to be told of this claim's end, by whoever ran it."""
        with self._changed:
            self._telling[_attempt(claim)] = who

    def _free(self, claim: Claim) -> None:
        """Nothing more is told of this claim's end."""
        with self._changed:
            self._telling.pop(_attempt(claim), None)
        self._post(Free(claim))

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


def _attempt(claim: Claim) -> tuple[UUID, int]:
    return claim.task_id, claim.lease
