"""The default pool: each body in a child process of its own, which can be killed alone."""

from __future__ import annotations

import contextlib
import functools
import heapq
import itertools
import logging
import math
import os
import selectors
import signal
import time
from typing import Any
from uuid import UUID

from ..exceptions import TimeLimitExceeded
from ..outcomes import Claim, failed
from ..waker import Waker
from .base import Died, Finished, Pool, PoolOptions, Reported
from .child import SOFT_LIMIT_SIGNAL, Done, Rested, Told, child_main
from .childprocess import ChildProcess
from .forkserver import Exited, ForkServer, Signalled, Spawned

logger = logging.getLogger("django_tasktrack.worker")

#: A child that dies while idle is replaced after a pause of so many seconds.
_RESPAWN_PAUSE = 0.5
#: With ``least``, a child that was idle for so many seconds is not kept.
_KEEP_IDLE = 10.0
#: Each child is given claims ahead for so many seconds of work, but no more than so many claims, and none
#: with arguments of more than so many characters.
_AHEAD, _AHEAD_LIMIT, _LIGHT = 0.004, 64, 1500


class PreforkPool(Pool):
    """Bodies in child processes.

    The main thread talks with the children, in turns; the engine's thread comes in between two of them.
    A claim is in one of three places: it waits for a child (``_waiting``), it was given to one behind
    another claim (``_ahead``) and can be taken back as long as the child has not begun it, or it runs.
    """

    name = "prefork"
    can_terminate = True

    def __init__(self, options: PoolOptions) -> None:
        super().__init__(options)
        # The first thing a worker does: from here on it may have threads and connections.
        self._server = ForkServer(functools.partial(child_main, self.worker))
        self._children: dict[int, ChildProcess] = {}
        self._ahead: dict[UUID, tuple[Claim, float]] = {}
        self._numbers = itertools.count(1)
        self._body_seconds = 1.0
        self._spawning = 0
        self._resized = False
        self._spawn_at: list[float] = []
        self._selector = selectors.DefaultSelector()
        self._waker = Waker()

    # Called from the engine's thread

    def resize(self, concurrency: int) -> None:
        with self._changed:
            self.concurrency = concurrency
            self._resized = True
        self._wake()

    def load(self) -> tuple[int, int]:
        with self._changed:
            busy = len(self._running) + len(self._telling)
            return len(self._waiting) + len(self._ahead), busy

    def has(self, task_id: UUID) -> bool:
        with self._changed:
            return task_id in self._ahead or super().has(task_id)

    def withdraw(self, task_id: UUID) -> bool:
        with self._changed:
            if child := self._holder(task_id):
                self._take_back(child)
                self._wake()
            return super().withdraw(task_id)

    def withdraw_waiting(self, longer_than: float = 0.0) -> list[Claim]:
        limit = time.monotonic() - longer_than
        with self._changed:
            if any(since <= limit for _, since in self._ahead.values()):
                self._take_all_back()
                self._wake()
            return super().withdraw_waiting(longer_than)

    def revoke(self, task_id: UUID) -> None:
        with self._changed:
            child = self._holder(task_id)
            if child:
                with contextlib.suppress(OSError):  # dead: the server will say so
                    child.revoke(task_id)

    def terminate(self, task_id: UUID, signal: str) -> bool:
        with self._changed:
            child = self._holder(task_id)
            if child is None:
                return False
            self._wake()
            if not self._runs_alone(child, task_id):
                return False
            self._kill(child, _SIGNALS[signal], self.options.terminate_grace)
            return True

    def acknowledge(self, claim: Claim, written: bool) -> None:
        with self._changed:
            child = self._teller(claim)
            if child:
                with contextlib.suppress(OSError):  # dead, as above
                    child.settled(written)
                self._wake()

    def abandon(self) -> None:
        with self._changed:
            self._take_all_back()
            for child in self._children.values():
                if child.given or child.telling:
                    child.given.clear()
                    child.telling = None
                    self._kill(child, signal.SIGKILL, 1.0)
            super().abandon()
        self._wake()

    def _wake(self) -> None:
        self._waker.wake()

    # The main thread

    def serve(self) -> None:
        self._selector.register(self._waker, selectors.EVENT_READ, self._on_wake)
        self._selector.register(self._server.socket, selectors.EVENT_READ, self._on_server)
        self._fill_up()
        try:
            while not self._finishing:
                ready = self._selector.select(self._patience())
                with self._changed:
                    self._take_turn(ready)
        finally:
            self._server.close()
            self._selector.close()
            self._waker.close()

    def _take_turn(self, ready: list[tuple[selectors.SelectorKey, int]]) -> None:
        for key, _ in ready:
            # One that was told of before this may have closed it, and a new child's link may have its
            # number.
            if self._selector.get_map().get(key.fd) is key:
                key.data(key.fileobj)
        self._on_time()
        if self._resized:
            self._fit()
        self._dispatch()

    def _on_wake(self, fileobj: Any) -> None:
        self._waker.clear()

    def _least(self) -> int:
        least = self.options.least
        return self.concurrency if least is None else min(least, self.concurrency)

    def _coming(self) -> int:
        """Children that take tasks, or will as soon as they are there."""
        staying = sum(not child.retired for child in self._children.values())
        return staying + self._spawning + len(self._spawn_at)

    def _fill_up(self) -> None:
        """Have as many children as there are to be at least."""
        for _ in range(self._least() - self._coming()):
            self._spawn()

    def _spawn(self) -> None:
        self._spawning += 1
        self._server.spawn()

    # Giving and taking back

    def _dispatch(self) -> None:
        """Give what waits to the children, each in turn, so that none has much while another has nothing."""
        if not self._waiting:
            return
        now, most = time.monotonic(), 1 + self._depth()
        takers = [
            (len(child.given), order, child)
            for order, child in enumerate(self._children.values())
            if len(child.given) < most and child.takes_more(now)
        ]
        heapq.heapify(takers)
        while self._waiting and takers:
            given, order, child = takers[0]
            if self._give_next(child) and given + 1 < most:
                heapq.heapreplace(takers, (given + 1, order, child))
            else:
                heapq.heappop(takers)
        if self.options.least is not None and self._waiting:
            for _ in range(min(len(self._waiting), self.concurrency - self._coming())):
                self._spawn()

    def _depth(self) -> int:
        """How many claims a child is given behind the one that it runs: none where bodies are long."""
        if self.options.max_tasks_per_child or self.options.max_memory_per_child:
            return 0  # each may be its last one
        return min(_AHEAD_LIMIT, int(_AHEAD / self._body_seconds))

    def _give_next(self, child: ChildProcess) -> bool:
        """Give a child the first of what waits. False: it can have no more."""
        task_id, (claim, since) = next(iter(self._waiting.items()))
        is_first = not child.given
        if not is_first and len(claim.args) + len(claim.kwargs) > _LIGHT:
            return False
        # If it has just died, the server will say so, and the claim is taken back.
        if not child.give(next(self._numbers), claim):
            return False
        del self._waiting[task_id]
        if is_first:
            self._running[task_id] = claim, child.began
        else:
            self._ahead[task_id] = claim, since
        return True

    def _take_back(self, child: ChildProcess) -> None:
        """What the child has not begun waits again, before all the others; what it has begun runs."""
        now, back = time.monotonic(), {}
        for claim in child.take_back():
            place = self._ahead if claim.task_id in self._ahead else self._running
            back[claim.task_id] = place.pop(claim.task_id)
        self._waiting = {**back, **self._waiting}
        for given in child.given:
            if self._ahead.pop(given.claim.task_id, None):
                self._running[given.claim.task_id] = given.claim, now

    def _take_all_back(self) -> None:
        for child in self._children.values():
            self._take_back(child)

    def _holder(self, task_id: UUID) -> ChildProcess | None:
        """The child that was given this task's claim."""
        for child in self._children.values():
            if any(given.claim.task_id == task_id for given in child.given):
                return child
        return None

    def _runs_alone(self, child: ChildProcess, task_id: UUID) -> bool:
        """Make sure that a signal to this child can meet no other task. False: this one does not run there,
        because it has ended, or has not begun and was taken back."""
        self._take_back(child)
        self._listen(child)
        return child.claim is not None and child.claim.task_id == task_id

    def _kill(self, child: ChildProcess, signum: int, grace: float) -> None:
        """End a child, and if it does not end within the grace, with SIGKILL. It is given no more."""
        self._server.kill(child.pid, signum)
        child.kill_at = time.monotonic() + grace

    # What children and the server say

    def _on_child(self, child: ChildProcess) -> None:
        if not self._listen(child):
            self._selector.unregister(child.link)

    def _listen(self, child: ChildProcess) -> bool:
        """Take what a child has said. False: it says nothing more."""
        try:
            for message in child.link.receive():
                if isinstance(message, Told):
                    self._on_told(child, message)
                elif isinstance(message, Rested):
                    self._on_rested(child, message)
                else:
                    self._on_done(child, Done.unpacked(message))
        except (EOFError, OSError):
            return False  # the server will say how it ended
        except ValueError as error:
            self._disown(child, str(error))
            return False
        return True

    def _disown(self, child: ChildProcess, why: str) -> None:
        """Kill a child that speaks nonsense, because its body has written to the descriptor."""
        if child.kill_at == math.inf:
            logger.error("Child %s cannot be understood, and is killed: %s", child.pid, why)
            self._take_back(child)
            self._kill(child, signal.SIGKILL, 1.0)

    def _on_told(self, child: ChildProcess, told: Told) -> None:
        given = child.given[0] if child.given else None
        if given and given.number == told.number:  # else a thread has outlived its body
            self._post(Reported(given.claim, told.report, child.began, time.monotonic()))

    def _on_done(self, child: ChildProcess, done: Done) -> None:
        claim = child.done(done)
        self._body_seconds += 0.2 * (done.ended - done.began - self._body_seconds)
        if done.waits:
            self._take_back(child)  # it begins nothing before it has told of this end
            self._tells(claim, child)
        if self._ended(claim):
            self._post(Finished(claim, done.outcome, done.began, done.ended, done.waits))
        elif done.waits:
            self.acknowledge(claim, written=False)
        if child.given:
            self._runs_now(child)
        options = self.options
        if child.kill_at != math.inf or child.retired:
            return  # it ends
        if child.is_worn(done, options.max_tasks_per_child, options.max_memory_per_child):
            self._take_back(child)
            self._retire(child)

    def _on_rested(self, child: ChildProcess, rested: Rested) -> None:
        if child.telling:  # else it was abandoned
            self._free(child.rested(rested))

    def _runs_now(self, child: ChildProcess) -> None:
        """What a child was given behind the one that has ended."""
        task_id = child.given[0].claim.task_id
        if self._ahead.pop(task_id, None):
            self._running[task_id] = child.given[0].claim, child.began

    def _retire(self, child: ChildProcess) -> None:
        with contextlib.suppress(OSError):
            child.retire()

    def _on_server(self, fileobj: Any) -> None:
        try:
            word = self._server.receive()
        except (EOFError, ConnectionResetError):
            logger.critical("The fork server is gone; this worker ends.")
            os._exit(1)  # its children are gone with it, and its tasks will be rescued
        if isinstance(word, Spawned):
            self._on_spawned(word)
        elif isinstance(word, Signalled):
            self._children[word.pid].signals -= 1
        else:
            self._on_exit(word)

    def _on_spawned(self, spawned: Spawned) -> None:
        self._spawning -= 1
        child = ChildProcess(spawned, self.limits)
        self._children[child.pid] = child
        self._selector.register(child.link, selectors.EVENT_READ, lambda _: self._on_child(child))

    def _on_exit(self, exited: Exited) -> None:
        child = self._children.pop(exited.pid)
        if child.link.fileno() in self._selector.get_map():
            self._listen(child)  # its last words count
            self._selector.unregister(child.link)
        self._take_back(child)
        child.close()
        self._replace(child, exited)
        now = time.monotonic()
        if child.telling:
            logger.warning(
                "Child %s ended while the end of %s was told: %s.",
                child.pid,
                child.telling.claim.task_id,
                exited.how,
            )
            self._free(child.telling.claim)
        for _, claim, _ in child.given:
            if self._ended(claim):
                if child.verdict is None:
                    self._post(Died(claim, exited.how, child.began, now))
                else:
                    self._post(Finished(claim, child.verdict, child.began, now))

    def _replace(self, child: ChildProcess, exited: Exited) -> None:
        if self._coming() >= self._least():
            return
        if child.given or child.retired or child.kill_at != math.inf:
            self._spawn()
        else:
            if not child.telling:
                logger.warning("Child %s ended while idle: %s.", child.pid, exited.how)
            self._spawn_at.append(time.monotonic() + _RESPAWN_PAUSE)

    # As many as are asked for

    def _fit(self) -> None:
        """Have no more children than bodies may run at once, and no fewer than the least.

        Those beyond end at once if they are idle, else after what they run; what they have not begun goes
        to the others.
        """
        self._spawn_at.clear()
        self._fill_up()
        staying = [child for child in self._children.values() if not child.retired]
        staying.sort(key=lambda child: bool(child.given or child.telling))
        for child in staying[: max(0, len(staying) - self.concurrency)]:
            self._take_back(child)
            self._retire(child)
        self._resized = bool(self._spawning)  # one that is on its way may be too many

    # Time

    def _spare(self) -> list[ChildProcess]:
        """Children beyond the least that have nothing to do, the longest idle first."""
        staying = [child for child in self._children.values() if not child.retired]
        count = len(staying) - self._least()
        if count <= 0:
            return []
        idle = [child for child in staying if not (child.given or child.telling)]
        return sorted(idle, key=lambda child: child.idle_since)[:count]

    def _patience(self) -> float | None:
        """Seconds until something is due by the clock."""
        moments = [child.due_at() for child in self._children.values()] + self._spawn_at
        moments += [child.idle_since + _KEEP_IDLE for child in self._spare()]
        due = min(moments, default=math.inf)
        return None if due == math.inf else max(0.0, due - time.monotonic())

    def _on_time(self) -> None:
        now = time.monotonic()
        for child in self._children.values():
            if now >= child.due_at():
                self._on_child_s_time(child, now)
        while self._spawn_at and self._spawn_at[0] <= now:
            self._spawn_at.pop(0)
            self._spawn()
        self._shrink(now)

    def _on_child_s_time(self, child: ChildProcess, now: float) -> None:
        self._take_back(child)
        self._listen(child)  # what was due may have ended; from here on it is about what still runs
        if len(child.given) > 1:
            self._disown(child, "it has gone on without telling the end of its task.")
        if now >= child.hard_at:
            limit = child.hard_at - child.began
            child.verdict = failed(TimeLimitExceeded(f"It ran for more than {limit:g} s."))
            child.hard_at, child.kill_at = math.inf, now
        if now >= child.kill_at:
            self._kill(child, signal.SIGKILL, 1.0)
        elif now >= child.soft_at:
            self._server.signal_alone(child.pid, SOFT_LIMIT_SIGNAL)
            child.soft_at = math.inf
            child.signals += 1

    def _shrink(self, now: float) -> None:
        """End children that had nothing to do for long, down to the least."""
        for child in self._spare():
            if now - child.idle_since >= _KEEP_IDLE:
                self._retire(child)


#: By their names, which only people need.
_SIGNALS = signal.Signals.__members__
