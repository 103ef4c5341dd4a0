"""Steps two connections statement by statement, in every order that the database allows.

Each body runs in a thread with a connection of its own, and waits before every statement and every commit
until the schedule lets it go on. One that waits for the other's row lock is left alone until it is back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
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
            self.waits, self._may_go = False, True
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
            connection._commit = lambda: self._step(commit)  # type: ignore[attr-defined]
            with connection.execute_wrapper(lambda run, *args: self._step(lambda: run(*args))):
                self.answer = self._body()
        except BaseException as error:  # noqa: BLE001  told by the thread that waits
            self.error = error
        finally:
            connections.close_all()
            with self._changed:
                self.ended = True
                self._changed.notify_all()

    def _step(self, act: Callable[[], Any]) -> Any:
        with self._changed:
            self.waits = True
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._may_go, STUCK_AFTER):
                raise TimeoutError("The schedule has stopped.")
            self._may_go = False
        return act()


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
            steps[choose(ready)].go()
        else:  # each of them waits in the database, for a lock that the other has just let go
            for step in steps:
                step.settle(BLOCKED_AFTER)
        assert time.monotonic() < deadline, "nobody can go on"
    for step in steps:
        if step.error:
            raise step.error
    return [step.answer for step in steps]


class Switches:
    """The orders in which one body is interrupted once, after each of its statements, by all of the other.

    Most races need no more; there are as many as there are statements.
    """

    def __init__(self) -> None:
        self._first = 0
        self._alone = 0

    def __iter__(self) -> Iterator[Choose]:
        for self._first in (0, 1):
            length = 0
            while True:
                self._alone = length
                yield self._choose
                if self._alone:  # it has ended before
                    break
                length += 1

    def _choose(self, ready: Sequence[int]) -> int:
        wanted = self._first if self._alone else 1 - self._first
        if wanted not in ready:
            return ready[0]
        self._alone -= int(wanted == self._first)
        return wanted


class Schedules:
    """All orders of choices, depth first: each round of iteration is one run."""

    def __init__(self) -> None:
        self._path: list[int] = []
        self._taken: list[tuple[int, int]] = []

    def __iter__(self) -> Iterator[Choose]:
        while True:
            self._taken = []
            yield self._choose
            while self._taken and self._taken[-1][0] == self._taken[-1][1] - 1:
                self._taken.pop()
            if not self._taken:
                return
            self._path = [choice for choice, _ in self._taken]
            self._path[-1] += 1

    def _choose(self, ready: Sequence[int]) -> int:
        depth = len(self._taken)
        choice = self._path[depth] if depth < len(self._path) else 0
        choice = min(choice, len(ready) - 1)  # a lock may have been faster this time
        self._taken.append((choice, len(ready)))
        return ready[choice]
