"""What a child of the prefork pool does: run one task after another."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
from types import FrameType
from typing import Any, NamedTuple

from django.db import connections

from .. import context, runner, states
from ..epilogue import Epilogue
from ..exceptions import SoftTimeLimitExceeded
from ..outcomes import Claim, Outcome, Report
from .hygiene import (
    clean_connections,
    flush_output,
    prepare_connections,
    process_of_bodies,
    run_coroutine,
)
from .inbox import Inbox
from .link import Link
from .surroundings import Surroundings

logger = logging.getLogger("django_tasktrack.worker")

#: Sent to a child, and to it alone, when the soft time limit of its task has passed.
SOFT_LIMIT_SIGNAL = signal.SIGUSR1


class Done(NamedTuple):
    """How a claim ended.

    Attributes:
        number: of the claim.
        outcome: what came of it.
        began, ended: its body, on the monotonic clock.
        memory: the child's largest so far, in bytes.
        fit: whether the child runs another one; else it ends by itself.
        waits: whether it takes no other one before it knows that this end is committed, and has told of it.
    """

    number: int
    outcome: Outcome
    began: float
    ended: float
    memory: int
    fit: bool
    waits: bool = False

    def packed(self) -> tuple[Any, ...]:
        """Plain values, which are told in a third of the time."""
        number, outcome, *others = self
        return (number, outcome.transition.name, *outcome[1:], *others)

    @classmethod
    def unpacked(cls, values: tuple[Any, ...]) -> Done:
        number, name, *others = values
        more = len(Outcome._fields) - 1
        return cls(number, Outcome(states.named(name), *others[:more]), *others[more:])


class Told(NamedTuple):
    """What a running body says of itself."""

    number: int
    report: Report


class Rested(NamedTuple):
    """Nothing is left to be told of this claim's end."""

    number: int


class Revoke(NamedTuple):
    """The running claim of this number is to end at its next checkpoint."""

    number: int


class Settled(NamedTuple):
    """The end of this claim, which the child waits for, is committed; or was refused."""

    number: int
    written: bool


#: Over the link: to a child a wish, an answer, or None to end; from a child how far it is, or a packed end.
ToChild = Revoke | Settled | None
FromChild = Told | Rested | tuple[Any, ...]


class Child:
    """The child's side: it takes claims from its inbox, and tells of them over its link."""

    def __init__(self, link: Link, inbox: Inbox, worker: str) -> None:
        self._link = link
        self._inbox = inbox
        self._worker = worker
        self._pid = os.getpid()
        self._number: int | None = None
        self._revoked = self._over = False
        self._settled: Settled | None = None
        self._reading = threading.Lock()  # a body's own threads come here too
        self._writing = threading.Lock()
        self._poll, self._poll_link = select.poll(), select.poll()
        for end in (link, inbox):
            self._poll.register(end, select.POLLIN)
        self._poll_link.register(link, select.POLLIN)
        signal.signal(SOFT_LIMIT_SIGNAL, _on_soft_limit)
        self._surroundings = Surroundings()

    def main(self) -> None:
        """Run what comes until the worker says to end, or is gone, or nothing more should run here."""
        try:
            while (taken := self._take()) is not None:
                if not self._run(*taken):
                    break
        except (EOFError, ConnectionResetError, BrokenPipeError):
            pass
        finally:
            connections.close_all()

    def _take(self) -> tuple[int, Claim] | None:
        """The next claim; None: the worker wants this child to end."""
        while not self._over:
            if (taken := self._inbox.take()) is not None:
                return taken
            self._poll.poll()
            self._listen()
        return None

    def _run(self, number: int, claim: Claim) -> bool:
        """Run a claim and tell its end. False: no other one should run here."""
        prepare_connections()
        self._revoked, self._number = False, number
        told: list[Epilogue] = []
        began = time.monotonic()
        outcome = runner.run(
            claim,
            self._worker,
            lambda report: self._report(number, report),
            lambda: self._is_revoked(number),
            run_coroutine=run_coroutine,
            later=told.append,
        )
        ended = time.monotonic()
        self._leave_to_the_child()
        with self._reading:
            self._number = None  # a thread that outlives its body reads nothing any more
        # Before its end is told: who sees that end finds no lock of the body's any more, and the next claim
        # no trace of it. That costs some microseconds where there is nothing to clean.
        fit = self._clean() and self._surroundings.restore()
        self._send(Done(number, outcome, began, ended, _memory(), fit, bool(told)).packed())
        flush_output()
        return self._tell(number, told.pop()) and fit if told else fit

    def _leave_to_the_child(self) -> None:
        """End here, if this is a copy of the child that something has forked and that came back."""
        if os.getpid() != self._pid:
            os._exit(0)

    def _tell(self, number: int, epilogue: Epilogue) -> bool:
        """Tell of an end once it is committed, and not where it was refused. False: as ``_run``.

        If the worker dies meanwhile, nobody can say whether it is: then nothing is told.
        """
        fit = True
        if self._is_committed(number):
            prepare_connections()
            epilogue.tell()
            self._leave_to_the_child()
            fit = self._clean() and self._surroundings.restore()
        self._send(Rested(number))
        flush_output()
        return fit

    def _is_committed(self, number: int) -> bool:
        while self._settled is None or self._settled.number != number:
            self._poll_link.poll()
            self._listen()
        return self._settled.written

    def _clean(self) -> bool:
        """Put the connections in order. False: that cannot be done here, but the body has ended all the same."""
        try:
            clean_connections()
        except Exception:
            logger.exception("A connection cannot be closed; this child ends.")
            return False
        return True

    def _report(self, number: int, report: Report) -> None:
        if os.getpid() == self._pid:  # a process that the body forked has no say
            self._send(Told(number, report))

    def _send(self, message: FromChild) -> None:
        with self._writing:
            self._link.send(message)

    def _is_revoked(self, number: int) -> bool:
        if os.getpid() != self._pid:
            return False
        with self._reading:
            if number != self._number:
                return False  # of a thread that outlived its body
            with contextlib.suppress(EOFError):  # the worker is gone, and with it soon this process
                self._listen()
            return self._revoked

    def _listen(self) -> None:
        """Take what the worker has said. A wish may be late; it never comes before its task was taken."""
        for message in self._link.receive():
            if message is None:
                self._over = True
            elif isinstance(message, Settled):
                self._settled = message
            elif message.number == self._number:
                self._revoked = True


def _on_soft_limit(signum: int, frame: FrameType | None) -> None:
    running = context.current()
    if running is not None and running.in_body:
        raise SoftTimeLimitExceeded("The soft time limit has passed.")


def _memory() -> int:
    """The largest resident memory so far, in bytes."""
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def child_main(worker: str, link: socket.socket, receiver: socket.socket) -> None:
    """Run a child with its link and the receiving end of its inbox."""
    with process_of_bodies():
        Child(Link(link), Inbox(receiver), worker).main()
