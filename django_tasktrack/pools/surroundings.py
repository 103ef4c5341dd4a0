"""What a task may change of the whole process, put back before the next one runs in it."""

from __future__ import annotations

# What signal itself calls: without enumerations of the numbers, which take twenty times as long.
import _signal  # type: ignore[import-not-found]
import locale
import os
import signal
import sys

#: Those that programs handle. Looking at all sixty-odd would cost more than a short task.
_HANDLED = (
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGALRM,
    signal.SIGCHLD, signal.SIGPIPE, signal.SIGUSR1, signal.SIGUSR2,
)  # fmt: skip


class Surroundings:
    """The process as its first task finds it: for processes that run one body at a time.

    What is not put back, because it cannot be told from what a library keeps for good: threads, module
    variables, loaded modules, open files, lowered resource limits.
    """

    def __init__(self) -> None:
        self._directory = os.open(
            ".", os.O_RDONLY
        )  # it can be returned to when it has been renamed
        self._umask = os.umask(0)
        os.umask(self._umask)
        self._environment = dict(os.environ)
        self._encoded = dict(_encoded_environment())
        self._handlers = {number: _signal.getsignal(number) for number in _HANDLED}
        self._blocked = _signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._path = list(sys.path)
        self._locale = locale.setlocale(locale.LC_ALL)
        self._streams = sys.stdin, sys.stdout, sys.stderr
        self._outputs = _open_outputs()

    def restore(self) -> bool:
        """Put everything back. False: something cannot be, and the process is of no further use."""
        os.fchdir(self._directory)
        os.umask(self._umask)
        if _encoded_environment() != self._encoded:
            os.environ.clear()
            os.environ.update(self._environment)
        if sys.path != self._path:
            sys.path[:] = self._path
        if locale.setlocale(locale.LC_ALL) != self._locale:
            locale.setlocale(locale.LC_ALL, self._locale)
        self._restore_signals()
        sys.stdin, sys.stdout, sys.stderr = self._streams
        _, output, error = self._streams
        closed = (output is not None and output.closed) or (error is not None and error.closed)
        return not closed and _open_outputs() == self._outputs

    def _restore_signals(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)  # an alarm would ring in the next task
        for number, handler in self._handlers.items():
            if handler is not None and _signal.getsignal(number) != handler:
                signal.signal(number, handler)
        _signal.pthread_sigmask(signal.SIG_SETMASK, self._blocked)


def _encoded_environment() -> dict[bytes, bytes]:
    """What ``os.environ`` is a view of; decoding it would take longer than all the rest here."""
    environment: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]
    return environment


def _open_outputs() -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """What stands behind the descriptors of the standard output and error."""
    return _file_behind(1), _file_behind(2)


def _file_behind(descriptor: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino
