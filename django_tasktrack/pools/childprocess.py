"""The worker's side of one child: what it was given, what it runs, and what is due by the clock."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from ..outcomes import Claim, Outcome
from .child import Done, Rested, Revoke, Settled
from .forkserver import Spawned
from .inbox import WorkersInbox
from .link import Link

#: What was given behind a body goes to others when that body runs for so many seconds.
OVERTAKEN_AFTER = 0.02

#: The soft and the hard time limit of a claim, in seconds.
Limits = Callable[[Claim], tuple[float | None, float | None]]


class Given(NamedTuple):
    """A claim that a child was given, its number and the moment."""

    number: int
    claim: Claim
    at: float


class ChildProcess:
    """A child as the worker knows it. Moments are monotonic; ``math.inf`` stands for never.

    Attributes:
        given: what it was given and has not ended. The first runs, or will at once; the child takes the
            next when it has told the end of the one before.
        telling: what has ended there, and receivers are still told of; it takes nothing meanwhile.
        began: since when the first one runs.
        soft_at, hard_at: when that one's time limits have passed.
        kill_at: when it is killed because a politer signal did not end it.
        verdict: how what it runs ends when it is killed, if not as lost.
        retired: it gets no more tasks, and ends by itself.
        signals: how many are on their way to it.
        idle_since: since when it has nothing to do.
    """

    def __init__(self, spawned: Spawned, limits: Limits) -> None:
        self.pid = spawned.pid
        self.link = Link(spawned.link)
        self.given: deque[Given] = deque()
        self.telling: Given | None = None
        self.began = 0.0
        self.soft_at = self.hard_at = self.kill_at = math.inf
        self.verdict: Outcome | None = None
        self.retired = False
        self.signals = 0
        self.idle_since = time.monotonic()
        self._inbox = WorkersInbox(spawned.receiver, spawned.sender)
        self._limits = limits
        self._tasks = 0

    @property
    def claim(self) -> Claim | None:
        """What it runs."""
        return self.given[0].claim if self.given else None

    def takes_more(self, now: float) -> bool:
        """Whether it can be given a claim: that would not wait for a long body, nor meet a signal that
        was for another one."""
        if self.retired or self.telling or self.kill_at != math.inf or self.signals:
            return False
        return not self.given or now < self.began + OVERTAKEN_AFTER / 2

    def give(self, number: int, claim: Claim) -> bool:
        """Have it run a claim after those that it has. False: there is no room for it."""
        if not self._inbox.put(number, claim):
            return False
        now = time.monotonic()
        self.given.append(Given(number, claim, now))
        if len(self.given) == 1:
            self._begins(now)
        return True

    def done(self, done: Done) -> Claim:
        """What it ran has ended by itself; returns that claim.

        Raises:
            ValueError: it does not run what it speaks of.
        """
        if not self.given or self.given[0].number != done.number:
            raise ValueError("it speaks of a task that it does not run.")
        ended = self.given.popleft()
        self._tasks += 1
        if done.waits:
            self.telling = ended
        self._begins(done.ended)
        return ended.claim

    def settled(self, written: bool) -> None:
        """Have it told that the end that it waits for is committed, or was refused. Telling of it may
        take as long as its body."""
        if self.telling is None:
            return
        self.link.send(Settled(self.telling.number, written))
        _, hard = self._limits(self.telling.claim)
        self.hard_at = math.inf if hard is None else time.monotonic() + hard

    def rested(self, rested: Rested) -> Claim:
        """It has told of the end of what it ran; returns that claim.

        Raises:
            ValueError: it has not ended it.
        """
        if self.telling is None or self.telling.number != rested.number:
            raise ValueError("it speaks of an end that it has not told.")
        claim, self.telling = self.telling.claim, None
        self._begins(time.monotonic())
        return claim

    def take_back(self) -> list[Claim]:
        """What it has not begun; it will not be run there."""
        first, numbers = self.claim, self._inbox.take_back()
        back = [given.claim for given in self.given if given.number in numbers]
        self.given = deque(given for given in self.given if given.number not in numbers)
        if self.claim is not first:
            self._begins(time.monotonic())
        return back

    def revoke(self, task_id: UUID) -> None:
        """Have it told, at its next checkpoint, that it is to end this task, which it runs."""
        for given in self.given:
            if given.claim.task_id == task_id:
                self.link.send(Revoke(given.number))

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
        waits = len(self.given) > 1 and self.kill_at == math.inf
        overtaken_at = self.began + OVERTAKEN_AFTER if waits else math.inf
        return min(self.soft_at, self.hard_at, self.kill_at, overtaken_at)

    def close(self) -> None:
        self.link.close()
        self._inbox.close()

    def _begins(self, at: float) -> None:
        """The first of what it was given begins at this moment, if there is any."""
        self.soft_at = self.hard_at = math.inf
        self.began = self.idle_since = at
        if self.given:
            first = self.given[0]
            self.began = max(at, first.at)
            soft, hard = self._limits(first.claim)
            self.soft_at = math.inf if soft is None else self.began + soft
            self.hard_at = math.inf if hard is None else self.began + hard
