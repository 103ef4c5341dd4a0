"""What a child of the prefork pool does: run one task after another."""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections import deque
from types import FrameType
from typing import NamedTuple

from django.db import connections

from .. import context, runner
from ..exceptions import SoftTimeLimitExceeded
from ..outcomes import Claim, Outcome, Report
from .desk import Desk
from .hygiene import clean_connections, flush_output, prepare_connections, run_coroutine
from .link import Link
from .surroundings import Surroundings

logger = logging.getLogger("django_tasktrack.worker")

#: Sent to a child, and to it alone, when the soft time limit of its task has passed.
SOFT_LIMIT_SIGNAL = signal.SIGUSR1


class Done(NamedTuple):
    """How a claim ended.

    Attributes:
        outcome: what came of it.
        seconds: what its body took.
        memory: the child's largest so far, in bytes.
        fit: whether the child can run another one.
    """

    outcome: Outcome
    seconds: float
    memory: int
    fit: bool


class Revoke(NamedTuple):
    """The wish that a body ends at its next checkpoint; ``number`` is its claim's."""

    number: int


#: To a child: numbered claims to run, a wish for the one that runs, None to end.
ToChild = list[tuple[int, Claim]] | Revoke | None
FromChild = Report | Done


class Child:
    """The child's side of its link with the worker."""

    def __init__(self, link: Link, desk: Desk, worker: str) -> None:
        self._link = link
        self._desk = desk
        self._worker = worker
        self._pid = os.getpid()
        self._number = 0
        self._wish = 0
        self._fit = True
        self._in_body = False
        self._inbox: deque[tuple[int, Claim] | None] = deque()
        self._reading = threading.Lock()  # a body's own threads come here too
        self._writing = threading.Lock()
        signal.signal(SOFT_LIMIT_SIGNAL, _on_soft_limit)
        self._surroundings = Surroundings()

    def main(self) -> None:
        """Run what comes until the worker says to end, or is gone."""
        try:
            while (following := self._next()) is not None:
                number, claim = following
                if self._fit and self._desk.begin(number):
                    self._run(number, claim)
        except (EOFError, ConnectionResetError, BrokenPipeError):
            pass
        finally:
            connections.close_all()

    def _next(self) -> tuple[int, Claim] | None:
        """What to run next; None to end."""
        while True:
            with self._reading:
                if self._inbox:
                    return self._inbox.popleft()
                self._sort(self._link.receive(wait=False))
                if self._inbox:
                    continue
            self._link.wait()  # not under the lock: late threads of a body look too

    def _sort(self, messages: list[ToChild]) -> None:
        for message in messages:
            if message is None:
                self._inbox.append(None)
            elif isinstance(message, Revoke):
                self._wish = message.number  # of what runs, or is about to
            else:
                self._inbox.extend(message)

    def _run(self, number: int, claim: Claim) -> None:
        self._number = number
        prepare_connections()
        self._in_body = True
        began = time.perf_counter()
        outcome = runner.run(
            claim, self._worker, self._report, self._is_revoked, run_coroutine=run_coroutine
        )
        spent = time.perf_counter() - began
        with self._reading:
            self._in_body = False
        if os.getpid() != self._pid:
            os._exit(0)  # the body forked, and its copy came back here: it is not this child
        # Before its end is told: who sees that end finds no lock of the body's any more, and the next claim
        # no trace of it. That costs some microseconds where there is nothing to clean.
        self._fit = self._clean() and self._surroundings.restore()
        self._send(Done(outcome, spent, _memory(), self._fit))
        flush_output()

    def _clean(self) -> bool:
        """Put the connections in order. False: that cannot be done here, but the body has ended all the same."""
        try:
            clean_connections()
        except Exception:
            logger.exception("A connection cannot be closed; this child ends.")
            return False
        return True

    def _report(self, report: Report) -> None:
        if os.getpid() == self._pid:  # a process that the body forked has no say
            self._send(report)

    def _send(self, message: FromChild) -> None:
        with self._writing:
            self._link.send(message)

    def _is_revoked(self) -> bool:
        if os.getpid() != self._pid:
            return False
        with self._reading:
            if self._in_body:  # else a thread outlived its body, and what comes is the main loop's
                self._sort(self._link.receive(wait=False))
        return self._wish == self._number


def _on_soft_limit(signum: int, frame: FrameType | None) -> None:
    running = context.current()
    if running is not None and running.in_body:
        raise SoftTimeLimitExceeded("The soft time limit has passed.")


def _memory() -> int:
    """The largest resident memory so far, in bytes."""
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def child_main(worker: str, link: socket.socket) -> None:
    """Run a child over its socket, on which its desk comes first."""
    _, descriptors, _, _ = socket.recv_fds(link, 1, 1)
    if descriptors:  # else the worker is gone
        Child(Link(link), Desk(descriptors[0]), worker).main()
