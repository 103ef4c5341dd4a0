"""A signal in the middle of a fork is neither lost nor the child's."""

from __future__ import annotations

import subprocess
import sys

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
