"""The worker's side of one child: what it runs, and what is due by the clock."""

from __future__ import annotations

import math
import time
from multiprocessing.connection import Connection

from ..outcomes import Claim, Outcome
from .child import Done
from .forkserver import Spawned


class ChildProcess:
    """A child as the worker knows it. Moments are monotonic; ``math.inf`` stands for never.

    Attributes:
        claim: what it runs now.
        began: since when.
        soft_at, hard_at: when that claim's time limits have passed.
        kill_at: when it is killed because a politer signal did not end it.
        verdict: how its claim ends when it is killed, if not as lost.
        retired: it gets no more tasks, and ends by itself.
        idle_since: since when it has nothing to do.
    """

    def __init__(self, spawned: Spawned) -> None:
        self.pid = spawned.pid
        self.link = Connection(spawned.socket.detach())
        self.claim: Claim | None = None
        self.began = 0.0
        self.soft_at = self.hard_at = self.kill_at = math.inf
        self.verdict: Outcome | None = None
        self.retired = False
        self.idle_since = time.monotonic()
        self._tasks = 0

    def assign(self, claim: Claim, began: float, soft: float | None, hard: float | None) -> None:
        """Have it run a claim, with these limits in seconds."""
        self.claim, self.began = claim, began
        self.soft_at = math.inf if soft is None else began + soft
        self.hard_at = math.inf if hard is None else began + hard
        self.link.send(claim)

    def done(self) -> None:
        """What it ran has ended by itself."""
        self.claim = None
        self.soft_at = self.hard_at = math.inf
        self.idle_since = time.monotonic()
        self._tasks += 1

    def is_worn(self, last: Done, max_tasks: int | None, max_memory: int | None) -> bool:
        """Whether it has run as many tasks, or taken as much memory, as one child may, or is unfit."""
        too_many = max_tasks is not None and self._tasks >= max_tasks
        return too_many or not last.fit or (max_memory is not None and last.memory > max_memory)

    def retire(self) -> None:
        """Let it end; it has nothing to do."""
        self.retired = True
        self.link.send(None)

    def due_at(self) -> float:
        """When the clock has something to say about it next."""
        return min(self.soft_at, self.hard_at, self.kill_at)
