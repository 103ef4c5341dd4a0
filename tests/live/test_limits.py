"""Time, memory, and how often a task may be tried."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from django_tasktrack import AsyncResult, enqueue_many
from django_tasktrack.exceptions import (
    SoftTimeLimitExceeded,
    TimeLimitExceeded,
    WorkerLost,
)
from tests import invariants, ledger
from tests.app import tasks
from tests.exam.report import Figures
from tests.live.test_main_job import story
from tests.workers import lives, wait_until, worker


def test_a_task_is_told_that_its_time_is_over(book: Path) -> None:
    tidy, stubborn = tasks.cleans_up.delay(), tasks.cleans_up.delay(on_time=False)
    raised = tasks.noted.apply_async((1, 30), soft_time_limit=0.5)
    with worker("-c", "3", "--time-limit", "1.5"):
        assert tidy.get(timeout=10) == "cleaned up"
        with pytest.raises(SoftTimeLimitExceeded):
            raised.get(timeout=10)
        with pytest.raises(TimeLimitExceeded, match=r"1\.5 s"):
            stubborn.get(timeout=10)


#: Of ``never_ends``, in seconds.
LIMIT = 1.0


@pytest.mark.case(40)
def test_a_task_that_swallows_everything_is_killed_at_its_limit(
    book: Path, figures: Figures
) -> None:
    endless, neighbour = tasks.never_ends.delay(), tasks.noted.delay(1, seconds=2.5)
    with worker("-c", "2") as running:
        began, *_ = wait_until(lambda: _entries(book, endless), interval=0.01)
        told, body = time.monotonic(), psutil.Process(began.pid)
        wait_until(lambda: not lives(body), timeout=10, interval=0.01)
        dead_after = time.monotonic() - told
        with pytest.raises(TimeLimitExceeded):
            endless.get(timeout=10)
        assert neighbour.get(timeout=10) == 1
        assert tasks.add.delay(1, 1).get(timeout=10) == 2
        assert "was lost" not in running.output
    figures["dead after, s, of 1"] = round(dead_after, 2)
    assert dead_after <= LIMIT + 1
    started, ended = (row.at for row in endless.history()[1:])
    assert (ended - started).total_seconds() <= LIMIT + 1
    assert story(endless) == ["PENDING", "STARTED", "FAILURE"]


def _entries(book: Path, task: AsyncResult) -> list[ledger.Entry]:
    return [entry for entry in ledger.read(book) if entry.task_id == task.id]


@pytest.mark.case(37)
def test_on_lost_fail_runs_at_most_once(book: Path) -> None:
    task = tasks.at_most_once.delay(3)
    with worker("-n", "first") as first:
        wait_until(lambda: ledger.read(book))
        assert story(task) == ["PENDING", "STARTED"], "its beginning is committed before it runs"
        first.kill_tree()
    with worker("-n", "second"), pytest.raises(WorkerLost):
        task.get(timeout=15)
    assert [entry.event for entry in ledger.read(book)] == ["began"]
    assert task.history()[-1].reason.endswith("it must not run twice")
    invariants.check([task.id], book)


def test_a_child_is_replaced_after_so_many_tasks() -> None:
    results = enqueue_many(tasks.says_its_process, [((), {})] * 20)
    with worker("-c", "1", "--max-tasks-per-child", "5"):
        pids = [result.get(timeout=20) for result in results]
    assert len(set(pids)) == 4
    assert all(pids.count(pid) == 5 for pid in pids)


@pytest.mark.case(39)
def test_a_child_that_took_much_memory_is_replaced() -> None:
    with worker("-c", "1", "--max-memory-per-child", str(200 * 1024)):
        small = tasks.takes_memory.delay(1).get(timeout=20)
        assert tasks.takes_memory.delay(1).get(timeout=20) == small
        large = tasks.takes_memory.delay(300).get(timeout=20)
        assert large == small
        assert tasks.takes_memory.delay(1).get(timeout=20) != large


def test_children_come_with_the_work() -> None:
    with worker("--autoscale", "3,0") as running:
        idle = len(running.tree())
        results = enqueue_many(tasks.noted_process, [((1,), {}) for _ in range(3)])
        assert len({result.get(timeout=20) for result in results}) == 3
        assert len(running.tree()) == idle + 3


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_a_pool_that_cannot_limit_says_so(pool: str) -> None:
    with worker("-P", pool, "--time-limit", "1", "--max-tasks-per-child", "2") as running:
        assert f"The {pool} pool cannot do max_tasks_per_child" in running.output
        assert f"The {pool} pool cannot do time_limit" in running.output


@pytest.mark.parametrize("arguments", [["-c", "0"], ["--time-limit", "-1"], ["--autoscale", "1,5"]])
def test_impossible_limits_are_refused(arguments: list[str]) -> None:
    with worker(*arguments, wait=False) as refused:
        assert refused.wait(20) == 2
