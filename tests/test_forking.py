"""A signal in the middle of a fork is neither lost nor the child's, and no connection is both's."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterable

import pytest
from django.db import connection

from django_tasktrack import forking, heartbeat
from django_tasktrack.pools import forkserver

_INTERRUPTED = """
import os, signal, sys
from django_tasktrack.forking import fork

def interrupt(*_):
    raise SystemExit(7)

signal.signal(signal.SIGINT, interrupt)
os.register_at_fork(before=lambda: os.kill(os.getpid(), signal.SIGINT))
pid = 1
try:
    pid = fork()
finally:
    if pid == 0:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        print("the child lives", flush=True)
        os._exit(0)
    os.wait()
"""


def test_a_signal_during_a_fork_reaches_the_parent_and_spares_the_child() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (ran.returncode, ran.stdout.strip(), ran.stderr) == (7, "the child lives", "")


def test_a_handler_that_raises_while_signals_are_blocked_leaves_none_blocked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mask = signal.pthread_sigmask

    def interrupted(how: int, signals: Iterable[int]) -> set[signal.Signals]:
        before = mask(how, signals)
        if how == signal.SIG_BLOCK and signals:
            raise KeyboardInterrupt  # as a handler does that the call itself calls
        return {signal.Signals(number) for number in before}

    before = mask(signal.SIG_BLOCK, ())
    monkeypatch.setattr(signal, "pthread_sigmask", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            forking.fork()
        assert mask(signal.SIG_BLOCK, ()) == before
    finally:
        mask(signal.SIG_SETMASK, before)


def fork_the_server() -> None:
    forkserver.ForkServer(lambda *_: None).close()


def fork_the_heartbeat() -> None:
    heartbeat.Heartbeat("default", 1.0).end()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("act", [fork_the_server, fork_the_heartbeat])
def test_no_connection_is_open_while_a_process_is_forked(
    act: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the project has asked before: two processes on one session would hear each other's answers."""
    there: list[object] = []

    def fork() -> int:
        there.append(connection.connection)
        return 1  # as if there were a child

    for module in (forkserver, heartbeat):
        monkeypatch.setattr(module, "fork", fork)
    connection.ensure_connection()
    act()
    assert there == [None]
