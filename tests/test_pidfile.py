"""The lock decides who may run; the number in the file is for people."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from django_tasktrack.pidfile import PidfileError, pidfile

_HOLD = """
import os, sys, time
from django_tasktrack.pidfile import pidfile
with pidfile(sys.argv[1]):
    if os.fork() == 0:  # as a worker's children are: made while the file is open
        time.sleep(30)
        os._exit(0)
    print("held", flush=True)
    time.sleep(30)
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the pidfile and has forked a child."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    with process.stdout:
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "worker.pid"


def test_it_holds_the_process_id_and_is_removed_at_the_end(path: Path) -> None:
    with pidfile(str(path)):
        assert path.read_text() == f"{os.getpid()}\n"
    assert not path.exists()


def test_number_of_an_unrelated_process_blocks_nothing(path: Path) -> None:
    path.write_text(f"{os.getppid()}\n")
    with pidfile(str(path)):
        assert path.read_text() == f"{os.getpid()}\n"


def test_one_that_is_held_is_refused(path: Path) -> None:
    with holder(path) as other:
        with pytest.raises(PidfileError, match=f"belongs to process {other.pid}, which runs"):
            pidfile(str(path)).__enter__()
        assert path.read_text() == f"{other.pid}\n"


def test_children_of_a_killed_worker_do_not_hold_it(path: Path) -> None:
    with holder(path) as killed:
        killed.kill()
        killed.wait()
        with pidfile(str(path)):
            assert path.read_text() == f"{os.getpid()}\n"


def test_file_of_somebody_else_s_is_left_alone(path: Path) -> None:
    path.write_text("important\n")
    with pytest.raises(PidfileError, match="holds no process id"):
        pidfile(str(path)).__enter__()
    assert path.read_text() == "important\n"


def test_file_that_replaced_ours_is_not_removed(path: Path) -> None:
    with pidfile(str(path)):
        path.unlink()
        path.write_text("1\n")
    assert path.exists()


def test_device_is_no_pidfile() -> None:
    with pytest.raises(PidfileError, match="no ordinary file"):
        pidfile(os.devnull).__enter__()
