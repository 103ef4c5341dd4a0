"""Workers that are killed under load, and what recovers."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import pytest
from django.db import connection

from django_tasktrack import AsyncResult
from django_tasktrack.models import TrackedTask, Worker
from django_tasktrack.states import Stage
from django_tasktrack.transitions import Answer
from tests import invariants, ledger
from tests.app import tasks
from tests.exam import load
from tests.exam.report import Figures
from tests.live.test_main_job import story
from tests.workers import WorkerProcess, wait_until, worker

#: Heartbeat 1 s, lease 5 s, upkeep every second.
RECOVERY_BOUND = 8.0
SEED = 1
LOAD = 2000


def row_of(process: WorkerProcess) -> int:
    row = process.row
    assert row
    return row.pk


@pytest.mark.case(1)
@pytest.mark.long
def test_one_worker_of_four_is_killed_under_load(book: Path, figures: Figures) -> None:
    with ExitStack() as stack:
        four = [stack.enter_context(worker("-n", f"w{n}", "-c", "2")) for n in range(4)]
        results = load.put(LOAD, SEED)
        wait_until(lambda: load.ended(book) > LOAD / 10, timeout=60)
        victim = row_of(four[0])
        wait_until(lambda: TrackedTask.objects.claimed_by(victim).exists())
        killed, orphans = time.monotonic(), load.kill_together(four[:1])
        wait_until(lambda: load.are_taken_up(orphans), timeout=2 * RECOVERY_BOUND)
        restarted = time.monotonic() - killed
        wait_until(load.is_done, timeout=120)
    again = load.runs_beyond_one(book)
    figures |= {
        "orphans": len(orphans),
        "restarted within s": round(restarted, 1),
        "lost": load.lost(results),
        "runs beyond one": sum(again.values()),
        "seed": SEED,
    }
    assert load.lost(results) == 0
    assert restarted < RECOVERY_BOUND
    assert set(again) <= {str(task_id) for task_id in orphans}, "only what was in flight ran twice"
    invariants.check([result.id for result in results], book)


@pytest.mark.case(2)
@pytest.mark.long
def test_all_workers_are_killed_and_come_back_after_ten_seconds(
    book: Path, figures: Figures
) -> None:
    results = load.put(LOAD, SEED)
    with ExitStack() as stack:
        four = [stack.enter_context(worker("-c", "2")) for _ in range(4)]
        wait_until(lambda: load.ended(book) > LOAD / 10, timeout=60)
        orphans, before = load.kill_together(four), load.ended(book)
    time.sleep(10)
    assert load.ended(book) == before
    assert TrackedTask.objects.filter(stage=Stage.CLAIMED).count() == len(orphans)
    with ExitStack() as stack:
        back = time.monotonic()
        for _ in range(4):
            stack.enter_context(worker("-c", "2", wait=False))
        wait_until(lambda: load.are_taken_up(orphans), timeout=60)
        restarted = time.monotonic() - back
        wait_until(load.is_done, timeout=120)
    again = load.runs_beyond_one(book)
    figures |= {
        "orphans": len(orphans),
        "restarted within s": round(restarted, 1),
        "lost": load.lost(results),
        "runs beyond one": sum(again.values()),
        "seed": SEED,
    }
    assert load.lost(results) == 0
    assert set(again) <= {str(task_id) for task_id in orphans}
    invariants.check([result.id for result in results], book)


class Steady:
    """Tasks at an even rate, and how many of them are done meanwhile.

    Args:
        book: the ledger.
        rate: tasks a second.
    """

    def __init__(self, book: Path, rate: float) -> None:
        self.results: list[AsyncResult] = []
        self._book = book
        self._rate = rate

    def keep_up(self, seconds: float, disturb: Callable[[], None] = lambda: None) -> float:
        """Enqueue for so long, and call ``disturb`` all the time.

        Returns:
            Tasks ended for each that was enqueued, from a recovery bound after the beginning on.
        """
        began, before = time.monotonic(), len(self.results)
        settled: tuple[int, int] | None = None
        while (elapsed := time.monotonic() - began) < seconds:
            while len(self.results) - before < elapsed * self._rate:
                self.results.append(tasks.noted.delay(len(self.results), 0.02))
            disturb()
            if settled is None and elapsed > RECOVERY_BOUND:
                settled = len(self.results), self._done()
            time.sleep(0.01)
        assert settled, "shorter than the recovery bound"
        return (self._done() - settled[1]) / (len(self.results) - settled[0])

    def _done(self) -> int:
        """Tasks, not runs of them: what is done twice is no throughput."""
        return len({entry.task_id for entry in ledger.read(self._book) if entry.event == "ended"})


@pytest.mark.case(3)
@pytest.mark.long
def test_a_worker_is_killed_every_other_second_at_fifty_tasks_a_second(
    book: Path, figures: Figures
) -> None:
    load_of = Steady(book, rate=50)
    in_flight: set[UUID] = set()
    kills = 0
    with ExitStack() as stack:
        crew = [stack.enter_context(worker("-c", "2")) for _ in range(4)]
        next_kill = 0.0

        def kill_one() -> None:
            nonlocal kills, next_kill
            if time.monotonic() > next_kill and (victim := crew[0]).row:
                next_kill, kills = max(next_kill, time.monotonic() - 2.0) + 2.0, kills + 1
                crew[:] = [*crew[1:], stack.enter_context(worker("-c", "2", wait=False))]
                in_flight.update(load.kill_together([victim]))

        undisturbed = load_of.keep_up(20)
        wait_until(load.is_done)
        disturbed = load_of.keep_up(60, kill_one)
        stopped = time.monotonic()
        wait_until(load.is_done, timeout=6 * RECOVERY_BOUND)
        caught_up = time.monotonic() - stopped
    results, again = load_of.results, load.runs_beyond_one(book)
    figures |= {
        "tasks": len(results),
        "kills": kills,
        "orphans": len(in_flight),
        "lost": load.lost(results),
        "runs beyond one": sum(again.values()),
        "throughput ratio, %": round(100 * disturbed / undisturbed),
        "all done after s": round(caught_up, 1),
    }
    assert load.lost(results) == 0
    assert set(again) <= {str(task_id) for task_id in in_flight}
    assert kills > 5, "this machine is too busy for the case"
    assert disturbed >= 0.9 * undisturbed, f"{disturbed:.2f} of {undisturbed:.2f}"
    assert caught_up < 2 * RECOVERY_BOUND
    invariants.check([result.id for result in results], book)


@pytest.mark.case(5)
@pytest.mark.parametrize("row", ["kept", "deleted"])
def test_a_restart_under_the_same_name_and_pid_recovers_the_orphan(
    row: str, book: Path, figures: Figures
) -> None:
    task = tasks.noted.delay(1, seconds=2)
    with worker("-n", "same") as first:
        wait_until(lambda: task.state == "STARTED")
        dead = row_of(first)
        first.kill_tree()
    killed = time.monotonic()
    if row == "deleted":
        Worker.objects.filter(pk=dead).delete()
    with worker("-n", "same") as second:
        Worker.objects.filter(pk=dead).update(pid=second.pid)  # as after a reboot
        wait_until(lambda: len(ledger.read(book)) >= 3, timeout=2 * RECOVERY_BOUND)
        figures["restarted within s"] = round(time.monotonic() - killed - 2, 1)
        assert task.get(timeout=20) == 1
    assert story(task) == ["PENDING", "STARTED", "RETRY", "STARTED", "SUCCESS"]
    invariants.check([task.id], book)


@pytest.mark.case(9)
@pytest.mark.long
def test_a_frozen_attempt_that_a_rerun_has_rewound_changes_nothing(book: Path) -> None:
    """The second worker's attempt has the number of the first's: only the lease tells them apart."""
    if connection.vendor == "sqlite":
        pytest.skip("there a lock tells who lives: a frozen process keeps it, and is not lost")
    task = tasks.at_most_once.delay(4)
    with worker("-n", "frozen", "-c", "1") as frozen:
        wait_until(lambda: ledger.read(book))
        for process in frozen.tree():
            process.send_signal(signal.SIGSTOP)
        with worker("-n", "second", "-c", "1"):
            wait_until(task.ready, timeout=3 * RECOVERY_BOUND)
            assert story(task) == ["PENDING", "STARTED", "FAILURE"]
            assert task.rerun(actor="user:boss") is Answer.QUEUED
            wait_until(lambda: len(ledger.read(book)) == 2)
            before = [(r.seq, r.state, r.attempt, r.lease) for r in task.history()]
            for process in frozen.tree():
                process.send_signal(signal.SIGCONT)
            wait_until(lambda: "was lost" in frozen.output, timeout=10)
            assert [(r.seq, r.state, r.attempt, r.lease) for r in task.history()] == before
            task.get(timeout=20)
            assert task.worker == "second"
    assert [entry.attempt for entry in ledger.read(book) if entry.event == "began"] == [1, 1]
    leases = [entry.lease for entry in ledger.read(book) if entry.event == "began"]
    assert leases[0] < leases[1]
    invariants.check([task.id], book)
