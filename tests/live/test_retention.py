"""Workers empty values and delete tasks by themselves, whatever else they have to do."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from django_tasktrack import AsyncResult, chain, enqueue_many
from django_tasktrack.exceptions import ResultExpired
from django_tasktrack.models import Link, StateChange, Sweep, TrackedTask
from tests import invariants
from tests.app import tasks
from tests.exam import load
from tests.inline import the_vendor
from tests.workers import WorkerProcess, wait_until, worker

pytestmark = pytest.mark.django_db(transaction=True)


def age(results: list[AsyncResult], days: float) -> list[str]:
    ids = [result.id for result in results]
    at = the_vendor().now() - timedelta(days=days)
    TrackedTask.objects.filter(pk__in=ids).update(finished_at=at)
    return ids


def told(*workers: WorkerProcess) -> list[list[int]]:
    """The numbers that the workers' logs tell: of values, and of tasks."""
    text = "".join(one.output for one in workers)
    found = re.findall(r"Retention: (\d+) values emptied, (\d+) tasks deleted\.", text)
    return [[int(number) for number in one] for one in found]


def test_two_workers_purge_while_they_work(book: Path) -> None:
    with worker("-P", "threads", "-c", "2"):
        old = enqueue_many(tasks.echo, [((n,), {}) for n in range(300)])
        valued = enqueue_many(tasks.echo, [((n,), {}) for n in range(300)])
        wait_until(load.is_done)
    age(old, 20)
    age(valued, 10)
    young = enqueue_many(tasks.noted, [((n,), {}) for n in range(100)])
    with (
        worker("-n", "a", "-P", "threads", "-c", "2") as one,
        worker("-n", "b", "-P", "threads", "-c", "2") as two,
    ):
        wait_until(lambda: TrackedTask.objects.count() == 400)
        wait_until(load.is_done)
        wait_until(
            lambda: TrackedTask.objects.filter(result_expired_at__isnull=False).count() == 300
        )
        wait_until(lambda: [sum(one) for one in zip(*told(one, two), strict=True)] == [300, 300])
    assert len(told(one, two)) <= 2, "one line a run"
    assert not StateChange.objects.filter(task_id__in=[result.id for result in old]).exists()
    assert {AsyncResult(result.id).state for result in old} == {"EXPIRED"}
    assert [result.get(timeout=1) for result in young] == list(range(100))
    with pytest.raises(ResultExpired):
        AsyncResult(valued[0].id).get(timeout=1)
    assert 0 < Sweep.objects.count() <= 4
    invariants.check([result.id for result in (*valued, *young)], book)


def test_a_worker_of_a_burst_purges_too() -> None:
    with worker("-P", "solo"):
        result = tasks.echo.delay(1)
        result.get(timeout=10)
    age([result], 20)
    with worker("-P", "solo", "--burst") as one:
        assert one.wait(20) == 0
    assert AsyncResult(result.id).state == "EXPIRED"


def test_a_value_that_a_step_still_waits_for_stays_however_old_it_is() -> None:
    result = chain(tasks.add.s(2, 2), tasks.add.s(4).set(queue="nobody")).delay()
    with worker("-P", "threads", "-c", "1", "-Q", "default"):
        result.parent.get(timeout=10)
        other = tasks.echo.delay(1)
        other.get(timeout=10)
    assert result.revoke() == "revoked"
    Link.objects.update(state=Link.State.PASSED)  # as where it was revoked before it was released
    age([result.parent, other], 1000)
    with worker("-P", "threads", "-c", "1", "-Q", "default"):
        wait_until(lambda: not TrackedTask.objects.filter(pk=other.id).exists())
    assert AsyncResult(result.parent.id).get(timeout=1) == 4
