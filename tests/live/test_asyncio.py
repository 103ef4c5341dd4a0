"""``async def`` tasks: many at once in one process, and one by one in every other pool."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from django_tasktrack import enqueue_many
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
