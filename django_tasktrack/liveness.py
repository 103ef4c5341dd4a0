"""Which workers live, where the database is a file: a lock tells it, not a clock.

SQLite has one writer. While a task's transaction is open no worker can give a sign of life, so silence
means nothing there. Instead a worker holds a lock that the system drops at its death: byte N of a file
beside the database is locked while worker N lives. The byte is 1 where the lock was ever taken.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from django.db.backends.base.base import BaseDatabaseWrapper

_TAKEN = b"\x01"
#: Seconds for which a lock is asked for that another process has.
_PATIENCE = 1.0


def hold(connection: BaseDatabaseWrapper, worker_id: int) -> bool:
    """Say that this process is that worker, until it ends; its row must not be committed before.

    Returns:
        Whether a lock says so. Else signs of life have to.
    """
    locks = _locks_of(connection)
    return locks is not None and locks.hold(worker_id)


def release(connection: BaseDatabaseWrapper, worker_id: int) -> None:
    """Take that back, because its row was not committed: SQLite gives its number to the next one."""
    locks = _locks_of(connection)
    if locks is not None:
        locks.release(worker_id)


def verdicts(
    connection: BaseDatabaseWrapper, worker_ids: Iterable[int]
) -> tuple[list[int], list[int]]:
    """Of these, the workers that certainly live and those that are certainly dead.

    About the others, on a database server all of them, the clock decides.
    """
    locks = _locks_of(connection)
    if locks is None:
        return [], []
    told = [(worker_id, locks.lives(worker_id)) for worker_id in worker_ids]
    alive = [worker_id for worker_id, lives in told if lives]
    return alive, [worker_id for worker_id, lives in told if lives is False]


class _Locks:
    """The file, opened once a process: closing any descriptor of it would drop this process's locks."""

    def __init__(self, path: Path) -> None:
        self._mine: set[int] = set()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)

    def hold(self, worker_id: int) -> bool:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, worker_id)
                break
            except (BlockingIOError, PermissionError):
                # Of one whose row was rolled back a moment ago, or who looks at this byte just now.
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.005)
            except OSError:  # a file system without locks
                return False
        os.pwrite(self._descriptor, _TAKEN, worker_id)
        self._mine.add(worker_id)
        return True

    def release(self, worker_id: int) -> None:
        if worker_id in self._mine:
            self._mine.remove(worker_id)
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, worker_id)

    def lives(self, worker_id: int) -> bool | None:
        """Whether that worker's process lives; None: it has never said so here."""
        if worker_id in self._mine:  # a process is never refused its own lock
            return True
        if os.pread(self._descriptor, 1, worker_id) != _TAKEN:
            return None
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, worker_id)
        except OSError:
            return True
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, worker_id)
        return False


def _locks_of(connection: BaseDatabaseWrapper) -> _Locks | None:
    if connection.vendor != "sqlite" or connection.is_in_memory_db():  # type: ignore[attr-defined]
        return None
    name = Path(connection.settings_dict["NAME"]).absolute()
    try:
        return _locks(name.with_name(f"{name.name}-workers"))
    except OSError:  # nobody may write there
        return None


_locks = cache(_Locks)
