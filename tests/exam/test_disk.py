"""A disk that is full for a while."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection

from django_tasktrack import AsyncResult
from django_tasktrack.models import TrackedTask
from tests import databases, invariants
from tests.app import tasks
from tests.exam import load, servers
from tests.exam.report import Figures
from tests.exam.test_database import (
    beyond_one,
    lived_through,
    most_errors_a_second,
    say_little,
    until_answers,
    workers,
)
from tests.workers import wait_until


@pytest.fixture
def disk(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small disk that the test database lies on."""
    if databases.kind() == "mysql":
        pytest.skip("it takes a MariaDB server of the test's own, whose disk may be filled")
    megabytes = 8 if databases.kind() == "sqlite" else 48
    with servers.small_disk(scratch / "disk", megabytes) as directory:
        if databases.kind() == "sqlite":
            with servers.moved_to({"NAME": str(directory / "exam.sqlite3")}):
                call_command("migrate", verbosity=0)
                yield directory
        else:
            own = servers.own_server(scratch / "postgres", monkeypatch, tablespace=directory)
            with own:
                yield directory


@contextmanager
def full(directory: Path) -> Iterator[None]:
    """While this lasts, nothing more fits on the disk."""
    ballast = directory / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    try:
        yield
    finally:
        ballast.unlink()


def _enqueued_until_it_raises(results: list[AsyncResult]) -> int:
    """How many tasks still found room."""
    for number in range(20_000):
        try:
            results.append(tasks.noted.delay(number))
        except DatabaseError:
            return number
    return 20_000


@pytest.mark.case(28)
@pytest.mark.long
def test_a_full_disk(disk: Path, book: Path, figures: Figures) -> None:
    """Enqueueing raises; workers, whose lease outlasts it, keep every outcome and go on once there is room."""
    results = [tasks.noted.delay(number, seconds=0.5) for number in range(40)]
    with workers(2, tasktrack={"LEASE": 60}) as running:
        wait_until(lambda: load.ended(book) > 2)
        with full(disk):
            assert _enqueued_until_it_raises(results) < 20_000
            connection.close()
            time.sleep(5)
            assert all(one.process.poll() is None for one in running)
            figures["error lines a second"] = max(map(most_errors_a_second, running))
            say_little(running)
        until_answers()
        freed = time.monotonic()
        wait_until(lambda: TrackedTask.objects.filter(state="SUCCESS").count() >= 40, timeout=20)
        figures["working again, s"] = round(time.monotonic() - freed, 1)
        wait_until(load.is_done, timeout=120)
        assert lived_through(running)
    figures["lost"] = load.lost(results)
    figures["runs beyond one"] = beyond_one(book)
    assert (figures["lost"], figures["runs beyond one"]) == (0, 0)
    invariants.check([result.id for result in results], book)
