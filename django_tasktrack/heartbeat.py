"""The process that says "this worker lives", whatever a body does to the interpreter's lock."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple, NoReturn

from django.db.models import F

from .adaptation import Wish, wish_of
from .forking import fork, hang_up
from .models import Worker
from .vendors import errors, vendor_for

logger = logging.getLogger("django_tasktrack.worker")


class Beat(NamedTuple):
    """A word of the process.

    Attributes:
        worker_id: about whom.
        counted: whether the sign of life has reached the row of a worker that counts as alive; None: the
            database did not take it.
        moment: when, on the monotonic clock, which all processes of a machine share.
        asked_to_end: whether somebody wants the worker to end in an orderly way.
        wish: what somebody wants it to become, until it is that.
    """

    worker_id: int
    counted: bool | None
    moment: float
    asked_to_end: bool = False
    wish: Wish | None = None


class Heartbeat:
    """The worker's handle of the process.

    Must be made in a process with one thread, and before the fork server, which would otherwise not
    notice that the worker has died as long as this process lives.

    Args:
        using: alias of the database that holds the workers.
        interval: seconds between two signs of life.
    """

    def __init__(self, using: str, interval: float) -> None:
        hang_up()
        self._link, theirs = multiprocessing.Pipe()
        worker = os.getpid()
        self.pid = fork()
        if self.pid == 0:
            self._link.close()
            _serve(theirs, worker, using, interval)
        theirs.close()

    def follow(self, worker_id: int) -> None:
        """Give signs of life for this row from now on."""
        with contextlib.suppress(BrokenPipeError):  # ``receive`` tells of it
            self._link.send(worker_id)

    def receive(self, timeout: float) -> list[Beat]:
        """What has come, after waiting for it for so many seconds at the most.

        Raises:
            EOFError: the process is gone.
        """
        beats: list[Beat] = []
        try:
            while self._link.poll(0.0 if beats else timeout):
                beats.append(self._link.recv())
        except ConnectionResetError:
            raise EOFError("The heartbeat's process is gone.") from None
        return beats

    def end(self) -> None:
        """Have the process end; ``receive`` raises EOFError then."""
        with contextlib.suppress(BrokenPipeError):
            self._link.send(None)

    def reap(self) -> None:
        """See it gone, even if the database holds it up."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self._link.close()


def _serve(link: Connection, worker: int, using: str, interval: float) -> NoReturn:
    """The process's whole life."""
    try:
        _beat_for(link, worker, using, interval)
    except (EOFError, ConnectionResetError, BrokenPipeError):
        pass  # the worker is gone
    except BaseException:  # noqa: BLE001  nothing may climb into the worker's code
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(0)


def _beat_for(link: Connection, worker: int, using: str, interval: float) -> None:
    pulse = _Pulse(using, patience=2 * interval)
    worker_id = link.recv()
    while worker_id is not None:
        if link.poll(interval):
            worker_id = link.recv()
            continue
        # The end of the pipe does not tell of the worker's death while a process that one of its tasks
        # has forked holds the other end.
        if os.getppid() != worker:
            return
        if not _is_stopped(worker):  # else nothing is done for its tasks, and others may have them
            link.send(pulse.beat(worker_id))


class _Pulse:
    """Signs of life on a connection on which nothing waits for longer than ``patience`` seconds."""

    def __init__(self, using: str, patience: float) -> None:
        self._vendor = vendor_for(using)
        self._patience = patience
        self._connected = False
        self._said = False

    def beat(self, worker_id: int) -> Beat:
        moment = time.monotonic()
        try:
            if not self._connected:
                self._vendor.connect(self._patience)
                self._connected = True
            counted, row = self._give_sign(worker_id)
        except errors.TROUBLE as error:
            self._hang_up(error)
            return Beat(worker_id, None, moment)
        self._said = False
        if row is None:
            return Beat(worker_id, counted, moment)
        wish = wish_of(row) if row.is_asked_to_change else None
        return Beat(worker_id, counted, moment, row.shutdown_requested_at is not None, wish)

    def _give_sign(self, worker_id: int) -> tuple[bool, Worker | None]:
        """Whether the sign counts, and the row, if something is asked of the worker.

        The one statement of each beat tells of both, so that the question costs nothing where nobody asks.
        """
        mine = Worker.objects.using(self._vendor.using).filter(pk=worker_id).alive()
        now = self._vendor.now()
        unasked = mine.filter(shutdown_requested_at__isnull=True, requests_made=F("requests_met"))
        if unasked.update(heartbeat_at=now):
            return True, None
        counted = bool(mine.update(heartbeat_at=now))
        return counted, mine.defer("known_tasks").first() if counted else None

    def _hang_up(self, error: Exception) -> None:
        self._connected = False
        # Said once; the engine goes on complaining. SQLite's writer is busy now and then.
        if not self._said and not errors.passes_by_itself(error):
            self._said = True
            logger.warning("No sign of life can be given: %s", str(error).strip())
        with contextlib.suppress(*errors.TROUBLE):
            self._vendor.connection.close()


def _is_stopped(pid: int) -> bool:
    """Whether a process was stopped by a signal, where the system tells."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[0] in (b"T", b"t")
