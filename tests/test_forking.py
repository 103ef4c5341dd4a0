"""A signal in the middle of a fork is neither lost nor the child's."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterable

import pytest

from django_tasktrack import forking

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
