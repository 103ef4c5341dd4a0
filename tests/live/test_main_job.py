"""Enqueue, run, watch, retry: with each pool."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection

from django_tasktrack import AsyncResult, enqueue_many
from django_tasktrack.exceptions import TaskFailure
from tests import invariants, ledger
from tests.app import tasks
from tests.workers import wait_until, worker

POOLS = ["prefork", "threads", "solo"]


def story(result: AsyncResult) -> list[str]:
    """Its history as words."""
    return [row.label or row.state for row in result.history()]


@pytest.mark.parametrize("pool", POOLS)
def test_results_come_back(pool: str) -> None:
    done = tasks.add.delay(2, 3)
    with worker("-P", pool, "-c", "2"):
        assert done.get(timeout=20) == 5
        assert story(done) == ["PENDING", "STARTED", "SUCCESS"]
        assert done.worker
        assert done.retries == 0
        assert done.date_done


@pytest.mark.parametrize("pool", POOLS)
def test_failures_keep_their_traceback(pool: str) -> None:
    failing = tasks.fails.delay("out of paper")
    with worker("-P", pool), pytest.raises(ValueError, match="out of paper") as caught:
        failing.get(timeout=20)
    assert isinstance(caught.value, TaskFailure)
    assert "in fails" in (failing.traceback or "")
    assert story(failing) == ["PENDING", "STARTED", "FAILURE"]


@pytest.mark.parametrize("pool", POOLS)
def test_retries_are_told_one_by_one(pool: str) -> None:
    by_class, by_itself = tasks.flaky.delay(2), tasks.asks_again.delay(2)
    hopeless = tasks.flaky.delay(99)
    with worker("-P", pool, "-c", "2"):
        assert by_class.get(timeout=20) == 2
        assert by_itself.get(timeout=20) == 2
        with pytest.raises(ConnectionError):
            hopeless.get(timeout=20)
    again = ["STARTED", "RETRY"]
    assert story(by_class) == ["PENDING", *again, "STARTED", "SUCCESS"]
    assert story(by_itself) == ["PENDING", *again, *again, "STARTED", "SUCCESS"]
    assert story(hopeless) == ["PENDING", *again, *again, "STARTED", "FAILURE"]
    errors = [row.error_message for row in hopeless.history() if row.error_type]
    assert errors == [f"attempt {n} of 99" for n in (1, 2, 3)]


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("in_transaction", [False, True])
def test_a_label_and_its_meta_are_seen_while_the_task_runs(pool: str, in_transaction: bool) -> None:
    running = tasks.labelled.delay(in_transaction=in_transaction)
    with worker("-P", pool):
        wait_until(lambda: running.status == "PROGRESS" or running.ready())
        if in_transaction and connection.vendor == "sqlite":
            running.get(timeout=20)  # one writer: others see it once that transaction has ended
        else:
            assert running.status == "PROGRESS"
            wait_until(lambda: running.info)
            assert running.info["note"] == "x"
            assert running.progress.percent == 30
        assert running.get(timeout=20) == "done"
    assert story(running) == ["PENDING", "STARTED", "PROGRESS", "SUCCESS"]


def test_progress_moves_and_knows_its_end() -> None:
    counting = tasks.counts.delay(40)
    with worker():
        wait_until(lambda: (counting.progress.percent or 0) > 5)
        seen = [counting.progress.current or 0]
        while not counting.ready():
            seen.append(counting.progress.current or 0)
    assert seen == sorted(seen)
    assert len(set(seen)) > 3
    assert counting.progress.percent == 100
    assert counting.progress.message == "number 40"


def test_a_long_task_shows_started_while_it_runs(book: Path) -> None:
    sleeping = tasks.noted.delay(seconds=2)
    with worker():
        wait_until(lambda: sleeping.state == "STARTED", what="STARTED before the end")
        sleeping.get(timeout=20)
    began, ended = (row.at for row in sleeping.history()[1:])
    assert (ended - began).total_seconds() >= 2
    invariants.check([sleeping.id], book)


def test_a_burst_ends_when_nothing_is_due(book: Path) -> None:
    parents = enqueue_many(tasks.enqueues_another, [((n,), {}) for n in range(20)])
    later = tasks.add.apply_async((1, 1), countdown=3600)
    with worker("--burst", "-c", "2", wait=False) as bursting:
        assert bursting.wait(30) == 0
    children = [str(parent.get(timeout=0)) for parent in parents]
    assert sorted(entry.note for entry in ledger.read(book) if entry.event == "ended") == [
        *range(20)
    ]
    assert later.state == "PENDING"
    invariants.check([*children, later.id, *(p.id for p in parents)])


def test_queues_are_kept_apart() -> None:
    mail = tasks.add.apply_async((1, 1), queue="mail")
    bulk = tasks.add.apply_async((2, 2), queue="bulk")
    with worker("--burst", "-Q", "mail,other", wait=False) as bursting:
        bursting.wait(30)
    assert (mail.state, bulk.state) == ("SUCCESS", "PENDING")


def test_larger_priority_runs_first(book: Path) -> None:
    for priority in (0, -5, 50, 7):
        tasks.noted.apply_async((priority,), priority=priority)
    with worker("--burst", "-P", "solo", wait=False) as bursting:
        bursting.wait(30)
    began = [entry.note for entry in ledger.read(book) if entry.event == "began"]
    assert began == [50, 7, 0, -5]


def test_a_countdown_is_kept_and_not_overslept() -> None:
    with worker():
        scheduled = tasks.add.apply_async((1, 1), countdown=1.5)
        scheduled.get(timeout=20)
    enqueued, started = (row.at for row in scheduled.history()[:2])
    assert 1.5 <= (started - enqueued).total_seconds() < 5, "woken by its time, not by chance"


def test_an_expired_task_never_runs(book: Path) -> None:
    stale = tasks.noted.apply_async(expires=0.01)
    with worker():
        wait_until(stale.ready)
    assert story(stale) == ["PENDING", "REVOKED"]
    assert stale.history()[-1].reason == "expired"
    invariants.check([stale.id], book)


@pytest.mark.case(41)
def test_what_a_task_leaves_open_does_not_reach_the_next() -> None:
    with worker("-c", "1"):
        tasks.leaves_a_transaction_open.delay().get(timeout=20)
        assert tasks.says_autocommit.delay().get(timeout=20) is True


@pytest.mark.case(42)
def test_a_result_that_json_cannot_carry_fails_once(book: Path) -> None:
    odd = tasks.returns_a_set.delay()
    with worker(), pytest.raises(TaskFailure, match="The result: a value of type set"):
        odd.get(timeout=20)
    assert [entry.event for entry in ledger.read(book)] == ["ran"]
    assert odd.history()[-1].reason == "the result cannot be stored"


@pytest.mark.case(49)
def test_a_task_that_nobody_knows_waits_and_is_logged_once() -> None:
    from django_tasktrack import transitions
    from django_tasktrack.changes import NewTask
    from django_tasktrack.ids import new_id

    stranger = new_id()
    unknown = NewTask(stranger, "gone.task", "[]", "{}", "default")
    transitions.enqueue([unknown])
    with worker() as running:
        wait_until(lambda: "gone.task" in running.output)
        assert tasks.add.delay(1, 1).get(timeout=20) == 2
        wait_until(lambda: tasks.add.delay(1, 1).get(timeout=20))
        assert running.output.count("gone.task") == 1
    result = AsyncResult(stranger)
    assert (result.state, result.retries) == ("PENDING", 0)
    assert result.history()[-1].attempt == 0
