"""Locks that tell who lives, with real processes; and what is told where there are none."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from django.db import OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper

from django_tasktrack import liveness
from django_tasktrack.heartbeat import Beat, Heartbeat
from django_tasktrack.models import Worker
from django_tasktrack.registration import Identity, Registration
from tests.inline import the_vendor

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


def test_a_lock_that_is_just_being_let_go_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "workers"
    with _holder(path, 7) as holder:
        ending = threading.Timer(0.3, holder.kill)
        ending.start()
        assert liveness._Locks(path).hold(7)
        ending.join()


class _Mute(Heartbeat):
    """No process behind it."""

    def __init__(self) -> None:
        """Nothing is forked."""

    def follow(self, worker_id: int) -> None:
        """No sign of life is given."""


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="it is about SQLite's locks")
def test_a_row_that_is_rolled_back_leaves_no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next worker gets its number, and its death is to be noticed."""
    identity = Identity("w1@host", "prefork", 1, True, [], [], "1")
    registration = Registration(
        the_vendor(), identity, _Mute(), 5.0, on_lost=lambda _: None, on_dead=lambda: None
    )

    def full() -> None:
        raise OperationalError("database or disk is full")

    numbers: list[int] = []
    hold = liveness.hold

    def noted(connection: BaseDatabaseWrapper, worker_id: int) -> bool:
        numbers.append(worker_id)
        return hold(connection, worker_id)

    monkeypatch.setattr(liveness, "hold", noted)
    with monkeypatch.context() as patched:
        patched.setattr(connection, "_commit", full)
        with pytest.raises(OperationalError):
            registration.register()
    assert not Worker.objects.exists()
    name = Path(connection.settings_dict["NAME"])
    with _holder(name.with_name(f"{name.name}-workers"), numbers[0]) as following:
        assert liveness.verdicts(connection, numbers) == (numbers, [])
        following.kill()
        following.wait()
        assert liveness.verdicts(connection, numbers) == ([], numbers)


def test_a_sign_of_life_that_counts_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    registration = Registration(
        the_vendor(), Identity("w1@host", "prefork", 1, True, [], [], "1"), _Mute(), 5.0,
        on_lost=lambda _: None, on_dead=lambda: None, on_beat=lambda: told.append(1),
    )  # fmt: skip
    registration.worker_id = 5
    for beat in (Beat(4, True, 1.0), Beat(5, None, 1.0), Beat(5, False, 1.0)):
        registration._take(beat)
    assert told == []
    registration._take(Beat(5, True, 1.0))
    assert told == [1]
