"""A single-threaded process that makes and reaps the children of the prefork pool.

The worker has threads and connections, and forking such a process is not safe. So it forks this
server first of all, which has neither, and asks it for children later. Whoever dies, the others
notice: the worker's death ends the server and its children; a child's death is told to the worker.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import logging
import mmap
import os
import selectors
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from types import FrameType

from ..forking import ENDING_SIGNALS, fork, hang_up
from .hygiene import flush_output
from .inbox import socket_pair

logger = logging.getLogger("django_tasktrack.worker")


class Word(IntEnum):
    """What is said between the worker and the server."""

    SPAWN = 1
    SPAWNED = 2
    KILL = 3  # a child and what it has started
    SIGNAL = 4  # a child alone
    SIGNALLED = 5
    EXITED = 6


_MESSAGE = struct.Struct("!bii")
#: What comes with a new child: its link, and both ends of its inbox.
_DESCRIPTORS = 3

ChildMain = Callable[[socket.socket, socket.socket], None]
#: The children by process id, each with the byte that tells it that the worker wants its end.
Children = dict[int, mmap.mmap]


@dataclass(frozen=True, slots=True)
class Spawned:
    """A new child.

    Attributes:
        pid: its number.
        link: the worker's end of the stream that both talk over.
        receiver, sender: both ends of its inbox.
    """

    pid: int
    link: socket.socket
    receiver: socket.socket
    sender: socket.socket


@dataclass(frozen=True, slots=True)
class Signalled:
    """A child that was alone sent a signal, as asked."""

    pid: int


@dataclass(frozen=True, slots=True)
class Exited:
    """A child that ended, and how in words."""

    pid: int
    how: str


class ForkServer:
    """The worker's handle of the server.

    Must be made in a process with one thread; connections are closed before it forks.

    Args:
        child_main: what a child does with its link and the receiving end of its inbox; the child exits when
            it returns.
    """

    def __init__(self, child_main: ChildMain) -> None:
        hang_up()
        if threading.active_count() > 1:
            names = ", ".join(
                t.name for t in threading.enumerate() if t is not threading.main_thread()
            )
            logger.warning("Forking although threads run: %s. They may hold locks.", names)
        flush_output()
        ours, theirs = socket.socketpair()
        self.pid = fork()
        if self.pid == 0:
            ours.close()
            _serve(theirs, child_main)
        theirs.close()
        self.socket = ours

    def spawn(self) -> None:
        """Ask for a child; ``receive`` tells of it."""
        self._send(Word.SPAWN)

    def kill(self, pid: int, signum: int) -> None:
        """Send a signal to a child and to the processes that it has started."""
        self._send(Word.KILL, pid, signum)

    def signal_alone(self, pid: int, signum: int) -> None:
        """Send a signal to a child alone; ``receive`` tells when it is there, or that the child has ended."""
        self._send(Word.SIGNAL, pid, signum)

    def receive(self) -> Spawned | Signalled | Exited:
        """The server's next word.

        Raises:
            EOFError: the server is gone.
        """
        data, descriptors, _, _ = socket.recv_fds(self.socket, _MESSAGE.size, _DESCRIPTORS)
        while data and len(data) < _MESSAGE.size:
            data += self.socket.recv(_MESSAGE.size - len(data))
        if not data:
            raise EOFError("The fork server is gone.")
        word, pid, value = _MESSAGE.unpack(data)
        if word == Word.SPAWNED:
            if len(descriptors) < _DESCRIPTORS:
                raise OSError(
                    errno.EMFILE, "Each child needs three descriptors: raise the limit (ulimit -n)"
                )
            return Spawned(pid, *(socket.socket(fileno=descriptor) for descriptor in descriptors))
        if word == Word.SIGNALLED:
            return Signalled(pid)
        return Exited(pid, describe_exit(value))

    def close(self) -> None:
        """End the server and every child that is left."""
        self.socket.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _send(self, word: Word, pid: int = 0, value: int = 0) -> None:
        with contextlib.suppress(BrokenPipeError):  # ``receive`` tells of it
            self.socket.sendall(_MESSAGE.pack(word, pid, value))


def describe_exit(status: int) -> str:
    """A wait status in words: "signal SIGKILL", "exit code 3"."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
        return f"signal {name}"
    return f"exit code {os.WEXITSTATUS(status)}"


def _serve(control: socket.socket, child_main: ChildMain) -> None:
    """The server's whole life. Never returns."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write)
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    selector.register(wake_read, selectors.EVENT_READ)
    children: Children = {}
    try:
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if wake_read in ready:
                _drain(wake_read)
                _reap(control, children)
            if control in ready and not _obey(control, children, child_main):
                break
    except (BrokenPipeError, ConnectionResetError):
        pass  # the worker is gone
    finally:
        for pid in children:
            _signal_group(pid, signal.SIGKILL)
        os._exit(0)


def _drain(descriptor: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.read(descriptor, 4096):
            pass


def _obey(control: socket.socket, children: Children, child_main: ChildMain) -> bool:
    """Carry out the worker's next word. False: there will be none any more."""
    data = control.recv(_MESSAGE.size, socket.MSG_WAITALL)
    if len(data) < _MESSAGE.size:
        return False
    word, pid, value = _MESSAGE.unpack(data)
    if word == Word.SPAWN:
        new_pid, doom = _spawn(control, child_main)
        children[new_pid] = doom
    elif pid in children:  # still ours to reap, so the number means this child
        if word == Word.KILL:
            children[pid][0] = 1
            _signal_group(pid, value)
        else:
            os.kill(pid, value)
            control.sendall(_MESSAGE.pack(Word.SIGNALLED, pid, 0))
    return True


def _spawn(control: socket.socket, child_main: ChildMain) -> tuple[int, mmap.mmap]:
    ours, theirs = socket.socketpair()
    receiver, sender = socket_pair()
    doom = mmap.mmap(-1, 1)  # one byte that the server and this child share
    server = os.getpid()
    pid = os.fork()
    if pid == 0:
        control.close()
        ours.close()
        sender.close()
        _child(functools.partial(child_main, theirs, receiver), server, doom)
    theirs.close()
    for_worker = [ours, receiver, sender]
    descriptors = [one.fileno() for one in for_worker]
    socket.send_fds(control, [_MESSAGE.pack(Word.SPAWNED, pid, 0)], descriptors)
    for one in for_worker:
        one.close()
    return pid, doom


def _child(main: Callable[[], None], server: int, doom: mmap.mmap) -> None:
    """A child's whole life. Never returns."""
    code = 1
    try:
        os.setpgid(0, 0)  # its own group: a terminating signal reaches what its tasks have started
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _end_only_when_doomed(doom)
        _read_nothing()
        _die_with_parent(server)
        main()
        code = 0
    except BaseException:  # noqa: BLE001  nothing may climb into the server's code
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _end_only_when_doomed(doom: mmap.mmap) -> None:
    """Let signals that end a process end this one only if the worker has sent them.

    Service managers signal every process of a service, and the running tasks have their grace.
    """

    def end(signum: int, frame: FrameType | None) -> None:
        if doom[0]:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)

    for signum in ENDING_SIGNALS:
        signal.signal(signum, end)


def _read_nothing() -> None:
    """A body that asks the terminal would stop for ever: it reads the end of a file instead."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _die_with_parent(parent: int) -> None:
    """On Linux, have the kernel kill this process when the server is killed."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _reap(control: socket.socket, children: Children) -> None:
    """Tell the worker of every child that has ended."""
    while children:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid in children:
            children.pop(pid).close()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)  # what it had started goes with it
            control.sendall(_MESSAGE.pack(Word.EXITED, pid, status))


def _signal_group(pid: int, signum: int) -> None:
    """Signal the group that a child leads, or the child alone before it leads one."""
    try:
        os.killpg(pid, signum)
    except ProcessLookupError:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)
