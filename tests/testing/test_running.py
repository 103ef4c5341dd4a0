"""Running what is due in the test's own process: the real path, inside of its transaction or without one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import IntegrityError, connection, transaction
from django.test import TestCase, TransactionTestCase

from django_tasktrack import (
    AsyncResult,
    enqueue_many,
    goals,
    liveness,
    pursuit,
    registry,
    states,
    task,
    transitions,
)
from django_tasktrack.declaration import Task
from django_tasktrack.exceptions import NotRegistered, TasktrackError
from django_tasktrack.models import TrackedTask, Worker
from django_tasktrack.testing import arun_all, arun_due, run_all, run_due, travel
from django_tasktrack.testing import inline as inline_worker
from django_tasktrack.vendors import Vendor
from tests import invariants
from tests.app.models import Entry
from tests.app.tasks import (
    achieves,
    add,
    asks_again,
    counts,
    echo,
    fails,
    keyed,
    reads_the_database,
)
from tests.factories import make_worker
from tests.inline import claimed, enqueue, history, row, story


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_definitions", dict(registry._definitions))


def declared(body: Callable[..., Any], **options: Any) -> Task[..., Any]:
    made: Task[..., Any] = task(**{"name": "declared", "max_retries": 0, **options})(body)
    return made


@pytest.fixture(
    params=[
        pytest.param(True, marks=pytest.mark.django_db, id="in a transaction"),
        pytest.param(False, marks=pytest.mark.django_db(transaction=True), id="in none"),
    ]
)
def _either_way(request: pytest.FixtureRequest) -> Iterator[None]:
    """With the open transaction of a ``TestCase``, and without one."""
    assert connection.in_atomic_block is request.param
    yield
    invariants.check(quiet=False)


both = pytest.mark.usefixtures("_either_way")


# What a worker does


@both
def test_task_that_is_due_is_run() -> None:
    result = add.delay(2, 3)
    assert run_due() == [result]
    assert (result.state, result.get(timeout=0)) == ("SUCCESS", 5)
    assert story(result.id) == ["PENDING", "STARTED", "SUCCESS"]
    assert str(result.worker).startswith("test@")
    assert row(result.id).lease == 1


@both
def test_nothing_due_is_nothing_run() -> None:
    assert run_due() == []


@both
def test_order_is_by_priority_and_then_by_age() -> None:
    low, first, second = (
        echo.apply_async([name], priority=p) for name, p in (("low", -5), ("a", 0), ("b", 0))
    )
    assert run_due() == [first, second, low]


@both
def test_what_a_task_enqueues_is_run_too_and_in_its_turn() -> None:
    inner: list[AsyncResult] = []
    outer = declared(lambda: inner.append(echo.apply_async(priority=50)))
    first, last = outer.delay(), echo.apply_async(priority=-50)
    assert run_due() == [first, *inner, last]


@both
def test_later_tasks_stay() -> None:
    later = echo.apply_async(countdown=60)
    assert run_due() == []
    assert later.state == "PENDING"


@both
def test_expired_task_is_revoked() -> None:
    result = echo.apply_async(expires=60)
    with travel(by=61):
        assert run_due() == []
    assert (result.state, history(result.id)[-1].reason) == ("REVOKED", "expired")


@both
def test_unknown_task_stays() -> None:
    new = enqueue(name="of.another.deploy")
    assert run_due() == []
    assert row(new.task_id).state == "PENDING"


@both
def test_retry_waits_for_its_time() -> None:
    def body(self: Any) -> int:
        return int(self.request.retries) if self.request.retries == 2 else self.retry(countdown=60)

    result = declared(body, bind=True, max_retries=2).delay()
    assert [run_due(), run_due()] == [[result], []]
    assert (result.state, result.retries) == ("RETRY", 0)
    with travel(by=61):
        run_due()
        assert result.state == "RETRY"
        with travel(by=61):
            run_due()
    assert (result.get(timeout=0), result.retries) == (2, 2)


@both
def test_retry_without_a_delay_is_run_at_once() -> None:
    def body(self: Any) -> int:
        return int(self.request.retries or self.retry(countdown=0))

    result = declared(body, bind=True, max_retries=1).delay()
    assert run_due() == [result]
    assert (result.get(timeout=0), result.retries) == (1, 1)


@both
def test_at_most_once_is_run_once() -> None:
    result = declared(lambda: 1, on_lost="fail").delay()
    run_due()
    assert story(result.id) == ["PENDING", "STARTED", "SUCCESS"]


@both
def test_progress_and_labels_are_there_afterwards() -> None:
    def body(self: Any) -> None:
        self.progress.set(1, 4, "one")
        self.update_state(state="CHECKING", meta={"note": "x"})
        self.update_state(state="SENDING")
        self.progress.set(4)

    result = declared(body, bind=True).delay()
    run_due()
    progress = result.progress
    assert (progress.percent, progress.message, progress.meta) == (100, "one", {"note": "x"})
    labels = [change.label for change in history(result.id)]
    assert labels == ["", "", "CHECKING", "SENDING", ""]


@both
def test_progress_survives_what_the_body_takes_back() -> None:
    def body(self: Any) -> None:
        with transaction.atomic():
            self.progress.set(1, 2)
            raise ValueError("back")

    result = declared(body, bind=True).delay()
    run_due(propagate=False)
    assert result.progress.percent == 50


@both
def test_body_that_revokes_itself_ends_at_its_next_checkpoint() -> None:
    def body(self: Any) -> None:
        AsyncResult(self.request.id).revoke(reason="enough", actor="ann")
        self.checkpoint()

    result = declared(body, bind=True).delay()
    run_due()
    last = history(result.id)[-1]
    assert (last.state, last.reason, last.actor) == ("REVOKED", "enough", "ann")


@both
def test_wish_that_it_ends_goes_before_its_retry() -> None:
    def body(self: Any) -> None:
        AsyncResult(self.request.id).revoke(reason="enough")
        self.retry(countdown=0)

    result = declared(body, bind=True, max_retries=None).delay()
    assert run_due() == [result]
    assert (result.state, history(result.id)[-1].reason) == ("REVOKED", "enough")


@both
def test_wish_that_comes_too_late_changes_nothing() -> None:
    result = declared(lambda self: str(AsyncResult(self.request.id).revoke()), bind=True).delay()
    run_due()
    assert result.get(timeout=0) == "requested"


@both
def test_goal_is_pursued_and_achieved() -> None:
    goal = goals.pursue("k", key=1, task=echo, achieve_on_success=True)
    run_due()
    assert goal.refresh().state == "ACHIEVED"
    goal = goals.pursue("k", key=2, task=achieves, args=["k", "2"])
    run_due()
    assert goal.refresh().state == "ACHIEVED"


@both
def test_task_of_a_worker_that_is_gone_is_run_again() -> None:
    claim = claimed(make_worker().pk, name=echo.name)
    with travel(by=timedelta(hours=1)):
        assert run_due(propagate=False) == [AsyncResult(claim.task_id)]
    assert [c.reason for c in history(claim.task_id)][2].startswith("lost: worker")


@both
def test_unique_key_is_free_afterwards() -> None:
    first = keyed.delay(7)
    assert keyed.delay(7) == first
    run_due()
    assert keyed.delay(7) != first


@both
def test_end_is_logged_as_a_worker_does(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "django_tasktrack.task")
    fails.delay("boom")
    run_due(propagate=False)
    assert "failed in" in caplog.text
    assert "raise ValueError(message)" in caplog.text


@both
def test_its_worker_is_one_that_has_stopped() -> None:
    add.delay(1, 2)
    run_due()
    worker = Worker.objects.get()
    assert (worker.pool, worker.concurrency, worker.can_terminate) == ("inline", 1, False)
    assert worker.stopped_at is not None
    assert worker.lost_at is None


@both
def test_async_body_sees_what_the_test_has_written() -> None:
    add.delay(1, 2)
    result = reads_the_database.delay()
    run_due()
    assert result.get(timeout=0) == 2


@both
def test_async_body_can_report() -> None:
    async def body(self: Any) -> int:
        self.update_state(state="THERE", meta={"progress": 30})
        return await Entry.objects.acount()

    result = declared(body, bind=True).delay()
    run_due()
    assert (result.get(timeout=0), result.progress.percent) == (0, 30)


@both
def test_another_connection_s_row_is_waited_for_and_then_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = add.delay(1, 2)
    settle, tries = transitions.settle, []

    def busy(vendor: Vendor, changes: Any) -> Any:
        tries.append(1)
        written = settle(vendor, [])
        return type(written)(busy=frozenset(change.task_id for change in changes))

    monkeypatch.setattr(inline_worker, "PATIENCE", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(transitions, "settle", busy)
        with pytest.raises(TasktrackError, match=f"has held task {result.id}.*Let its transaction"):
            run_due()
    assert len(tries) > 1
    run_due()
    assert result.successful()


# Failures


@both
def test_failure_is_raised_once_it_is_written() -> None:
    failed, waiting = fails.delay("boom"), add.delay(1, 2)
    with pytest.raises(ValueError, match="boom") as caught:
        run_due()
    assert type(caught.value) is ValueError
    assert caught.traceback[-1].name == "fails"
    assert (failed.state, waiting.state) == ("FAILURE", "PENDING")
    assert run_due() == [waiting]


@both
def test_failure_may_be_kept() -> None:
    failed, other = fails.delay("boom"), add.delay(1, 2)
    assert run_due(propagate=False) == [failed, other]
    assert (failed.state, other.state) == ("FAILURE", "SUCCESS")


@both
def test_last_retry_s_failure_is_raised() -> None:
    asks_again.delay(9)
    with pytest.raises(OSError, match="not yet"):
        run_all()


@both
@pytest.mark.parametrize("propagate", [True, False])
def test_ctrl_c_is_always_raised(propagate: bool) -> None:
    def body() -> None:
        raise KeyboardInterrupt

    result = declared(body).delay()
    with pytest.raises(KeyboardInterrupt):
        run_due(propagate=propagate)
    assert result.state == "FAILURE"


@both
def test_verdict_of_the_test_framework_is_always_raised() -> None:
    declared(lambda: pytest.fail("in the body")).delay()
    with pytest.raises(pytest.fail.Exception, match="in the body"):
        run_due(propagate=False)


@both
def test_result_that_cannot_be_stored_is_raised() -> None:
    declared(lambda: {1}).delay()
    with pytest.raises(TypeError, match="cannot be carried as JSON"):
        run_due()


# The test's transaction


@pytest.mark.django_db
def test_refused_statement_does_not_break_the_test_s_transaction() -> None:
    def body() -> None:
        Entry.objects.create(pk=1, text="again")

    Entry.objects.create(pk=1, text="the test's")
    result = declared(body).delay()
    with pytest.raises(IntegrityError):
        run_due()
    assert result.state == "FAILURE"
    assert Entry.objects.get().text == "the test's"


@pytest.mark.django_db
def test_refused_raw_statement_does_not_either() -> None:
    def body() -> str:
        with pytest.raises(Exception, match="nowhere"), connection.cursor() as cursor:
            cursor.execute("SELECT * FROM nowhere")
        return "went on"

    result = declared(body).delay()
    run_due()
    assert result.get(timeout=0) == "went on"


@pytest.mark.django_db
def test_body_s_own_atomic_block_rolls_back_alone() -> None:
    def body() -> None:
        Entry.objects.create(text="kept")
        with transaction.atomic():
            Entry.objects.create(text="rolled back")
            raise ValueError("boom")

    declared(body).delay()
    run_due(propagate=False)
    assert [entry.text for entry in Entry.objects.all()] == ["kept"]


@both
def test_body_may_be_durable() -> None:
    def body() -> str:
        with transaction.atomic(durable=True):
            return Entry.objects.create(text="x").text

    result = declared(body).delay()
    run_due()
    assert result.get(timeout=0) == "x"


@pytest.mark.django_db(transaction=True)
def test_body_may_not_be_durable_inside_of_the_test_s_own_block() -> None:
    def body() -> None:
        with transaction.atomic(durable=True):
            pass

    declared(body).delay()
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        run_due()


@both
def test_what_a_body_leaves_for_its_commit_is_done_after_it() -> None:
    order: list[str | None] = []

    def body() -> None:
        with transaction.atomic():
            transaction.on_commit(lambda: order.append("committed"))
            transaction.on_commit(lambda: order.append(echo.delay("from on_commit").name))
            order.append("body")

    declared(body).delay()
    assert [result.name for result in run_due()] == ["declared", echo.name]
    assert order == ["body", "committed", echo.name]


@both
def test_what_fails_at_the_commit_fails_the_task() -> None:
    def callback() -> None:
        raise ValueError("at the commit")

    result = declared(lambda: transaction.on_commit(callback)).delay()
    with pytest.raises(ValueError, match="at the commit"):
        run_due()
    assert result.state == "FAILURE"


class InATestCase(TestCase):
    def test_worker_runs_inside_of_its_transaction(self) -> None:
        Entry.objects.create(text="uncommitted")
        result = declared(lambda: Entry.objects.get().text, name="reads").delay()
        run_due()
        assert result.get(timeout=0) == "uncommitted"

    def test_callbacks_are_done_once(self) -> None:
        done: list[str] = []
        body = declared(lambda: transaction.on_commit(lambda: done.append("body's")), name="one")
        with self.captureOnCommitCallbacks(execute=True):
            transaction.on_commit(lambda: done.append("test's"))
            body.delay()
            run_due()
            assert done == ["body's"]
        assert done == ["body's", "test's"]

    def test_call_that_waits_for_a_commit(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            transaction.on_commit(lambda: add.delay(1, 2))
        assert [result.get() for result in run_due()] == [3]

    async def test_async(self) -> None:
        result = await sync_to_async(add.delay)(2, 3)
        later = await sync_to_async(add.apply_async)((3, 3), countdown=60)
        assert await arun_due() == [result]
        assert await arun_all() == [later]
        assert await later.aget(timeout=0) == 6


class InATransactionTestCase(TransactionTestCase):
    def test_body_has_no_transaction_around_it(self) -> None:
        result = declared(lambda: connection.in_atomic_block, name="looks").delay()
        run_due()
        assert result.get(timeout=0) is False

    async def test_async(self) -> None:
        result = await sync_to_async(add.delay)(2, 3)
        assert await arun_due() == [result]


@pytest.mark.usefixtures("tasks_apart")
@pytest.mark.django_db(transaction=True, databases=["default", "tasks"])
def test_tasks_in_a_database_of_their_own() -> None:
    result = add.delay(1, 2)
    run_due()
    assert result.get(timeout=0) == 3


@pytest.mark.django_db(databases=["default", "tasks"])
def test_tasks_in_a_database_of_their_own_inside_of_both_transactions() -> None:
    from tests import routed

    with routed.in_use():
        result = declared(lambda: Entry.objects.create(text="x").text).delay()
        run_due()
        assert result.get(timeout=0) == "x"


# What is chosen


@both
def test_queues_are_chosen() -> None:
    mail, slow, _ = (echo.apply_async(queue=queue) for queue in ("mail", "slow", "default"))
    assert run_due(queues="mail") == [mail]
    assert run_due(queues=["slow", "mail"]) == [slow]
    assert len(run_due()) == 1


@both
def test_tasks_are_chosen() -> None:
    added, echoed, failed = add.delay(1, 2), echo.delay(), fails.delay()
    assert run_due(tasks=[add]) == [added]
    assert run_due(tasks=[echo.name]) == [echoed]
    assert failed.state == "PENDING"
    assert row(failed.id).stage == states.Stage.DUE


@both
def test_task_that_does_not_exist_cannot_be_chosen() -> None:
    with pytest.raises(NotRegistered, match="nope"):
        run_due(tasks=["nope"])


@both
def test_limit_leaves_the_rest_due() -> None:
    results = enqueue_many(echo, [([n], {}) for n in range(5)])
    assert run_due(limit=2) == results[:2]
    assert run_due(limit=0) == []
    assert run_due(limit=9) == results[2:]


@both
def test_tasks_without_an_end_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_tasktrack.testing.running.ENDLESS", 20)
    again: Task[..., Any] = declared(lambda: str(again.delay()))
    again.delay()
    with pytest.raises(TasktrackError, match=r"no end to it: declared 21, .*Pass limit="):
        run_due()
    assert len(run_due(limit=3)) == 3


# run_all


@both
def test_everything_is_run_that_is_scheduled_by_its_time() -> None:
    later = echo.apply_async(countdown=3600)
    sooner = echo.apply_async(countdown=60)
    now = echo.delay()
    assert run_all() == [now, sooner, later]
    assert Vendor.ahead == timedelta(0)


@both
def test_retries_are_run_to_their_end() -> None:
    result = declared(
        lambda: 1 / 0, max_retries=3, autoretry_for=(ZeroDivisionError,), default_retry_delay=600
    ).delay()
    assert run_all(propagate=False) == [result]
    assert (result.state, result.retries) == ("FAILURE", 3)
    assert story(result.id).count("RETRY") == 3


@both
def test_goal_s_next_tasks_are_run_until_its_budget_is_spent() -> None:
    goal = goals.pursue("k", key=1, task=fails, max_attempts=3)
    assert len(run_all(propagate=False)) == 3
    assert goal.refresh().state == "FAILED"


@both
def test_goal_s_deadline_passes_on_the_way() -> None:
    goal = goals.pursue("k", key=1, task=fails, max_attempts=None, deadline=timedelta(minutes=5))
    run_all(propagate=False)
    assert goal.refresh().state == "MISSED"


@both
def test_scheduled_tasks_of_other_queues_stay() -> None:
    echo.apply_async(countdown=60, queue="other")
    mine = echo.apply_async(countdown=60)
    assert run_all(queues="default") == [mine]
    assert TrackedTask.objects.get(queue="other").state == "PENDING"


@both
def test_limit_ends_the_waits_too() -> None:
    results = [echo.apply_async(countdown=60 * n) for n in range(4)]
    assert run_all(limit=2) == results[:2]


@both
def test_waits_without_an_end_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_tasktrack.testing.running.ENDLESS", 5)
    again: Task[..., Any] = declared(lambda: str(again.apply_async(countdown=60)))
    again.delay()
    with pytest.raises(TasktrackError, match="no end to it"):
        run_all()
    assert Vendor.ahead == timedelta(0)


@both
def test_goal_that_cannot_be_pursued_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise TasktrackError("no such queue")

    goal = goals.pursue("k", key=1, task=fails)
    run_due(propagate=False)
    monkeypatch.setattr(pursuit, "begin", refuse)
    monkeypatch.setattr("django_tasktrack.testing.running.ENDLESS", 5)
    with pytest.raises(TasktrackError, match="no end to it: nothing could be run"):
        run_all()
    assert goal.refresh().row.reason == "cannot be pursued: no such queue"


@both
def test_its_worker_is_not_found_lost_on_a_long_journey(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "verdicts", lambda *_: ([], []))  # as where no lock tells it
    for hours in range(3):
        echo.apply_async(countdown=3600 * hours)
    assert len(run_all()) == 3
    assert Worker.objects.get().lost_at is None


@both
def test_clock_is_set_back_although_a_task_fails() -> None:
    fails.apply_async(countdown=60)
    with pytest.raises(ValueError, match="no"):
        run_all()
    assert Vendor.ahead == timedelta(0)


@both
def test_body_counts_to_its_end() -> None:
    result = counts.delay(3, pause=0)
    run_due()
    assert (result.get(timeout=0), result.progress.percent) == (3, 100)
