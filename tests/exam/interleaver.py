"""Steps two connections statement by statement, in the orders that the database allows.

Each body runs in a thread with a connection of its own, and waits before every statement and every commit
until the schedule lets it go on. One that waits for the other's row lock is left alone until it is back.

Two bodies of eight steps have 12,870 orders. Those with few interruptions come first, because hardly a race
needs more; where all are too many, a sample of the others follows.
"""

from __future__ import annotations

import heapq
import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from django.db import connection, connections

Body = Callable[[], object]
Choose = Callable[[Sequence[int]], int]

#: A body that has not come back after so many seconds waits for a lock.
BLOCKED_AFTER = 0.15
#: And one that never comes back is a deadlock that the database does not see.
STUCK_AFTER = 20.0


class Stepped:
    """One body and its thread."""

    def __init__(self, body: Body, changed: threading.Condition) -> None:
        self.answer: object = None
        self.error: BaseException | None = None
        self.ended = False
        self.waits = False
        self.let_go = False  # its last step was a commit, which others may have waited for
        self._body = body
        self._changed = changed
        self._may_go = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self) -> None:
        """Run up to the first statement."""
        self._thread.start()
        self.settle(STUCK_AFTER)

    def go(self) -> None:
        """Let one statement pass, and wait for what comes of it."""
        with self._changed:
            self.waits, self.let_go, self._may_go = False, False, True
            self._changed.notify_all()
        self.settle(BLOCKED_AFTER)

    def settle(self, seconds: float) -> bool:
        """Wait until it stands before its next statement, or has ended; False: it is blocked."""
        with self._changed:
            return self._changed.wait_for(lambda: self.waits or self.ended, seconds)

    def _run(self) -> None:
        try:
            connection.ensure_connection()
            commit = connection._commit  # type: ignore[attr-defined]
            connection._commit = lambda: self._step(commit, lets_go=True)  # type: ignore[attr-defined]
            with connection.execute_wrapper(lambda run, *args: self._step(lambda: run(*args))):
                self.answer = self._body()
        except BaseException as error:  # noqa: BLE001  told by the thread that waits
            self.error = error
        finally:
            connections.close_all()
            with self._changed:
                self.ended = True
                self._changed.notify_all()

    def _step(self, act: Callable[[], Any], lets_go: bool = False) -> Any:
        with self._changed:
            self.waits = True
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._may_go, STUCK_AFTER):
                raise TimeoutError("The schedule has stopped.")
            self._may_go = False
        try:
            return act()
        finally:
            self.let_go = lets_go


def _go(one: Stepped, all_of_them: Sequence[Stepped]) -> None:
    """Let it do a step, and after a commit those come back that have waited for it: so that the same
    choices are the same order the next time."""
    one.go()
    if one.let_go or one.ended:
        for other in all_of_them:
            other.settle(BLOCKED_AFTER)


def run(bodies: Sequence[Body], choose: Choose) -> list[object]:
    """Run the bodies to their ends; ``choose`` picks, of those that can go on, who goes.

    Returns:
        What each of them returned.
    """
    changed = threading.Condition()
    steps = [Stepped(body, changed) for body in bodies]
    for step in steps:
        step.begin()
    deadline = time.monotonic() + STUCK_AFTER
    while not all(step.ended for step in steps):
        ready = [number for number, step in enumerate(steps) if step.waits]
        if ready:
            _go(steps[choose(ready)], steps)
        else:  # each of them waits in the database, for a lock that the other has just let go
            for step in steps:
                step.settle(BLOCKED_AFTER)
        assert time.monotonic() < deadline, "nobody can go on"
    for step in steps:
        if step.error:
            raise step.error
    return [step.answer for step in steps]


class Orders:
    """Orders of two bodies, those with fewer interruptions first; then a sample of all the others.

    An interruption is a switch away from a body that could have gone on. Each round of iteration is one run.

    Args:
        interruptions: up to how many every order is tried, however many they are.
        most: with more interruptions, until so many orders were tried in all.
        sample: how many runs more are drawn, by a seed, where these were not all.
    """

    def __init__(self, interruptions: int, most: int = 0, sample: int = 0, seed: int = 2) -> None:
        self.tried: set[tuple[int, ...]] = set()
        self.exhausted = False
        self._interruptions = interruptions
        self._most = most
        self._sample = sample
        self._chance = random.Random(seed)
        self._prefix: tuple[int, ...] = ()
        self._path: list[int] = []
        self._ready: list[Sequence[int]] = []
        self._dice = False

    def __iter__(self) -> Iterator[Choose]:
        queue: list[tuple[int, float, tuple[int, ...]]] = [(0, 0.0, ())]
        known: set[tuple[int, ...]] = {()}
        while queue:
            count, _, prefix = heapq.heappop(queue)
            if count > self._interruptions and len(self.tried) >= self._most:
                break
            yield from self._one_run(prefix)
            for branch in self._branches(len(prefix)):
                if branch not in known:
                    known.add(branch)
                    entry = (self._count_interruptions(branch), self._chance.random(), branch)
                    heapq.heappush(queue, entry)
        else:
            self.exhausted = True
            return
        self._dice = True
        for _ in range(self._sample):
            yield from self._one_run(())

    def total(self) -> int:
        """How many orders there are: fewer, where a lock keeps one of them waiting."""
        if self.exhausted:
            return len(self.tried)
        lengths = [max(path.count(body) for path in self.tried) for body in (0, 1)]
        return math.comb(sum(lengths), lengths[0])

    def told(self) -> str:
        """How many of how many were tried."""
        if self.exhausted:
            return f"all {len(self.tried):,}"
        return f"{len(self.tried):,} of up to {self.total():,}"

    def _one_run(self, prefix: tuple[int, ...]) -> Iterator[Choose]:
        self._prefix, self._path, self._ready = prefix, [], []
        yield self._choose
        self.tried.add(tuple(self._path))

    def _choose(self, ready: Sequence[int]) -> int:
        depth = len(self._path)
        last = self._path[-1] if self._path else ready[0]
        choice = last if last in ready else ready[0]
        if depth < len(self._prefix) and self._prefix[depth] in ready:  # else a lock was faster
            choice = self._prefix[depth]
        elif self._dice:
            choice = self._chance.choice(ready)
        self._path.append(choice)
        self._ready.append(tuple(ready))
        return choice

    def _branches(self, begin: int) -> Iterator[tuple[int, ...]]:
        """The orders that leave the last one behind that step."""
        for depth in range(begin, len(self._path)):
            for other in self._ready[depth]:
                if other != self._path[depth]:
                    yield (*self._path[:depth], other)

    def _count_interruptions(self, branch: tuple[int, ...]) -> int:
        return sum(
            before != after and before in self._ready[depth]
            for depth, (before, after) in enumerate(pairwise(branch), 1)
        )
