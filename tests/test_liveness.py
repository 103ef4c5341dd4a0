"""Locks that tell who lives, with real processes; and what is told where there are none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

from django_tasktrack import liveness

_HOLDER = """
import sys, pathlib, django_tasktrack.liveness as liveness
locks = liveness._Locks(pathlib.Path(sys.argv[1]))
print(locks.hold(int(sys.argv[2])), flush=True)
sys.stdin.read()
"""


def _holder(path: Path, worker_id: int) -> subprocess.Popen[str]:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path), str(worker_id)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout
    assert holder.stdout.readline() == "True\n"
    return holder


def test_a_worker_lives_as_long_as_its_process(tmp_path: Path) -> None:
    path = tmp_path / "workers"
    locks = liveness._Locks(path)
    with _holder(path, 7) as seven, _holder(path, 8) as eight:
        assert locks.lives(7) is True
        assert locks.lives(8) is True
        seven.kill()
        seven.wait()
        assert locks.lives(7) is False
        assert locks.lives(8) is True, "looking at one frees no other"
        eight.kill()
    assert locks.lives(8) is False


def test_nothing_is_said_of_a_worker_that_never_took_its_lock(tmp_path: Path) -> None:
    locks = liveness._Locks(tmp_path / "workers")
    assert locks.lives(3) is None
    assert locks.lives(3_000_000_000) is None


def test_looking_at_its_own_lock_does_not_drop_it(tmp_path: Path) -> None:
    path = tmp_path / "workers"
    locks = liveness._Locks(path)
    assert locks.hold(5)
    assert locks.lives(5) is True
    code = (
        "import sys, pathlib, django_tasktrack.liveness as liveness\n"
        "print(liveness._Locks(pathlib.Path(sys.argv[1])).lives(5))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert told.stdout == "True\n"


@pytest.mark.django_db
def test_a_server_leaves_it_to_the_clock() -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite is the one with locks")
    assert not liveness.hold(connection, 1)
    assert liveness.verdicts(connection, [1, 2]) == ([], [])
