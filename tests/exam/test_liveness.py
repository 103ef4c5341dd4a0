"""Who lives and who does not: signs of life, what silences them, and what must not."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from _pytest.mark.structures import ParameterSet
from django.db import connection  # noqa: F401  for the conditions of marks

from django_tasktrack.models import Worker
from tests import invariants, ledger
from tests.app import tasks
from tests.exam.report import Figures
from tests.live.test_deaths import RECOVERY_BOUND
from tests.live.test_main_job import story
from tests.workers import WorkerProcess, lives, wait_until, worker

on_a_server = pytest.mark.skipif(
    "connection.vendor == 'sqlite'", reason="on SQLite a lock tells who lives, not a clock"
)
on_a_file = pytest.mark.skipif("connection.vendor != 'sqlite'", reason="it is about SQLite's locks")


def _in_the_exam(*pools: str) -> list[ParameterSet]:
    """These take as long as the first, and hardly ever tell more."""
    return [pytest.param(pool, marks=pytest.mark.long) for pool in pools]


def heartbeat_of(running: WorkerProcess) -> psutil.Process:
    """The process that gives its signs of life: the first that it forks."""
    return min(psutil.Process(running.pid).children(), key=lambda process: process.pid)


@pytest.mark.case(10)
@pytest.mark.parametrize("pool", ["threads", *_in_the_exam("solo", "prefork")])
def test_a_body_that_holds_the_interpreter_s_lock_keeps_its_lease(pool: str, book: Path) -> None:
    endless = tasks.holds_the_lock.delay(9)
    with (
        worker("-n", "holding", "-P", pool, "-c", "1") as holding,
        worker("-n", "other", "-Q", "x"),
    ):
        endless.get(timeout=30)
        assert story(endless) == ["PENDING", "STARTED", "SUCCESS"]
        assert [entry.event for entry in ledger.read(book)] == ["began", "ended"]
        assert "was lost" not in holding.output
    assert set(Worker.objects.values_list("lost_at", flat=True)) == {None}
    invariants.check([endless.id], book)


@pytest.mark.case(10)
@pytest.mark.long
@pytest.mark.parametrize("pool", ["threads", "solo", "prefork"])
def test_twenty_seconds_of_it(pool: str, book: Path) -> None:
    endless = tasks.holds_the_lock.delay(20)
    with worker("-P", pool, "-c", "1") as holding, worker("-n", "other", "-Q", "x"):
        endless.get(timeout=60)
        assert "was lost" not in holding.output
    assert story(endless) == ["PENDING", "STARTED", "SUCCESS"]
    invariants.check([endless.id], book)


@pytest.mark.case(8)
@on_a_server
@pytest.mark.parametrize("pool", ["prefork", *_in_the_exam("threads")])
def test_the_end_of_a_worker_whose_heartbeat_froze_is_refused(
    pool: str, book: Path, figures: Figures
) -> None:
    task = tasks.noted.delay(1, seconds=7)
    with worker("-n", "silent", "-P", pool, "-c", "1") as silent:
        wait_until(lambda: task.state == "STARTED")
        heartbeat_of(silent).suspend()
        frozen = time.monotonic()
        with worker("-n", "second", "-c", "1"):
            wait_until(lambda: "was lost (no sign of life" in silent.output, timeout=10)
            figures["fenced itself after, s"] = round(time.monotonic() - frozen, 1)
            # It begins anew, hears nothing even then, and ends.
            assert silent.wait(15) == 1
            assert Worker.objects.filter(name="silent").count() == 2
            assert task.get(timeout=30) == 1
    assert story(task)[:3] == ["PENDING", "STARTED", "RETRY"]
    assert story(task)[-1] == "SUCCESS"
    invariants.check([task.id], book)


@pytest.mark.case(8)
@on_a_file
def test_on_sqlite_a_worker_whose_heartbeat_froze_keeps_its_task(book: Path) -> None:
    """Its lock says that it lives, and so it does: the silence is nobody's business there."""
    task = tasks.noted.delay(1, seconds=7)
    with worker("-n", "silent", "-c", "1") as silent:
        wait_until(lambda: task.state == "STARTED")
        heartbeat_of(silent).suspend()
        with worker("-n", "second", "-c", "1"):
            assert task.get(timeout=20) == 1
        assert "was lost" not in silent.output
    assert story(task) == ["PENDING", "STARTED", "SUCCESS"]
    assert task.worker == "silent"
    invariants.check([task.id], book)


@pytest.mark.case(8)
def test_a_worker_whose_heartbeat_was_killed_gives_its_tasks_back_and_ends(book: Path) -> None:
    task = tasks.noted.delay(1, seconds=60)
    with worker("-c", "1") as bereft:
        wait_until(lambda: task.state == "STARTED")
        heartbeat_of(bereft).kill()
        assert bereft.wait(5) == 1
        assert "heartbeat's process is gone" in bereft.output
    assert story(task) == ["PENDING", "STARTED", "PENDING"]
    assert task.history()[-1].attempt == 0
    invariants.check([task.id], book)


@pytest.mark.case(4)
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_no_sign_of_life_of_a_worker_that_is_dead(pool: str, book: Path) -> None:
    """Even where a process that a task has forked holds all of the worker's descriptors."""
    copy = tasks.forks_a_copy.delay(12)
    with worker("-P", pool, "-c", "1", tasktrack={"HEARTBEAT": 0.5}) as dead:
        copied = psutil.Process(copy.get(timeout=20))
        heartbeat = heartbeat_of(dead)
        os.kill(dead.pid, signal.SIGKILL)
        wait_until(lambda: not lives(heartbeat), timeout=2)
        if pool == "threads":
            assert lives(copied), "else this proves nothing"
            copied.kill()


@pytest.mark.case(7)
@on_a_server
def test_no_sign_of_life_of_a_worker_that_is_stopped(book: Path) -> None:
    """Its heartbeat runs on, as after a signal to the worker alone."""
    task = tasks.noted.delay(1, seconds=30)
    with worker("-n", "stopped", "-P", "threads") as stopped:
        wait_until(lambda: task.state == "STARTED")
        os.kill(stopped.pid, signal.SIGSTOP)
        with worker("-n", "second", tasktrack={"GRACE": 0}):
            wait_until(lambda: task.worker == "second", timeout=RECOVERY_BOUND + 4)
            os.kill(stopped.pid, signal.SIGCONT)
            wait_until(lambda: "was lost" in stopped.output, timeout=5)
            os.kill(stopped.pid, signal.SIGKILL)


@pytest.mark.case(5)
def test_a_living_worker_whose_row_was_deleted_begins_anew(book: Path) -> None:
    task = tasks.noted.delay(1, seconds=4)
    with worker("-c", "1") as running:
        wait_until(lambda: task.state == "STARTED")
        Worker.objects.all().delete()
        wait_until(lambda: "was lost" in running.output, timeout=5)
        assert task.get(timeout=20) == 1
    assert task.history()[-1].attempt == 2
    invariants.check([task.id], book)


@pytest.mark.case(10, 55)
@on_a_file
def test_a_long_transaction_on_sqlite_costs_nobody_the_lease(book: Path) -> None:
    slow = tasks.writes_slowly.delay(9)
    with worker("-n", "writing", "-c", "1") as writing, worker("-n", "other", "-c", "1") as other:
        slow.get(timeout=40)
        quick = tasks.noted.delay(1)
        assert quick.get(timeout=20) == 1
        for running in (writing, other):
            assert "was lost" not in running.output
    assert story(slow)[-1] == "SUCCESS"
    assert slow.history()[-1].attempt == 1
    assert set(Worker.objects.values_list("lost_at", flat=True)) == {None}
    invariants.check([slow.id, quick.id], book)


@pytest.mark.case(1, 55)
@on_a_file
def test_a_killed_worker_on_sqlite_is_noticed_at_once(book: Path, figures: Figures) -> None:
    task = tasks.noted.delay(1, seconds=2)
    with worker("-n", "first") as first:
        wait_until(lambda: task.state == "STARTED")
        with worker("-n", "second", tasktrack={"LEASE": 3600}):
            first.kill_tree()
            killed = time.monotonic()
            wait_until(lambda: len(ledger.read(book)) == 2, timeout=5)
            figures["noticed after, s"] = round(time.monotonic() - killed, 1)
            assert task.get(timeout=20) == 1
    invariants.check([task.id], book)
