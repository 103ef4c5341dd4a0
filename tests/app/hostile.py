"""Tasks that misbehave: they kill their process, take all they can get, and leave things behind."""

from __future__ import annotations

import ctypes
import locale
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from django.db import connection, transaction
from django.utils import translation

from django_tasktrack import context, task
from django_tasktrack.declaration import Task
from tests import ledger
from tests.app.models import Entry


def _recurse(depth: int = 0) -> int:
    return _recurse(depth + 1) + 1


#: What each of them ends as: the reason that history gives, or the exception's class.
ENDINGS = {
    "exit": "lost: exit code 3",
    "segfault": "lost: signal SIGSEGV",
    "abort": "lost: signal SIGABRT",
    "SystemExit": "SystemExit",
    "KeyboardInterrupt": "KeyboardInterrupt",
    "RecursionError": "RecursionError",
    "MemoryError": "MemoryError",
}


@task
def misbehaves(how: str) -> None:
    """Ends in a way that no task should."""
    ledger.write("began", how)
    match how:
        case "exit":
            os._exit(3)
        case "segfault":
            ctypes.string_at(0)
        case "abort":
            os.abort()
        case "SystemExit":
            sys.exit(7)
        case "KeyboardInterrupt":
            raise KeyboardInterrupt
        case "RecursionError":
            _recurse()
        case "MemoryError":
            bytearray(1 << 60)


@task(time_limit=1)
def sleeps_in_c(seconds: int) -> None:
    """Holds the interpreter's lock: no signal handler of Python's gets a turn."""
    ledger.write("began")
    ctypes.PyDLL(None).sleep(seconds)


def _surroundings() -> dict[str, Any]:
    """What a task finds around it."""
    umask = os.umask(0)
    os.umask(umask)
    return {
        "directory": str(Path.cwd()),
        "umask": umask,
        "variable": os.environ.get("LEFT_BEHIND"),
        "path": os.environ["PATH"],
        "handlers": [str(signal.getsignal(n)) for n in (signal.SIGTERM, signal.SIGUSR1)],
        "blocked": sorted(int(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "modules": list(sys.path),
        "locale": locale.setlocale(locale.LC_ALL),
        "language": translation.get_language(),
        "outputs": [sys.stdout.closed, sys.stderr.closed, _is_open(1), _is_open(2)],
        "autocommit": connection.get_autocommit(),
        "session": _session(),
    }


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


_SESSION = {
    "postgresql": ("SHOW statement_timeout", "SET statement_timeout = '7s'"),
    "mysql": ("SELECT @@SESSION.sort_buffer_size", "SET SESSION sort_buffer_size = 1048576"),
    "sqlite": ("PRAGMA cache_size", "PRAGMA cache_size = 77"),
}


def _session() -> str:
    """A setting of the database session, as it stands. Looking at it must not change it."""
    with connection.cursor() as cursor:
        cursor.execute(_SESSION[connection.vendor][0])
        return str(cursor.fetchone()[0])


@task
def looks_around() -> dict[str, Any]:
    return {**_surroundings(), "pid": os.getpid()}


@task
def leaves_behind(what: str) -> int:  # noqa: C901, PLR0912  a list of things
    """Changes one thing of its process, and does not change it back."""
    match what:
        case "directory":
            os.chdir("/")
        case "umask":
            os.umask(0o077)
        case "environment":
            os.environ["LEFT_BEHIND"] = "x"
            del os.environ["PATH"]
        case "handlers":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        case "alarm":
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, 1.0)
        case "modules":
            sys.path[:] = ["/nowhere"]
        case "locale":
            locale.setlocale(locale.LC_ALL, "C")
        case "context":
            translation.activate("de")
        case "stdout":
            sys.stdout.close()
        case "descriptor":
            os.close(2)
        case "session":
            with connection.cursor() as cursor:
                cursor.execute(_SESSION[connection.vendor][1])
        case "transaction":
            transaction.set_autocommit(False)
            Entry.objects.create(text="never committed")
        case "thread":
            _leave_a_thread()
    return os.getpid()


def _leave_a_thread() -> None:
    running = context.require("this")

    def report() -> None:
        time.sleep(1)
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        try:
            running.increment(1)
        finally:
            connection.close()

    threading.Thread(target=report, daemon=True).start()


@task(bind=True)
def counts_alone(self: Task[..., Any], seconds: float) -> float:
    """Reports once; nobody else may."""
    self.progress.set(10, 100)
    time.sleep(seconds)
    return 10


@task
def returns_what_it_is_told(kind: str) -> Any:
    ledger.write("ran", kind)
    return strange(kind)


@task(bind=True, max_retries=0)
def reports_what_it_is_told(self: Task[..., Any], kind: str) -> None:
    ledger.write("ran", kind)
    self.update_state("PROGRESS", meta={"value": strange(kind)})


@task(bind=True, max_retries=0)
def reports_often(self: Task[..., Any], times: int, size: int) -> None:
    for number in range(times):
        self.update_state(meta={"current": number + 1, "total": times, "text": "x" * size})


@task(max_retries=0)
def raises_what_it_is_told(kind: str) -> None:
    ledger.write("ran", kind)
    raise ValueError(str(strange(kind)))


class _Unpicklable(Exception):
    def __init__(self, needed: str, also: str) -> None:
        super().__init__(needed)
        self.handle = threading.Lock()
        self.also = also

    def __reduce__(self) -> str:
        raise TypeError("not to be pickled")


@task(max_retries=0)
def raises_the_unpicklable() -> None:
    ledger.write("ran")
    raise _Unpicklable("cannot travel", "at all")


def strange(kind: str) -> Any:
    """Values that JSON, Python and databases disagree about."""
    deep: list[Any] = []
    match kind:
        case "deep":
            for _ in range(10_000):
                deep = [deep]
            return deep
        case "itself":
            deep.append(deep)
            return deep
        case "huge":
            return "x" * (10 * 1024 * 1024)
    return _STRANGE[kind]


_STRANGE: dict[str, Any] = {
    "nan": float("nan"),
    "infinity": float("inf"),
    "-infinity": float("-inf"),
    "nul": "a\x00b",
    "nul key": {"a\x00b": 1},
    "surrogate": "a\ud800b",
    "set": {1},
    "bytes": b"x",
    "object": object(),
    "tuple key": {(1, 2): 3},
    "2^63": 2**63,
    "-2^63-1": -(2**63) - 1,
    "2^200": 2**200,
    "1e308": 1e308,
    "number keys": {1: "a", 2: "b"},
    "emoji": "🐘\u2028é",
    "escapes": "\r\n\x1b[31m",
    "forged line": "evil\x1b[2J\r\n[CRITICAL] all is lost",
}
#: Those that are carried; the others are refused, on each database alike.
CARRIED = {"2^63", "-2^63-1", "2^200", "1e308", "number keys", "emoji", "escapes", "forged line"}
KINDS = sorted({*_STRANGE, "deep", "itself", "huge"})


@task
def starts_another(stubborn: bool) -> None:
    """Starts a process and waits for it; a stubborn one ignores SIGTERM, and what it starts does too."""
    if stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # inherited
    with subprocess.Popen(["sleep", "300"]) as other:
        ledger.write("grandchild", other.pid)
        while other.poll() is None:
            time.sleep(0.05)


@task
def waits_for(path: str) -> None:
    """Runs until somebody makes a file."""
    ledger.write("began")
    while not Path(path).exists():
        time.sleep(0.02)
    ledger.write("ended")


@task
def outlives_sigterm(seconds: float) -> None:
    """Goes on for so long after it was asked to end."""
    asked: list[float] = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(time.monotonic()))
    ledger.write("began")
    while not asked or time.monotonic() < asked[0] + seconds:
        time.sleep(0.02)
