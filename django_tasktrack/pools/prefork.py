"""The default pool: each body in a child process of its own, which can be killed alone."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import os
import selectors
import signal
import threading
import time
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Any
from uuid import UUID

from ..exceptions import TimeLimitExceeded
from ..outcomes import Claim, Report, failed
from ..waker import Waker
from .base import Died, Finished, Pool, PoolOptions, Reported
from .child import SOFT_LIMIT_SIGNAL, Done, child_main
from .childprocess import PATIENCE, ChildProcess
from .forkserver import Exited, ForkServer, Spawned

logger = logging.getLogger("django_tasktrack.worker")

#: A child that dies while idle is replaced after a pause of so many seconds.
_RESPAWN_PAUSE = 0.5
#: With ``least``, a child that was idle for so many seconds is not kept.
_KEEP_IDLE = 10.0
#: Where bodies are short, so many seconds of them lie before a child, but no more than so many claims, and
#: none whose arguments take more characters: a child that is busy reads nothing.
_AHEAD, _DEEPEST, _LIGHT = 0.004, 16, 2000


class PreforkPool(Pool):
    """Bodies in child processes. The main thread talks with the children."""

    name = "prefork"
    can_terminate = True

    def __init__(self, options: PoolOptions) -> None:
        super().__init__(options)
        # The first thing a worker does: from here on it may have threads and connections.
        self._server = ForkServer(functools.partial(child_main, self.worker))
        self._children: dict[int, ChildProcess] = {}
        self._idle: deque[ChildProcess] = deque()
        self._orders: deque[tuple[str, Any]] = deque()
        #: Claims that lie before a child behind the one that it runs; they wait, as the others do.
        self._laid: dict[UUID, ChildProcess] = {}
        self._body_seconds = 1.0
        self._spawning = 0
        self._spawn_at: list[float] = []
        self._selector = selectors.DefaultSelector()
        self._waker = Waker()
        self._abandoned = threading.Event()

    # Called from the engine's thread

    def withdraw(self, task_id: UUID) -> bool:
        with self._changed:
            if task_id in self._laid:
                self._take_back(self._laid[task_id])
            return task_id not in self._laid and self._waiting.pop(task_id, None) is not None

    def withdraw_waiting(self, longer_than: float = 0.0) -> list[Claim]:
        limit = time.monotonic() - longer_than
        with self._changed:
            for task_id, child in list(self._laid.items()):
                if task_id in self._laid and self._waiting[task_id][1] <= limit:
                    self._take_back(child)
            begun = {task_id: self._waiting.pop(task_id) for task_id in self._laid}
            late = super().withdraw_waiting(longer_than)
            self._waiting = {**begun, **self._waiting}
            return late

    def revoke(self, task_id: UUID) -> None:
        self._order("revoke", (task_id,))

    def terminate(self, task_id: UUID, signal: str) -> bool:
        with self._changed:
            runs = task_id in self._running or task_id in self._laid
        if runs:
            self._order("terminate", (task_id, signal))
        return runs

    def abandon(self) -> None:
        with self._changed:
            super().abandon()
            self._laid.clear()
        self._abandoned.clear()
        self._order("abandon", None)
        self._abandoned.wait(timeout=5)

    def _order(self, verb: str, subject: Any) -> None:
        self._orders.append((verb, subject))
        self._wake()

    def _wake(self) -> None:
        self._waker.wake()

    # The main thread

    def serve(self) -> None:
        self._selector.register(self._waker, selectors.EVENT_READ, self._on_wake)
        self._selector.register(self._server.socket, selectors.EVENT_READ, self._on_server)
        for _ in range(self._least()):
            self._spawn()
        try:
            while not self._finishing:
                self._obey()
                self._dispatch()
                for key, _ in self._selector.select(self._patience()):
                    # One that was told of before this may have closed it, and a new child's link may
                    # have its number.
                    if self._selector.get_map().get(key.fd) is key:
                        key.data(key.fileobj)
                self._on_time()
        finally:
            self._abandoned.set()
            self._server.close()
            self._selector.close()
            self._waker.close()

    def _least(self) -> int:
        least = self.options.least
        return self.concurrency if least is None else min(least, self.concurrency)

    def _spawn(self) -> None:
        self._spawning += 1
        self._server.spawn()

    def _dispatch(self) -> None:
        while self._idle and (taken := self._take()):
            child = self._idle.pop() if self.options.least is not None else self._idle.popleft()
            claim, now = taken
            # If it has just died, the server will say so.
            with contextlib.suppress(OSError):
                child.lay([(claim, self.limits(claim))], now)
        self._lay_ahead()
        if self.options.least is not None and not self._idle:
            waiting, _ = self.load()
            room = self.concurrency - len(self._children) - self._spawning - len(self._spawn_at)
            for _ in range(min(waiting, room)):
                self._spawn()

    def _take(self) -> tuple[Claim, float] | None:
        with self._changed:
            free = next((task_id for task_id in self._waiting if task_id not in self._laid), None)
            return None if free is None else self._run_now(free)

    def _run_now(self, task_id: UUID) -> tuple[Claim, float]:
        """Mark a waiting claim as running."""
        claim, _ = self._waiting.pop(task_id)
        self._laid.pop(task_id, None)
        self._running[task_id] = claim, time.monotonic()
        return self._running[task_id]

    def _lay_ahead(self) -> None:
        """Lay more claims before busy children where bodies are short, so that none waits for the next."""
        depth = self._depth()
        if not depth:
            return
        with self._changed:
            children, now = self._children.values(), time.monotonic()
            short = [child for child in children if _runs_short_of(child, depth, now)]
            if not short or len(self._waiting) == len(self._laid):
                return
            free = iter(
                [c for task_id, (c, _) in self._waiting.items() if task_id not in self._laid]
            )
            for child in sorted(short, key=lambda child: child.load):
                batch = list(islice(free, 1 + depth - child.load))
                self._lay(child, [claim for claim in batch if _is_light(claim)])

    def _lay(self, child: ChildProcess, claims: Sequence[Claim]) -> None:
        self._laid.update((claim.task_id, child) for claim in claims)
        if claims:
            with contextlib.suppress(OSError):  # it is dead, and the server will say so
                child.lay([(claim, self.limits(claim)) for claim in claims], time.monotonic())

    def _depth(self) -> int:
        """How many claims may lie behind the running one of a child."""
        options = self.options
        if options.max_tasks_per_child or options.max_memory_per_child:
            return 0  # it may end after any of them
        return min(_DEEPEST, int(_AHEAD / max(self._body_seconds, 1e-6)))

    def _take_back(self, child: ChildProcess) -> None:
        """Let what lies behind a child's body run elsewhere, as far as it has not begun."""
        with self._changed:
            for claim in child.take_back():
                self._laid.pop(claim.task_id, None)

    def _on_wake(self, fileobj: Any) -> None:
        self._waker.clear()

    def _obey(self) -> None:
        """Carry out what the engine has asked for. What is about a claim that a child is about to run, or
        runs without our knowing it yet, is tried again with the next word of that child's."""
        for _ in range(len(self._orders)):
            verb, subject = order = self._orders.popleft()
            if verb == "abandon":
                self._kill_busy()
            elif subject[0] in self._laid:
                self._orders.append(order)
            elif verb == "revoke":
                self._tell_revoked(*subject)
            else:
                self._terminate(*subject)

    def _running_child(self, task_id: UUID) -> ChildProcess | None:
        return next(
            (c for c in self._children.values() if c.claim and c.claim.task_id == task_id), None
        )

    def _tell_revoked(self, task_id: UUID) -> None:
        child = self._running_child(task_id)
        if child:
            with contextlib.suppress(OSError):  # dead: the server will say so
                child.tell_revoked()

    def _terminate(self, task_id: UUID, signal_name: str) -> None:
        child = self._running_child(task_id)
        if child and self._is_alone(child):
            self._server.kill(child.pid, signal.Signals[signal_name])
            child.kill_at = time.monotonic() + self.options.terminate_grace

    def _is_alone(self, child: ChildProcess) -> bool:
        """Leave a child nothing but the claim that it runs. False: that has ended, and it runs another by
        now, which no signal may meet."""
        self._take_back(child)
        return child.runs_it_still()

    def _kill_busy(self) -> None:
        for child in self._children.values():
            if child.claim:
                child.forget()
                self._server.kill(child.pid, signal.SIGKILL)
                child.kill_at = time.monotonic() + 1.0
        self._abandoned.set()

    # What children and the server say

    def _on_child(self, child: ChildProcess) -> bool:
        """Hear what a child says. False: there is nothing more to hear now."""
        if child.is_silent:
            return False
        try:
            messages = child.link.receive(wait=False)
        except (EOFError, OSError):
            self._silence(child)
            return False  # the server will say how it ended
        except Exception:
            # It speaks nonsense, because its body has written to the descriptor: it is of no use.
            logger.exception("Child %s cannot be understood; it is killed.", child.pid)
            self._silence(child)
            self._server.kill(child.pid, signal.SIGKILL)
            return False
        for message in messages:
            claim = child.claim
            if claim is None:
                break
            if isinstance(message, Report):
                self._post(Reported(claim, message, child.began, time.monotonic()))
            else:
                self._on_done(child, claim, message)
        return bool(messages)

    def _silence(self, child: ChildProcess) -> None:
        """Listen to a child no more."""
        if not child.is_silent:
            child.is_silent = True
            self._selector.unregister(child.link)

    def _on_done(self, child: ChildProcess, claim: Claim, done: Done) -> None:
        ended = time.monotonic()
        self._body_seconds += 0.2 * (done.seconds - self._body_seconds)
        with self._changed:
            child.done(ended)
            if child.claim is not None and child.claim.task_id in self._laid:
                self._run_now(child.claim.task_id)
        if self._ended(claim):
            self._post(Finished(claim, done.outcome, ended - done.seconds, ended))
        if child.kill_at != math.inf or child.verdict is not None:
            return  # it is being killed: no further task for it
        options = self.options
        if child.is_worn(done, options.max_tasks_per_child, options.max_memory_per_child):
            self._take_back(child)
            self._retire(child)
        elif not child.load:
            self._idle.append(child)

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
        else:
            self._on_exit(word)

    def _on_spawned(self, spawned: Spawned) -> None:
        self._spawning -= 1
        child = ChildProcess(spawned)
        self._children[child.pid] = child
        self._selector.register(child.link, selectors.EVENT_READ, lambda _: self._on_child(child))
        self._idle.append(child)

    def _on_exit(self, exited: Exited) -> None:
        child = self._children.pop(exited.pid)
        while self._on_child(child):
            pass  # its last words count
        self._silence(child)
        if child in self._idle:
            self._idle.remove(child)
        self._take_back(child)
        claim, had_begun = child.claim, child.has_begun
        self._replace(child, exited)
        child.close()
        if claim is not None and not had_begun and child.verdict is None:
            self._put_back(claim)
        elif claim is not None and self._ended(claim):
            now = time.monotonic()
            if child.verdict is None:
                self._post(Died(claim, exited.how, child.began, now))
            else:
                self._post(Finished(claim, child.verdict, child.began, now))

    def _replace(self, child: ChildProcess, exited: Exited) -> None:
        if len(self._children) + self._spawning + len(self._spawn_at) >= self._least():
            return
        if child.claim is not None or child.retired or child.kill_at != math.inf:
            self._spawn()
        else:
            logger.warning("Child %s ended while idle: %s.", child.pid, exited.how)
            self._spawn_at.append(time.monotonic() + _RESPAWN_PAUSE)

    def _put_back(self, claim: Claim) -> None:
        """A child has died that was to take this claim up: nothing has happened to it."""
        with self._changed:
            if self._ended(claim):
                self._waiting = {claim.task_id: (claim, time.monotonic()), **self._waiting}

    # Time

    def _patience(self) -> float | None:
        """Seconds until something is due by the clock."""
        moments = [child.due_at() for child in self._children.values()] + self._spawn_at
        if len(self._children) > self._least():
            moments += [child.idle_since + _KEEP_IDLE for child in self._idle]
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
        if now >= child.late_at():
            self._take_back(child)
        if now >= min(child.hard_at, child.soft_at) and not self._is_alone(child):
            child.soft_at = child.hard_at = math.inf  # its end is on the way
        if now >= child.hard_at and child.claim is not None:
            limit = child.hard_at - child.began
            child.verdict = failed(TimeLimitExceeded(f"It ran for more than {limit:g} s."))
            child.hard_at, child.kill_at = math.inf, now
        if now >= child.kill_at:
            self._server.kill(child.pid, signal.SIGKILL)
            child.kill_at = now + 1.0
        elif now >= child.soft_at:
            self._server.signal_alone(child.pid, SOFT_LIMIT_SIGNAL)
            child.soft_at = math.inf

    def _shrink(self, now: float) -> None:
        """End children that had nothing to do for long, down to the least."""
        spare = len(self._children) - self._least()
        for child in list(self._idle)[: max(0, spare)]:
            if now - child.idle_since >= _KEEP_IDLE:
                self._idle.remove(child)
                self._retire(child)


def _is_light(claim: Claim) -> bool:
    return len(claim.args) + len(claim.kwargs) <= _LIGHT


def _runs_short_of(child: ChildProcess, depth: int, now: float) -> bool:
    """Whether a child is busy with a body that is short so far, and can take more claims behind it."""
    doomed = child.retired or child.verdict is not None or child.kill_at != math.inf
    return not doomed and 1 <= child.load <= 1 + depth // 2 and now < child.began + PATIENCE / 2
