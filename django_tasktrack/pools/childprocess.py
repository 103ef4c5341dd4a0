"""The worker's side of one child: what lies before it, what it runs, and what is due by the clock."""

from __future__ import annotations

import contextlib
import math
import socket
import time
from collections import deque
from collections.abc import Sequence

from ..outcomes import Claim, Outcome
from .child import Done, Revoke
from .desk import Desk
from .forkserver import Spawned
from .link import Link

#: What lies behind a body is taken back when that has run for so many seconds.
PATIENCE = 0.02

#: The soft and the hard time limit of a claim, in seconds.
Limits = tuple[float | None, float | None]


class ChildProcess:
    """A child as the worker knows it. Moments are monotonic; ``math.inf`` stands for never.

    Attributes:
        began: when the claim that it runs began.
        soft_at, hard_at: when that claim's time limits have passed.
        kill_at: when it is killed because a politer signal did not end it.
        verdict: how its claim ends when it is killed, if not as lost.
        retired: it gets no more tasks, and ends by itself.
        is_silent: nothing of what it says is heard any more.
        idle_since: since when it has nothing to do.
    """

    def __init__(self, spawned: Spawned) -> None:
        self.pid = spawned.pid
        self.link = Link(spawned.socket)
        self.began = 0.0
        self.soft_at = self.hard_at = self.kill_at = math.inf
        self.verdict: Outcome | None = None
        self.retired = self.is_silent = False
        self.idle_since = time.monotonic()
        self._desk = Desk(Desk.make())
        self._before: deque[tuple[int, Claim, Limits]] = deque()
        self._last = 0
        self._tasks = 0
        with contextlib.suppress(OSError):  # dead already: the server will say so
            socket.send_fds(spawned.socket, [b"d"], [self._desk.descriptor])

    @property
    def load(self) -> int:
        """How many claims lie before it, the running one included."""
        return len(self._before)

    @property
    def claim(self) -> Claim | None:
        """What it runs now, or takes up this moment."""
        return self._before[0][1] if self._before else None

    @property
    def has_begun(self) -> bool:
        """Whether it has taken up that claim."""
        return bool(self._before) and self._desk.begun() >= self._before[0][0]

    def lay(self, claims: Sequence[tuple[Claim, Limits]], now: float) -> None:
        """Give it claims to run, one after the other.

        Raises:
            OSError: it is gone.
        """
        idle = not self._before
        numbered = []
        for claim, limits in claims:
            self._last += 1
            self._before.append((self._last, claim, limits))
            numbered.append((self._last, claim))
        if idle:
            self._begins(now)
        self.link.send(numbered)

    def take_back(self) -> list[Claim]:
        """Take back what lies behind the running claim and has not begun; it never will."""
        running = self._before[0][0] if self._before else 0
        begun = max(running, self._desk.take_back(running, self._last + 1))
        taken: list[Claim] = []
        while self._before and self._before[-1][0] > begun:
            taken.append(self._before.pop()[1])
        return taken[::-1]

    def runs_it_still(self) -> bool:
        """Whether a signal would meet the claim that it runs as far as the worker knows. Once nothing lies
        behind that one, it cannot come to run another."""
        return bool(self._before) and self._desk.begun() <= self._before[0][0]

    def done(self, now: float) -> None:
        """What it ran has ended by itself; it goes on with the next."""
        self._before.popleft()
        self._tasks += 1
        self._begins(now)

    def forget(self) -> None:
        """Nothing that lay before it will be told of."""
        self._before.clear()

    def _begins(self, now: float) -> None:
        soft, hard = self._before[0][2] if self._before else (None, None)
        self.began = self.idle_since = now
        self.soft_at = math.inf if soft is None else now + soft
        self.hard_at = math.inf if hard is None else now + hard

    def tell_revoked(self) -> None:
        """Have the body that runs end at its next checkpoint."""
        if self._before:
            self.link.send(Revoke(self._before[0][0]))

    def is_worn(self, last: Done, max_tasks: int | None, max_memory: int | None) -> bool:
        """Whether it has run as many tasks, or taken as much memory, as one child may, or is unfit."""
        too_many = max_tasks is not None and self._tasks >= max_tasks
        return too_many or not last.fit or (max_memory is not None and last.memory > max_memory)

    def retire(self) -> None:
        """Let it end; it has nothing to do."""
        self.retired = True
        self.link.send(None)

    def late_at(self) -> float:
        """When what lies behind the running claim has waited long enough."""
        return self.began + PATIENCE if len(self._before) > 1 else math.inf

    def due_at(self) -> float:
        """When the clock has something to say about it next."""
        return min(self.soft_at, self.hard_at, self.kill_at, self.late_at())

    def close(self) -> None:
        self.link.close()
        self._desk.close()
