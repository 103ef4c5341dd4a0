"""``async def`` tasks: many at once in one process, and one by one in every other pool."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from django_tasktrack import AsyncResult, enqueue_many
from django_tasktrack.exceptions import TimeLimitExceeded
from tests import invariants, ledger
from tests.app import tasks
from tests.live.test_main_job import story
from tests.workers import wait_until, worker


@pytest.mark.parametrize("pool", ["asyncio", "prefork", "threads", "solo"])
def test_async_tasks_run_in_every_pool(pool: str) -> None:
    results = enqueue_many(tasks.sleeps, [((0.01,), {}) for _ in range(5)])
    counting = tasks.reads_the_database.delay()
    plain = tasks.add.delay(1, 2)
    with worker("-P", pool):
        assert [result.get(timeout=20) for result in results] == [0.01] * 5
        assert counting.get(timeout=20) == 7
        assert plain.get(timeout=20) == 3
    invariants.check()


def test_a_thousand_wait_at_once_in_one_process() -> None:
    results = enqueue_many(tasks.sleeps, [((2,), {}) for _ in range(1000)])
    with worker("-P", "asyncio", "-c", "1000") as running:
        began = time.monotonic()
        for result in results:
            result.get(timeout=30)
        assert time.monotonic() - began < 20, "one after the other takes 2,000 s"
        assert len(running.tree()) == 2, "the worker and its heartbeat"
    invariants.check([result.id for result in results])


def test_an_async_task_reports_and_is_revoked_where_it_waits() -> None:
    waiting = tasks.sleeps.delay(60, report=True)
    with worker("-P", "asyncio"):
        wait_until(lambda: waiting.state == "WAITING")
        wait_until(lambda: waiting.info == {"seconds": 60})
        waiting.revoke(wait=True, timeout=10)
    assert story(waiting) == ["PENDING", "STARTED", "WAITING", "REVOKED"]


def test_an_async_task_ends_at_its_time_limit(book: Path) -> None:
    slow = tasks.sleeps.apply_async((60,), time_limit=0.5)
    stubborn = tasks.refuses_to_be_cancelled.apply_async(time_limit=0.5)
    with worker("-P", "asyncio", tasktrack={"GRACE": 1, "TERMINATE_GRACE": 1}):
        for task in (slow, stubborn):
            with pytest.raises(TimeLimitExceeded):
                task.get(timeout=10)
        assert ledger.read(book)[0].event == "refused"
        assert tasks.sleeps.delay(0.1).get(timeout=10) == 0.1


def test_who_holds_the_shared_thread_holds_up_nobody_else(book: Path) -> None:
    holding = tasks.holds_the_shared_thread.apply_async((60,), time_limit=4)
    with worker("-P", "asyncio", tasktrack={"GRACE": 1}) as running:
        wait_until(lambda: ledger.read(book))
        time.sleep(1.2)  # from now on idle connections would be looked at
        behind = tasks.holds_the_shared_thread.apply_async((60,), time_limit=1)
        neighbours = [tasks.sleeps.delay(0.1), tasks.add.delay(1, 2), tasks.sleeps.delay(0.2)]
        assert [task.get(timeout=2) for task in neighbours] == [0.1, 3, 0.2]
        for limited in (behind, holding):
            with pytest.raises(TimeLimitExceeded):
                limited.get(timeout=5)
        neighbours = [tasks.sleeps.delay(0.1), tasks.add.delay(1, 2)]
        assert [task.get(timeout=2) for task in neighbours] == [0.1, 3]
        running.terminate()
        assert running.wait(5) == 0
    assert story(holding) == story(behind) == ["PENDING", "STARTED", "FAILURE"]


def test_plain_bodies_that_count_as_running_do_run(book: Path) -> None:
    """Each has a thread, though the event loop's own are fewer."""
    results = [tasks.noted.delay(number, seconds=2) for number in range(45)]
    with worker("-P", "asyncio", "-c", "45"):
        for result in results:
            result.get(timeout=20)
    events = [entry.event for entry in ledger.read(book)]
    assert events == ["began"] * 45 + ["ended"] * 45
    invariants.check([result.id for result in results], book)


@pytest.mark.parametrize(
    "enqueue",
    [
        pytest.param(lambda: tasks.noted.apply_async((1, 60), time_limit=0.5), id="thread"),
        pytest.param(
            lambda: tasks.refuses_to_be_cancelled.apply_async(time_limit=0.5), id="coroutine"
        ),
        pytest.param(
            lambda: tasks.holds_the_shared_thread.apply_async((60,), time_limit=0.5), id="shared"
        ),
        pytest.param(
            lambda: tasks.sleeps_in_a_thread.apply_async((60,), time_limit=0.5), id="its own"
        ),
    ],
)
def test_a_body_that_ran_on_keeps_neither_its_place_nor_the_worker(
    enqueue: Callable[[], AsyncResult], book: Path
) -> None:
    endless = enqueue()
    with worker("-P", "asyncio", "-c", "1", tasktrack={"TERMINATE_GRACE": 0.5}) as running:
        with pytest.raises(TimeLimitExceeded):
            endless.get(timeout=10)
        assert tasks.add.delay(1, 2).get(timeout=5) == 3
        running.terminate()
        assert running.wait(5) == 0
        assert "has stopped" in running.output
