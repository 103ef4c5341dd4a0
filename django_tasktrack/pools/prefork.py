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
from typing import Any
from uuid import UUID

from ..exceptions import TimeLimitExceeded
from ..outcomes import Claim, Report, failed
from ..waker import Waker
from .base import Died, Finished, Pool, PoolOptions, Reported
from .child import REVOKE, SOFT_LIMIT_SIGNAL, Done, child_main
from .childprocess import ChildProcess
from .forkserver import Exited, ForkServer, Spawned

logger = logging.getLogger("django_tasktrack.worker")

#: A child that dies while idle is replaced after a pause of so many seconds.
_RESPAWN_PAUSE = 0.5
#: With ``least``, a child that was idle for so many seconds is not kept.
_KEEP_IDLE = 10.0


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
        self._spawning = 0
        self._spawn_at: list[float] = []
        self._selector = selectors.DefaultSelector()
        self._waker = Waker()
        self._abandoned = threading.Event()

    # Called from the engine's thread

    def revoke(self, task_id: UUID) -> None:
        self._order("revoke", task_id)

    def terminate(self, task_id: UUID, signal: str) -> bool:
        with self._changed:
            runs = task_id in self._running
        if runs:
            self._order("terminate", (task_id, signal))
        return runs

    def abandon(self) -> None:
        super().abandon()
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
            # If it has just died, the server will say so, and then its claim is told as lost.
            with contextlib.suppress(OSError):
                child.assign(*taken, *self.limits(taken[0]))
        if self.options.least is not None and not self._idle:
            waiting, _ = self.load()
            room = self.concurrency - len(self._children) - self._spawning - len(self._spawn_at)
            for _ in range(min(waiting, room)):
                self._spawn()

    def _on_wake(self, fileobj: Any) -> None:
        self._waker.clear()
        while self._orders:
            verb, subject = self._orders.popleft()
            if verb == "revoke":
                self._tell_revoked(subject)
            elif verb == "terminate":
                self._terminate(*subject)
            else:
                self._kill_busy()

    def _running_child(self, task_id: UUID) -> ChildProcess | None:
        return next(
            (c for c in self._children.values() if c.claim and c.claim.task_id == task_id), None
        )

    def _tell_revoked(self, task_id: UUID) -> None:
        child = self._running_child(task_id)
        if child:
            with contextlib.suppress(OSError):  # dead: the server will say so
                child.link.send(REVOKE)

    def _terminate(self, task_id: UUID, signal_name: str) -> None:
        child = self._running_child(task_id)
        if child:
            self._server.kill(child.pid, signal.Signals[signal_name])
            child.kill_at = time.monotonic() + self.options.terminate_grace

    def _kill_busy(self) -> None:
        for child in self._children.values():
            if child.claim:
                self._server.kill(child.pid, signal.SIGKILL)
        self._abandoned.set()

    # What children and the server say

    def _on_child(self, child: ChildProcess) -> None:
        try:
            message = child.link.recv()
        except (EOFError, OSError):
            self._selector.unregister(child.link)
            return  # the server will say how it ended
        except Exception:
            # It speaks nonsense, because its body has written to the descriptor: it is of no use.
            logger.exception("Child %s cannot be understood; it is killed.", child.pid)
            self._selector.unregister(child.link)
            self._server.kill(child.pid, signal.SIGKILL)
            return
        claim = child.claim
        if claim is None:
            return
        if isinstance(message, Report):
            self._post(Reported(claim, message, child.began, time.monotonic()))
        else:
            self._on_done(child, claim, message)

    def _on_done(self, child: ChildProcess, claim: Claim, done: Done) -> None:
        ended = time.monotonic()
        child.done()
        if self._ended(claim):
            self._post(Finished(claim, done.outcome, ended - done.seconds, ended))
        if child.kill_at != math.inf or child.verdict is not None:
            return  # it is being killed: no further task for it
        options = self.options
        if child.is_worn(done, options.max_tasks_per_child, options.max_memory_per_child):
            self._retire(child)
        else:
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
        while child.link.fileno() in self._selector.get_map() and child.link.poll(0):
            self._on_child(child)  # its last words count
        if child.link.fileno() in self._selector.get_map():
            self._selector.unregister(child.link)
        if child in self._idle:
            self._idle.remove(child)
        child.link.close()
        self._replace(child, exited)
        claim = child.claim
        if claim is not None and self._ended(claim):
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
