"""What is odd in one place holds up nothing in another."""

from __future__ import annotations

import logging
import time
from uuid import UUID

import pytest
from django.db import (
    DataError,
    IntegrityError,
    OperationalError,
)

from django_tasktrack import maintenance, pursuit, transitions
from django_tasktrack.changes import Change, ProgressWrite, Written
from django_tasktrack.engines.claiming import Claiming
from django_tasktrack.engines.outbox import Outbox
from django_tasktrack.engines.plan import Plan
from django_tasktrack.engines.revoking import Revoking
from django_tasktrack.engines.settling import Settling
from django_tasktrack.ids import new_id
from django_tasktrack.models import Goal, TrackedTask, Worker
from django_tasktrack.outcomes import Claim, Report, succeeded
from django_tasktrack.pools.base import Finished, Pool, PoolOptions, Reported
from django_tasktrack.registration import Registration
from django_tasktrack.states import Stage, State
from django_tasktrack.vendors import Vendor, vendor_for
from tests.factories import NAME, make_goal, make_task, make_worker, new_task
from tests.holding import held, needs_row_locks

pytestmark = pytest.mark.django_db(transaction=True)


class QuietPool(Pool):
    """Takes claims and runs none: the place where a test says what has happened."""

    name = "quiet"
    can_terminate = True

    def serve(self) -> None:
        """Nothing runs."""

    def revoke(self, task_id: UUID) -> None:
        """Nobody is told."""


class Registered(Registration):
    """A worker's row without the process behind it."""

    def __init__(self, worker: Worker) -> None:
        self.worker_id = worker.pk


class Engine:
    """The parts of an engine around a quiet pool."""

    def __init__(self, vendor: Vendor, worker: Worker, *, burst: bool = False) -> None:
        self.pool = QuietPool(PoolOptions(worker=worker.name, concurrency=4))
        registration = Registered(worker)
        plan = Plan(queues=[], names=[NAME], burst=burst, poll_min=0.05, poll_max=1.0, lease=5.0)
        self.outbox = Outbox()
        self.claiming = Claiming(vendor, plan, self.pool, registration)
        self.revoking = Revoking(vendor, self.pool, registration, self.outbox, 1.0)
        self.settling = Settling(vendor, self.pool, self.outbox, self.revoking, self.claiming)


@pytest.fixture
def vendor() -> Vendor:
    return vendor_for("default")


def claimed(vendor: Vendor, worker: Worker, **values: object) -> Claim:
    transitions.enqueue([new_task(**values)])
    (claim,) = transitions.claim(vendor, worker.pk, [], [NAME], 1)
    return claim


def test_progress_that_the_database_refuses_holds_up_no_end(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    worker = make_worker()
    engine, claim, other = Engine(vendor, worker), *(claimed(vendor, worker) for _ in range(2))
    write = type(vendor).write_progress

    def refuse_some(self: Vendor, writes: list[ProgressWrite]) -> None:
        if any(one.task_id == claim.task_id for one in writes):
            raise DataError("Incorrect string value")
        write(self, writes)

    monkeypatch.setattr(type(vendor), "write_progress", refuse_some)
    now = time.monotonic()
    for one in (claim, other):
        engine.settling.report(Reported(one, Report(current=1.0, message="日本"), now, now))
        engine.settling.end(Finished(one, succeeded("1"), now, now))
    with caplog.at_level(logging.WARNING):
        engine.settling.run()
    assert set(TrackedTask.objects.values_list("state", flat=True)) == {State.SUCCESS}
    assert TrackedTask.objects.get(pk=other.task_id).progress.current == 1
    assert "Progress of" in caplog.text


def test_a_wish_about_a_task_that_ends_this_moment_does_not_override_its_end(
    vendor: Vendor,
) -> None:
    worker = make_worker()
    engine, claim = Engine(vendor, worker), claimed(vendor, worker)
    transitions.settle(vendor, [transitions.started(claim, time.monotonic())])
    transitions.revoke([claim.task_id])
    engine.pool.submit([claimed(vendor, worker)])  # something is here, but not this task
    engine.revoking.run()
    assert not engine.outbox, "its end may be on the way"
    engine.settling.end(Finished(claim, succeeded("1"), time.monotonic(), time.monotonic()))
    engine.settling.run()
    assert TrackedTask.objects.get(pk=claim.task_id).state == State.SUCCESS


def test_a_wish_about_a_task_that_is_nowhere_is_answered_at_the_second_look(
    vendor: Vendor,
) -> None:
    worker = make_worker()
    engine, claim = Engine(vendor, worker), claimed(vendor, worker)
    engine.pool.submit([claimed(vendor, worker)])
    transitions.revoke([claim.task_id], actor="ann")
    for _ in range(2):
        engine.revoking.look_now()
        engine.revoking.run()
    engine.settling.run()
    assert TrackedTask.objects.get(pk=claim.task_id).state == State.REVOKED


def test_a_step_of_the_upkeep_that_fails_leaves_the_others(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr(transitions, "expire", fail)
    goal = make_goal(state=Goal.State.OPEN, next_attempt_at=vendor.now(), task_options=OPTIONS)
    upkeep = maintenance.Maintenance(vendor, 1.0, 30.0, [], [NAME])
    upkeep.run(time.monotonic())
    goal.refresh_from_db()
    assert goal.state == Goal.State.ACTIVE
    assert "odd" in caplog.text


def test_a_step_whose_data_is_refused_leaves_the_others_and_is_told_once(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: object) -> None:
        raise IntegrityError("not this row")

    monkeypatch.setattr(transitions, "rescue", refuse)
    goal = make_goal(state=Goal.State.OPEN, next_attempt_at=vendor.now(), task_options=OPTIONS)
    upkeep = maintenance.Maintenance(vendor, 0.0, 30.0, [], [NAME])
    for seconds in (0, 10, 61):
        upkeep.run(time.monotonic() + seconds)
    goal.refresh_from_db()
    assert goal.state == Goal.State.ACTIVE
    assert caplog.text.count("A part of the upkeep has failed: rescue.") == 2


def test_a_database_that_fails_ends_the_round(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    def fail(*args: object) -> None:
        steps.append("rescue")
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(transitions, "rescue", fail)
    monkeypatch.setattr(transitions, "expire", lambda *_: steps.append("expire"))
    upkeep = maintenance.Maintenance(vendor, 0.0, 30.0, [], [NAME])
    with pytest.raises(OperationalError):
        upkeep.run(time.monotonic())
    assert steps == ["rescue"]


def test_a_task_that_cannot_be_rescued_is_told_once(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    task_id = new_id()
    refused = Written(refused={task_id: "not this one"})
    monkeypatch.setattr(transitions, "rescue", lambda *_: refused)
    upkeep = maintenance.Maintenance(vendor, 0.0, 30.0, [], [NAME])
    for _ in range(3):
        upkeep.run(time.monotonic() + 10)
    told = f"Task {task_id} cannot be written, and stays as it is: not this one"
    assert caplog.text.count(told) == 1


def test_a_rescue_that_only_gives_back_wakes_the_workers_too(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The body of a task that must not run twice had certainly not begun: it goes back unchanged."""
    told: list[str] = []
    worker = make_worker()
    claim = claimed(vendor, worker, rerun_if_lost=False)
    Worker.objects.filter(pk=worker.pk).update(stopped_at=vendor.now())
    monkeypatch.setattr(type(vendor), "notify", lambda _, topic: told.append(topic))
    assert transitions.rescue(vendor, 30.0) == Written()
    row = TrackedTask.objects.get(pk=claim.task_id)
    assert (row.state, row.stage, row.attempt) == ("PENDING", Stage.DUE, 0)
    assert told == ["due"]
    transitions.rescue(vendor, 30.0)
    assert told == ["due"]


OPTIONS = {"queue": "default", "priority": 0, "max_attempts": 1, "owner": ""}


def test_a_goal_that_cannot_be_pursued_says_why_and_holds_up_no_other(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = vendor.now()
    waiting = {"state": Goal.State.OPEN, "next_attempt_at": now, "task_options": OPTIONS}
    huge = make_goal(key="huge", task_args=["x" * 2_000_000], **waiting)
    small = make_goal(key="small", **waiting)
    pursuit.reconcile(vendor)
    huge.refresh_from_db()
    small.refresh_from_db()
    assert (huge.state, small.state) == (Goal.State.OPEN, Goal.State.ACTIVE)
    assert huge.reason.startswith("cannot be pursued: args is 2,000,004 bytes")
    assert huge.next_attempt_at
    assert huge.next_attempt_at > now


@needs_row_locks
def test_an_end_whose_goal_somebody_holds_is_busy_and_waits_for_nobody(vendor: Vendor) -> None:
    goal, worker = make_goal(state=Goal.State.ACTIVE, attempts=1), make_worker()
    served = claimed(vendor, worker, goal_id=goal.pk)
    other = claimed(vendor, worker)
    now = time.monotonic()
    changes = [Change.of_outcome(claim, succeeded("1"), now, now) for claim in (served, other)]
    with held(goal):
        written = transitions.settle(vendor, changes)
        assert written.busy == {served.task_id}
        assert written.applied == {other.task_id}
    assert transitions.settle(vendor, changes[:1]).applied == {served.task_id}


def test_terminating_a_body_records_its_start_under_the_lease_it_ran_with(vendor: Vendor) -> None:
    worker = make_worker()
    claim = claimed(vendor, worker)
    transitions.revoke([claim.task_id], signal="SIGTERM")
    transitions.revoke([claim.task_id], signal="SIGKILL")
    (request,) = transitions.revoke_requests(vendor, worker.pk)
    began = time.monotonic()
    transitions.settle(vendor, [transitions.stopped(request, worker.pk, began)])
    rows = TrackedTask.objects.get(pk=claim.task_id).history.order_by("seq")
    assert [(row.state, row.lease) for row in rows] == [
        (State.PENDING, 0),
        (State.STARTED, claim.lease),
        (State.REVOKED, claim.lease + 2),
    ]


def test_history_never_runs_backwards_however_late_its_parts_are_written(vendor: Vendor) -> None:
    task = make_task()
    claim = transitions.claim(vendor, make_worker().pk, [], [task.name], 1)[0]
    long_ago = (
        time.monotonic() - 3600
    )  # before the task was there, as a clock that is off would say
    transitions.settle(vendor, [transitions.started(claim, long_ago)])
    transitions.settle(vendor, [Change.of_outcome(claim, succeeded("1"), long_ago, long_ago)])
    times = list(task.history.order_by("seq").values_list("at", flat=True))
    assert times == sorted(times)
