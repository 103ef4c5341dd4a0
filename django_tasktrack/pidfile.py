"""A file that holds the process id of a running worker, so that no second one uses it.

A lock on the file decides, for as long as the process lives; the number in it is for people. So a file
that a killed worker left behind is taken over, whoever has its number by now. It is a record lock
(``fcntl.lockf``), because that is one process's own: the children that a worker forks do not hold it on.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .exceptions import TasktrackError


class PidfileError(TasktrackError):
    """The pidfile cannot be written, is something else, or belongs to a worker that runs."""


@contextmanager
def pidfile(path: str | None) -> Iterator[None]:
    """Hold a pidfile for a block; without a path, do nothing.

    Raises:
        PidfileError: it cannot be written, is something else, or another process holds it.
    """
    if path is None:
        yield
        return
    file, pid = Path(path), os.getpid()
    descriptor = _take(file)
    try:
        yield
    finally:
        if os.getpid() == pid:  # and not a fork's way out
            with suppress(OSError):
                if _is_at(file, descriptor):
                    file.unlink()  # before the lock goes: afterwards it may be the next one's
            os.close(descriptor)


def _take(file: Path) -> int:
    """The descriptor of the file, locked, with our number in it."""
    while True:
        descriptor = _open(file)
        try:
            _lock(file, descriptor)
            if _is_at(file, descriptor):  # else its holder has removed it before our lock
                _write(file, descriptor)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _open(file: Path) -> int:
    try:
        # Without waiting for the other end, should it be a pipe.
        return os.open(file, os.O_CREAT | os.O_RDWR | os.O_NONBLOCK, 0o644)
    except OSError as error:
        raise _unwritable(file, error) from None


def _lock(file: Path, descriptor: int) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise PidfileError(f"The pidfile {file} is no ordinary file.", hint="Choose another name.")
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        pid = _content(descriptor) or "that has just started"
        raise PidfileError(
            f"The pidfile {file} belongs to process {pid}, which runs.",
            hint="Stop that worker, or give this one another pidfile.",
        ) from None
    except OSError as error:
        raise PidfileError(
            f"The pidfile {file} cannot be locked: {error.strerror}.",
            hint="Choose a directory on a file system with locks.",
        ) from None


def _write(file: Path, descriptor: int) -> None:
    found = _content(descriptor)
    if found and not found.isdecimal():
        raise PidfileError(
            f"The pidfile {file} exists and holds no process id.", hint="Look at it, and remove it."
        )
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        raise _unwritable(file, error) from None


def _content(descriptor: int) -> str:
    return os.pread(descriptor, 100, 0).decode(errors="replace").strip()


def _is_at(file: Path, descriptor: int) -> bool:
    """Whether the path still leads to the file that is open."""
    try:
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    except OSError:
        return False


def _unwritable(file: Path, error: OSError) -> PidfileError:
    return PidfileError(
        f"The pidfile {file} cannot be written: {error.strerror}.",
        hint="Choose a directory that exists and that this user may write to.",
    )
