"""Real worker processes for tests, and waiting for what they do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil
from django.db import connection

from django_tasktrack.models import Worker

from . import databases

ROOT = Path(__file__).resolve().parent.parent
_T = TypeVar("_T")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell without a terminal starts background jobs so, and the workers would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
_started: list[WorkerProcess] = []


class WorkerProcess:
    """One ``manage.py worker`` with all that it starts, in a session of its own."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.pid = process.pid
        self.log = log

    @property
    def row(self) -> Worker | None:
        """What the worker wrote of itself, once it is up."""
        return Worker.objects.filter(pid=self.pid).order_by("-pk").first()

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def tree(self) -> list[psutil.Process]:
        """The living processes of this worker, parent first; orphans are found by their session."""
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self.pid)
            found = {p.pid: p for p in [parent, *parent.children(recursive=True)]}
            return [*found.values(), *(p for p in self._session() if p.pid not in found)]
        return self._session()

    def _session(self) -> list[psutil.Process]:
        return [p for p in psutil.process_iter() if _session_of(p) == self.pid and lives(p)]

    def terminate(self) -> None:
        """Ask it to end: SIGTERM to the parent alone, as a service manager may do."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout: float = 20.0) -> int:
        """Its exit code.

        Raises:
            AssertionError: it runs on after ``timeout`` seconds.
        """
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"The worker still runs after {timeout:g} s.") from None

    def kill_tree(self) -> None:
        """End it like a power cut: SIGKILL to every process, none of which can react in between."""
        tree = self.tree()
        for process in tree:  # a parent that sleeps cannot replace its children
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        for process in {*tree, *self.tree()}:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(10)
        psutil.wait_procs(tree, timeout=10)

    def end(self) -> None:
        """Gracefully where it can, and with nothing left of it in any case."""
        self.terminate()
        with suppress(AssertionError):
            self.wait(15)
        if self.tree():
            self.kill_tree()

    def _wait_until_up(self) -> None:
        wait_until(
            lambda: self.process.poll() is not None or self.row,
            timeout=30,
            what="the worker's row",
        )
        assert not self.process.returncode, f"The worker ended: {self.output[-4000:]}"


def _session_of(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except (ProcessLookupError, PermissionError):
        return None


def lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@contextmanager
def worker(
    *args: str,
    env: Mapping[str, str] | None = None,
    settings: str = "tests.settings",
    tasktrack: Mapping[str, Any] | None = None,
    wait: bool = True,
) -> Iterator[WorkerProcess]:
    """A ``manage.py worker`` on the test database, ended with the block.

    The test that uses it needs ``pytest.mark.django_db(transaction=True)``: others commit nothing that
    the worker could see.

    Args:
        args: options of the command.
        env: more environment variables.
        settings: settings module of the process.
        tasktrack: settings that differ from the test profile's.
        wait: whether to return only once it is up (or has ended with 0, as a burst may).
    """
    started = _start(args, env or {}, settings, tasktrack or {})
    try:
        if wait:
            started._wait_until_up()
        yield started
    finally:
        started.end()


def _start(
    args: tuple[str, ...],
    env: Mapping[str, str],
    settings: str,
    tasktrack: Mapping[str, Any],
) -> WorkerProcess:
    log = databases.scratch() / f"worker-{time.monotonic_ns()}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "worker", *args],
            cwd=ROOT,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": settings,
                databases.NAME: str(connection.settings_dict["NAME"]),
                "TASKTRACK_TEST_SETTINGS": json.dumps(dict(tasktrack)),
                "PYTHONUNBUFFERED": "1",
                **env,
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    started = WorkerProcess(process, log)
    _started.append(started)
    return started


def end_all() -> None:
    """End what a test left behind."""
    for started in _started:
        if started.process.poll() is None or started.tree():
            started.end()


def forget_logs() -> None:
    _started.clear()


def logs() -> list[tuple[str, str]]:
    """The logs of the workers that the current test started: (name, text)."""
    return [(f"worker {w.pid}", w.output[-20_000:]) for w in _started if w.log.exists()]


def wait_until(
    predicate: Callable[[], _T],
    timeout: float = 20.0,
    *,
    what: str = "",
    interval: float = 0.05,
) -> _T:
    """The first true value of ``predicate``.

    Raises:
        AssertionError: after ``timeout`` seconds without one; says ``what`` was waited for.
    """
    deadline = time.monotonic() + timeout
    while not (value := predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(f"Waited {timeout:g} s for {what or predicate}.")
        time.sleep(interval)
    return value
