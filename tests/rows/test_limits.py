"""Rows B10, B11, B18, and B12's ``time_limit``: limits, as an operator types them. Each test is named by its row."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from django_tasktrack import limits
from django_tasktrack.exceptions import TimeLimitExceeded
from django_tasktrack.models import StateChange, TrackedTask
from django_tasktrack.result import AsyncResult
from django_tasktrack.states import Stage
from tests import ledger
from tests.app import limited, tasks
from tests.app.tasks import add
from tests.management.tasktrack.run import tasktrack
from tests.workers import wait_until, worker

LIMITED = {"TASKS_MODULE": "limited"}


def starts(results: list[AsyncResult]) -> list[float]:
    """When those that have begun did, in order."""
    rows = StateChange.objects.filter(task_id__in=[r.id for r in results], state="STARTED")
    return sorted(at.timestamp() for at in rows.values_list("at", flat=True))


def gaps(results: list[AsyncResult]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(starts(results))]


def ended(results: list[AsyncResult]) -> Callable[[], bool]:
    return lambda: all(result.ready() for result in results)


def test_b10_rate_limits_are_global_and_leave_others_alone(book: Path) -> None:
    annotated = {"task_annotations": {add.name: {"rate_limit": "2/s"}}}
    with (
        worker("-P", "threads", "-c", "4", tasktrack=annotated),
        worker("-P", "threads", "-c", "4", tasktrack=annotated),
    ):
        slow = [add.delay(1, 1) for _ in range(6)]
        free = [tasks.echo.delay(n) for n in range(50)]
        wait_until(ended(free), 5.0, what="tasks without a limit")
        assert len(starts(slow)) < 6, "others do not wait behind them"
        wait_until(ended(slow), 15.0)
    assert all(gap >= 0.4 for gap in gaps(slow)), gaps(slow)
    assert sum(gaps(slow)) < 5 * 0.5 + 2.0, "and no slower than it says"


def test_b11_rate_limit_at_run_time(book: Path) -> None:
    with worker("-P", "threads", "-c", "4"):
        assert add.delay(1, 1).get(timeout=10) == 2
        assert tasktrack("rate-limit", "tasks.add", "1/h").code == 0
        time.sleep(1.0)  # what it takes at most until every worker knows
        results = [add.delay(1, 1) for _ in range(3)]
        wait_until(lambda: TrackedTask.objects.filter(stage=Stage.GATED).count() >= 2)
        assert len(starts(results)) <= 1
    with worker("-P", "threads", "-c", "4"):
        time.sleep(1.0)
        assert len(starts(results)) <= 1, "it outlives the worker"
        assert tasktrack("rate-limit", "tasks.add", "0").code == 0
        wait_until(ended(results), 5.0)
        assert tasktrack("rate-limit", "tasks.add", "--declared").code == 0


def test_b12_time_limit_at_run_time(book: Path) -> None:
    limits.set_time_limit(tasks.noted.name, soft=None, hard=0.5)
    with worker("-c", "1"):
        result = tasks.noted.delay(0, 30)
        wait_until(result.ready, 15.0)
        assert TimeLimitExceeded.__name__ in TrackedTask.objects.get(pk=result.id).error_type


def most_at_once(book: Path, customer: int) -> int:
    running = most = 0
    for entry in ledger.read(book):
        if entry.note == customer:
            running += 1 if entry.event == "began" else -1
            most = max(most, running)
    return most


def test_b18_concurrency_of_a_key(book: Path) -> None:
    with (
        worker("-P", "threads", "-c", "6", tasktrack=LIMITED),
        worker("-P", "threads", "-c", "6", tasktrack=LIMITED),
    ):
        hot = [limited.sync.delay(1, 0.05) for _ in range(12)]
        other = [limited.sync.delay(2, 0.05) for _ in range(4)]
        free = [add.delay(n, 1) for n in range(20)]
        wait_until(ended([*hot, *other, *free]), 20.0)
    assert most_at_once(book, 1) == 2
    assert most_at_once(book, 2) <= 2


def test_b18_pause_and_resume(book: Path) -> None:
    with worker("-P", "threads", "-c", "2"):
        running = tasks.noted.apply_async((0, 1.0), queue="mail")
        wait_until(lambda: running.state == "STARTED")
        assert tasktrack("pause", "mail").code == 0
        waiting = [add.apply_async((1, 1), queue="mail") for _ in range(3)]
        assert add.delay(2, 2).get(timeout=10) == 4, "other queues go on"
        wait_until(running.ready, 10.0, what="what runs, which goes on")
        assert {result.state for result in waiting} == {"PENDING"}
        assert tasktrack("resume", "mail").code == 0
        wait_until(ended(waiting), 5.0)


def test_b18_claims_ahead_of_a_paused_queue_go_back(book: Path) -> None:
    with worker("-P", "threads", "-c", "1"):
        results = [tasks.noted.apply_async((0, 0.03), queue="mail") for _ in range(200)]
        wait_until(lambda: any(result.ready() for result in results))
        limits.pause_queue("mail")
        wait_until(lambda: not TrackedTask.objects.filter(stage=Stage.CLAIMED).exists())
        done = sum(result.ready() for result in results)
        assert 0 < done < 200
        left = TrackedTask.objects.filter(stage=Stage.DUE)
        assert set(left.values_list("attempt", flat=True)) == {0}, "uncounted"
        limits.resume_queue("mail")
        wait_until(lambda: sum(result.ready() for result in results) > done)
        limits.pause_queue("mail")
