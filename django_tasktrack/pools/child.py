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
from multiprocessing.connection import Connection
from types import FrameType
from typing import NamedTuple

from django.db import connections

from .. import context, runner
from ..exceptions import SoftTimeLimitExceeded
from ..outcomes import Claim, Outcome, Report
from .hygiene import clean_connections, flush_output, prepare_connections, run_coroutine
from .surroundings import Surroundings

logger = logging.getLogger("django_tasktrack.worker")

REVOKE = "revoke"
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


#: To a child: a claim to run, ``REVOKE`` for the one that runs, None to end.
ToChild = Claim | str | None
FromChild = Report | Done


class Child:
    """The child's side of its link with the worker."""

    def __init__(self, link: Connection, worker: str) -> None:
        self._link = link
        self._worker = worker
        self._pid = os.getpid()
        self._revoked = False
        self._next: ToChild = None
        self._reading = threading.Lock()  # a body's own threads come here too
        self._writing = threading.Lock()
        signal.signal(SOFT_LIMIT_SIGNAL, _on_soft_limit)
        self._surroundings = Surroundings()

    def main(self) -> None:
        """Run what comes until the worker says to end, or is gone."""
        try:
            while (message := self._receive()) is not None:
                if isinstance(message, Claim):
                    self._run(message)
        except (EOFError, ConnectionResetError, BrokenPipeError):
            pass
        finally:
            connections.close_all()

    def _receive(self) -> ToChild:
        """The next message: one that a late thread of a body came upon, or a new one."""
        while True:
            with self._reading:
                if self._next is not None:
                    message, self._next = self._next, None
                    return message
                if self._link.poll(0):
                    received: ToChild = self._link.recv()
                    return received
            self._link.poll(None)

    def _run(self, claim: Claim) -> None:
        self._revoked = False
        prepare_connections()
        began = time.perf_counter()
        outcome = runner.run(
            claim, self._worker, self._report, self._is_revoked, run_coroutine=run_coroutine
        )
        spent = time.perf_counter() - began
        if os.getpid() != self._pid:
            os._exit(0)  # the body forked, and its copy came back here: it is not this child
        # Before its end is told: who sees that end finds no lock of the body's any more, and the next claim
        # no trace of it. That costs some microseconds where there is nothing to clean.
        fit = self._clean() and self._surroundings.restore()
        self._send(Done(outcome, spent, _memory(), fit))
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
            while not self._revoked and self._next is None and self._link.poll(0):
                message = self._link.recv()
                if message == REVOKE:
                    self._revoked = True
                else:
                    self._next = message  # for the main loop: this thread outlived its body
        return self._revoked


def _on_soft_limit(signum: int, frame: FrameType | None) -> None:
    running = context.current()
    if running is not None and running.in_body:
        raise SoftTimeLimitExceeded("The soft time limit has passed.")


def _memory() -> int:
    """The largest resident memory so far, in bytes."""
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def child_main(worker: str, link: socket.socket) -> None:
    """Run a child over its socket."""
    Child(Connection(link.detach()), worker).main()
