"""Workers that are killed under load, and what recovers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import UUID

import psutil
import pytest
from django.db import connection

from django_tasktrack import AsyncResult
from django_tasktrack.models import TrackedTask, Worker
from django_tasktrack.states import Stage
from django_tasktrack.transitions import Answer
from tests import invariants, ledger
from tests.app import tasks
from tests.exam import load, zombies
from tests.exam.report import Figures
from tests.live.test_main_job import story
from tests.workers import WorkerProcess, lives, wait_until, worker

#: Heartbeat 1 s, lease 5 s, upkeep every second.
RECOVERY_BOUND = 8.0
#: How long a worker may take from its start to its row, on a machine of two processors with nine of them.
BOOT_BOUND = 20.0
#: What is granted to a busy machine beyond a bound, in seconds.
SLACK = 2.0
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
        orphans, killed = load.kill_together(four[:1], busy=True), time.monotonic()
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
    assert orphans, "else nothing was in flight"
    assert load.lost(results) == 0
    assert restarted < RECOVERY_BOUND
    assert not load.unexplained(again, orphans), "only what was in flight ran twice"
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
        orphans, before = load.kill_together(four, busy=True), load.ended(book)
    time.sleep(10)
    assert load.ended(book) == before
    assert TrackedTask.objects.filter(stage=Stage.CLAIMED).count() == len(orphans)
    with ExitStack() as stack:
        back, dead = time.monotonic(), Worker.objects.latest("pk").pk
        for _ in range(4):
            stack.enter_context(worker("-c", "2", wait=False))
        wait_until(lambda: Worker.objects.filter(pk__gt=dead).exists(), timeout=BOOT_BOUND)
        booted = time.monotonic()
        wait_until(lambda: load.are_taken_up(orphans), timeout=60)
        restarted = time.monotonic() - booted
        wait_until(load.is_done, timeout=120)
    again = load.runs_beyond_one(book)
    figures |= {
        "orphans": len(orphans),
        "first worker up after s": round(booted - back, 1),
        "restarted within s of that": round(restarted, 1),
        "lost": load.lost(results),
        "runs beyond one": sum(again.values()),
        "seed": SEED,
    }
    assert len(orphans) >= 4, "each worker had something in flight"
    assert load.lost(results) == 0
    assert restarted < RECOVERY_BOUND
    assert not load.unexplained(again, orphans)
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
                settled = len(self.results), load.done(self._book)
            time.sleep(0.01)
        assert settled, "shorter than the recovery bound"
        return (load.done(self._book) - settled[1]) / (len(self.results) - settled[0])


@pytest.mark.case(3)
@pytest.mark.long
def test_a_worker_is_killed_every_other_second_at_fifty_tasks_a_second(
    book: Path, figures: Figures
) -> None:
    load_of = Steady(book, rate=50)
    in_flight: list[dict[UUID, int]] = []
    kills, started = 0, {}
    with ExitStack() as stack:
        crew = [stack.enter_context(worker("-c", "2")) for _ in range(4)]
        next_kill = 0.0

        def kill_one() -> None:
            nonlocal kills, next_kill
            if time.monotonic() > next_kill and (victim := crew[0]).row:
                next_kill, kills = max(next_kill, time.monotonic() - 2.0) + 2.0, kills + 1
                asked = time.time()
                crew[:] = [*crew[1:], stack.enter_context(worker("-c", "2", wait=False))]
                started[crew[-1].pid] = asked
                in_flight.append(load.kill_together([victim]))

        undisturbed = load_of.keep_up(20)
        wait_until(load.is_done)
        disturbed = load_of.keep_up(60, kill_one)
        stopped = time.monotonic()
        wait_until(load.is_done, timeout=6 * RECOVERY_BOUND)
        caught_up = time.monotonic() - stopped
    results, again = load_of.results, load.runs_beyond_one(book)
    rows = Worker.objects.filter(pid__in=list(started))
    boots = sorted(row.started_at.timestamp() - started[row.pid] for row in rows)
    figures |= {
        "tasks": len(results),
        "kills, of 30": kills,
        "boots, median and longest, s": f"{boots[len(boots) // 2]:.1f} and {boots[-1]:.1f}",
        "orphans": sum(map(len, in_flight)),
        "lost": load.lost(results),
        "runs beyond one": sum(again.values()),
        "done of what is enqueued, without kills, %": round(100 * undisturbed),
        "throughput ratio, %": round(100 * disturbed / undisturbed),
        "all done after s": round(caught_up, 1),
    }
    assert load.lost(results) == 0
    assert not load.unexplained(again, *in_flight)
    assert any(in_flight), "else nothing was in flight"
    assert boots[-1] < BOOT_BOUND, "this machine is too busy for the case"
    assert kills >= 15, "this machine is too busy for the case"
    assert disturbed >= 0.9 * undisturbed, f"{disturbed:.2f} of {undisturbed:.2f}"
    assert caught_up < 2 * RECOVERY_BOUND
    invariants.check([result.id for result in results], book)


@contextmanager
def restarted_under(pid: int) -> Iterator[WorkerProcess]:
    """A worker named "same" that has this process id, where the system lets us say so; else any."""
    for _ in range(20):
        asked = _ask_for(pid)
        with worker("-n", "same", wait=False) as running:
            if running.pid == pid or not asked:
                yield running
                return
            running.kill_tree()  # somebody else has just taken it, or forked before us
    raise AssertionError(f"Process id {pid} was not to be had.")


def _ask_for(pid: int) -> bool:
    """Have Linux number the next process so."""
    try:
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
    except OSError:
        return False
    return True


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
    with restarted_under(first.pid) as second:
        # What the system does not do, the row says.
        Worker.objects.filter(pk=dead).update(pid=second.pid)
        wait_until(lambda: Worker.objects.filter(pk__gt=dead).exists(), timeout=BOOT_BOUND)
        booted = time.monotonic() - killed
        wait_until(lambda: len(ledger.read(book)) >= 2, timeout=2 * RECOVERY_BOUND)
        restarted = time.monotonic() - killed
        assert task.get(timeout=20) == 1
    figures["the same pid"] = "in truth" if second.pid == first.pid else "by its row"
    figures["restarted within s"] = round(restarted, 1)
    assert restarted < max(RECOVERY_BOUND, booted + 2)
    assert story(task) == ["PENDING", "STARTED", "RETRY", "STARTED", "SUCCESS"]
    invariants.check([task.id], book)


@pytest.mark.case(7)
@pytest.mark.long
def test_a_worker_that_was_frozen_for_15_seconds_changes_nothing_and_stops(
    book: Path, figures: Figures
) -> None:
    """What it says while others run its tasks: one end, one retry, reports of progress. None is taken."""
    ending, stumbling = tasks.noted.delay(1, 2), tasks.stumbles.delay(1, seconds=2)
    counting = tasks.counts.delay(100)
    asked = [ending, stumbling, counting]
    with worker("-n", "frozen", "-c", "3") as frozen:
        wait_until(lambda: all(task.state == "STARTED" for task in asked))
        (reporting,) = (e.pid for e in ledger.read(book) if e.task_id == counting.id)
        zombies.freeze(frozen)
        stopped = time.monotonic()
        assert len(load.held_by([frozen])) == 3
        with worker("-n", "second", "-c", "3") as second:
            wait_until(lambda: load.began(book) == 6, timeout=RECOVERY_BOUND + 15)
            with zombies.held_still(entry.pid for entry in ledger.read(book)[3:]):
                # What these have reported is written by then.
                time.sleep(max(1.0, stopped + 15 - time.monotonic()))
                assert len(load.held_by([second])) == 3
                assert {task.state for task in asked} == {"STARTED"}
                before = zombies.rows()
                woken = zombies.wake(frozen, lambda: load.ended(book) == 1)
                wait_until(
                    lambda: "was lost" in frozen.output and not _lives(reporting),
                    timeout=10,
                    interval=0.02,
                )
                figures["stopped after s"] = round(time.monotonic() - woken, 1)
                wait_until(lambda: Worker.objects.alive().filter(name="frozen").exists())
                figures[zombies.ACCEPTED] = zombies.accepted_since(before)
                for tried in (f"[{ending.id}] succeeded", f"[{stumbling.id}] retry"):
                    assert tried in zombies.last_words(frozen), "else there was nothing to refuse"
            wait_until(load.is_done, timeout=30)
        assert {task.worker for task in (ending, counting)} == {"second"}
    assert figures[zombies.ACCEPTED] == 0
    assert figures["stopped after s"] <= 2 + SLACK
    assert {task.state for task in asked} == {"SUCCESS"}
    invariants.check([task.id for task in asked], book)


def _lives(pid: int) -> bool:
    return psutil.pid_exists(pid) and lives(psutil.Process(pid))


@pytest.mark.case(9)
@pytest.mark.long
def test_a_frozen_attempt_that_a_rerun_has_rewound_changes_nothing(
    book: Path, figures: Figures
) -> None:
    """The second worker's attempt has the number of the first's: only the lease tells them apart."""
    if connection.vendor == "sqlite":
        pytest.skip("there a lock tells who lives: a frozen process keeps it, and is not lost")
    task = tasks.at_most_once.delay(4)
    with worker("-n", "frozen", "-c", "1") as frozen:
        wait_until(lambda: ledger.read(book))
        zombies.freeze(frozen)
        with worker("-n", "second", "-c", "1"):
            wait_until(task.ready, timeout=3 * RECOVERY_BOUND)
            assert story(task) == ["PENDING", "STARTED", "FAILURE"]
            assert task.rerun(actor="user:boss") is Answer.QUEUED
            wait_until(lambda: load.began(book) == 2)
            with zombies.held_still([ledger.read(book)[1].pid]):
                assert task.state == "STARTED"
                before = zombies.rows()
                zombies.wake(frozen, lambda: load.ended(book) == 1)
                wait_until(lambda: "was lost" in frozen.output, timeout=10)
                wait_until(lambda: Worker.objects.alive().filter(name="frozen").exists())
                figures[zombies.ACCEPTED] = zombies.accepted_since(before)
                tried = f"[{task.id}] succeeded"
                assert tried in zombies.last_words(frozen), "else there was nothing to refuse"
            task.get(timeout=20)
            assert task.worker == "second"
    assert figures[zombies.ACCEPTED] == 0
    began = [entry for entry in ledger.read(book) if entry.event == "began"]
    assert [entry.attempt for entry in began] == [1, 1]
    assert began[0].lease < began[1].lease
    invariants.check([task.id], book)
