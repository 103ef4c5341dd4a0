"""SIGTERM: once is a request, twice is an order."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from django.db import connection, transaction

from django_tasktrack.models import TrackedTask
from tests import invariants, ledger
from tests.app import tasks
from tests.live.test_main_job import story
from tests.workers import wait_until, worker


@pytest.mark.case(12)
@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_running_tasks_end_and_waiting_ones_stay(pool: str, book: Path) -> None:
    running = tasks.noted.delay(1, seconds=1)
    with worker("-P", pool, "-c", "1") as stopping:
        wait_until(lambda: running.state == "STARTED")
        waiting = tasks.noted.delay(2)
        stopping.terminate()
        assert stopping.wait(6) == 0
    assert (running.state, waiting.state) == ("SUCCESS", "PENDING")
    invariants.check([running.id, waiting.id], book)


@pytest.mark.case(13)
@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_after_the_grace_a_task_is_given_back_uncounted(pool: str, book: Path) -> None:
    endless = tasks.noted.delay(1, seconds=60)
    with worker("-P", pool, tasktrack={"GRACE": 1}) as stopping:
        wait_until(lambda: endless.state == "STARTED")
        stopping.terminate()
        assert stopping.wait(6) == 0
    assert story(endless) == ["PENDING", "STARTED", "PENDING"]
    assert endless.history()[-1].reason == "the worker stopped"
    assert endless.history()[-1].attempt == 0
    with worker(tasktrack={"GRACE": 1}):
        wait_until(lambda: len(ledger.read(book)) == 2, timeout=4)


@pytest.mark.case(14)
def test_the_second_signal_stops_at_once(book: Path) -> None:
    endless = tasks.noted.delay(1, seconds=60)
    with worker(tasktrack={"GRACE": 60}) as stopping:
        wait_until(lambda: endless.state == "STARTED")
        stopping.terminate()
        time.sleep(1)
        stopping.terminate()
        again = time.monotonic()
        assert stopping.wait(5) == 0
        assert time.monotonic() - again < 3
        assert "again" in stopping.output
    assert endless.state == "PENDING"
    invariants.check([endless.id], book)


@pytest.mark.case(13)
def test_a_signal_to_every_process_of_the_service_leaves_tasks_their_grace(book: Path) -> None:
    running = tasks.noted.delay(1, seconds=1.5)
    with worker("-c", "1") as stopping:
        wait_until(lambda: running.state == "STARTED")
        for process in stopping.tree():
            process.terminate()
        assert stopping.wait(10) == 0
    assert running.state == "SUCCESS"
    assert story(running) == ["PENDING", "STARTED", "SUCCESS"]


def test_a_pidfile_is_written_and_removed(tmp_path: Path) -> None:
    pidfile = tmp_path / "worker.pid"
    with worker("--pidfile", str(pidfile)) as running:
        assert pidfile.read_text().strip() == str(running.pid)
        with worker("--pidfile", str(pidfile), wait=False) as second:
            assert second.wait(20) == 2
            assert f"belongs to process {running.pid}" in second.output
        assert pidfile.exists()
    assert not pidfile.exists()


def test_a_pidfile_that_cannot_be_written_is_a_clear_error() -> None:
    with worker("--pidfile", "/proc/nowhere/worker.pid", wait=False) as refused:
        assert refused.wait(20) == 2
        assert "cannot be written" in refused.output
        assert "Hint" in refused.output


@pytest.mark.skipif(connection.vendor == "sqlite", reason="nobody holds a row there")
def test_a_task_whose_row_is_held_at_the_end_of_the_grace_is_given_back(book: Path) -> None:
    endless = tasks.noted.delay(1, seconds=60)
    with worker("-c", "1", tasktrack={"GRACE": 1}) as stopping:
        wait_until(lambda: endless.state == "STARTED")
        with transaction.atomic():
            TrackedTask.objects.select_for_update().get(pk=endless.id)
            stopping.terminate()
            time.sleep(1.6)
        assert stopping.wait(5) == 0
    assert story(endless) == ["PENDING", "STARTED", "PENDING"]
    assert endless.history()[-1].reason == "the worker stopped"
    assert endless.history()[-1].attempt == 0
    invariants.check([endless.id], book)
