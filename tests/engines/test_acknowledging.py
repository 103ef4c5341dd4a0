"""Who waits for an end to be committed hears of it then, and of no other; and what no body can tell of."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.db import DataError, OperationalError, connections

from django_tasktrack import registry, signals, states, transitions
from django_tasktrack.changes import Change, Written
from django_tasktrack.engines.database import DatabaseEngine
from django_tasktrack.engines.plan import Plan
from django_tasktrack.exceptions import TaskFailure, WorkerLost
from django_tasktrack.herald import Herald
from django_tasktrack.maintenance import Maintenance
from django_tasktrack.models import TrackedTask, Worker
from django_tasktrack.outcomes import Claim, Outcome, failed, retry_later, succeeded
from django_tasktrack.pools import Pool, PoolOptions
from django_tasktrack.pools.asynchronous import AsyncioPool
from django_tasktrack.pools.base import Died, Event, Finished, Free
from django_tasktrack.pools.local import ThreadPool
from django_tasktrack.signals import Signal
from django_tasktrack.states import State
from django_tasktrack.vendors import Vendor
from tests.app import tasks
from tests.engines.test_stopping import Stopping
from tests.engines.test_upkeep import Engine, QuietPool, Registered, claimed
from tests.factories import NAME, make_worker, new_task
from tests.inline import the_vendor
from tests.listening import Heard, listening, names

pytestmark = pytest.mark.django_db(transaction=True)


_answers: list[tuple[UUID, bool]] = []


@pytest.fixture(autouse=True)
def _no_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    _answers.clear()
    monkeypatch.setattr(
        QuietPool,
        "acknowledge",
        lambda _, claim, written: _answers.append((claim.task_id, written)),
    )


@pytest.fixture
def vendor() -> Vendor:
    return the_vendor()


@pytest.fixture
def worker() -> Worker:
    return make_worker()


@pytest.fixture
def engine(vendor: Vendor, worker: Worker) -> Iterator[Engine]:
    engine = Engine(vendor, worker)
    yield engine
    engine.settling._herald.finish(5)


@pytest.fixture
def told() -> Iterator[list[Heard]]:
    with listening(signals.task_failure, signals.task_revoked) as heard:
        yield heard


def finished(claim: Claim, outcome: Outcome, *, waits: bool = True) -> Finished:
    now = time.monotonic()
    return Finished(claim, outcome, now, now, waits)


def state_of(claim: Claim) -> str:
    return TrackedTask.objects.get(pk=claim.task_id).state


def test_who_waits_hears_when_it_is_committed(
    engine: Engine, vendor: Vendor, worker: Worker
) -> None:
    claim, other = (claimed(vendor, worker) for _ in range(2))
    engine.settling.end(finished(claim, succeeded("1")))
    engine.settling.end(finished(other, succeeded("1"), waits=False))
    assert _answers == []
    engine.settling.run()
    assert _answers == [(claim.task_id, True)]
    assert state_of(claim) == State.SUCCESS
    assert not engine.settling._awaited


def test_beginnings_and_labels_are_no_ends(engine: Engine, vendor: Vendor, worker: Worker) -> None:
    claim = claimed(vendor, worker)
    engine.outbox.add(transitions.started(claim, time.monotonic()))
    engine.settling.end(finished(claim, succeeded("1")))
    engine.settling.run()
    assert (state_of(claim), _answers) == (State.STARTED, [])
    engine.settling.run()
    assert (state_of(claim), _answers) == (State.SUCCESS, [(claim.task_id, True)])


def test_who_waits_for_a_retry_hears_of_it(engine: Engine, vendor: Vendor, worker: Worker) -> None:
    claim = claimed(vendor, worker)
    engine.settling.end(finished(claim, retry_later(OSError(), 0.0, "retry 1")))
    engine.settling.run()
    assert _answers == [(claim.task_id, True)]


def test_an_end_that_the_fence_refuses_is_not_committed(
    engine: Engine, vendor: Vendor, worker: Worker
) -> None:
    claim = claimed(vendor, worker)
    TrackedTask.objects.filter(pk=claim.task_id).update(lease=claim.lease + 1)
    engine.settling.end(finished(claim, succeeded("1")))
    engine.settling.run()
    assert _answers == [(claim.task_id, False)]


@pytest.mark.parametrize(
    "outcome", [succeeded("1"), failed(ValueError()), retry_later(OSError(), 0.0, "retry 1")],
    ids=lambda outcome: outcome.transition.name,
)  # fmt: skip
def test_an_end_whose_answer_was_lost_is_committed(
    engine: Engine,
    vendor: Vendor,
    worker: Worker,
    outcome: Outcome,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    claim, settle, lost = claimed(vendor, worker), transitions.settle, [1]

    def loses_the_answer(vendor: Vendor, changes: list[Change]) -> Written:
        written = settle(vendor, changes)
        if lost.pop() if lost else 0:
            raise OperationalError("the connection is gone")
        return written

    monkeypatch.setattr(transitions, "settle", loses_the_answer)
    engine.settling.end(finished(claim, outcome))
    with pytest.raises(OperationalError):
        engine.settling.run()
    assert _answers == []
    engine.settling.run()
    assert _answers == [(claim.task_id, True)]


def test_another_s_word_for_the_same_state_is_not_this_end(
    engine: Engine, vendor: Vendor, worker: Worker
) -> None:
    """A zombie asks for a retry, and its task was given back as lost before."""
    claim = claimed(vendor, worker)
    now = time.monotonic()
    rescued = transitions.lost(claim, now, "signal SIGKILL")
    assert rescued.target is State.RETRY
    transitions.settle(vendor, [rescued])
    engine.settling.end(finished(claim, retry_later(OSError(), 0.0, "retry 1 of 3")))
    engine.settling.run()
    assert _answers == [(claim.task_id, False)]


def test_where_it_cannot_be_found_out_nobody_is_told(
    engine: Engine, vendor: Vendor, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(vendor: Vendor, change: Change) -> bool:
        raise OperationalError("gone")

    monkeypatch.setattr(transitions, "was_written", gone)
    claim = claimed(vendor, worker)
    TrackedTask.objects.filter(pk=claim.task_id).update(lease=claim.lease + 1)
    engine.settling.end(finished(claim, succeeded("1")))
    engine.settling.run()
    assert _answers == [(claim.task_id, False)]


def test_an_end_that_no_database_takes_is_told_as_the_failure_that_it_became(
    engine: Engine,
    vendor: Vendor,
    worker: Worker,
    told: list[Heard],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    claim, settle = claimed(vendor, worker), transitions.settle

    def refuses(vendor: Vendor, changes: list[Change]) -> Written:
        if any(change.transition is states.SUCCEED for change in changes):
            raise DataError("what is that")
        return settle(vendor, changes)

    monkeypatch.setattr(transitions, "settle", refuses)
    engine.settling.end(finished(claim, succeeded("1")))
    engine.settling.run()
    engine.settling._herald.finish(5)
    assert _answers == [(claim.task_id, False)], "its success is not told"
    assert (state_of(claim), names(told)) == (State.FAILURE, ["task_failure"])


def test_a_worker_that_was_lost_answers_nobody(
    engine: Engine, vendor: Vendor, worker: Worker
) -> None:
    engine.settling.end(finished(claimed(vendor, worker), succeeded("1")))
    engine.settling.forget()
    engine.settling.run()
    assert _answers == []
    assert not engine.settling._awaited


# What the worker tells itself


def test_a_failure_that_its_body_tells_is_not_told_twice(
    engine: Engine, vendor: Vendor, worker: Worker, told: list[Heard]
) -> None:
    engine.settling.end(finished(claimed(vendor, worker), failed(ValueError())))
    engine.settling.run()
    engine.settling._herald.finish(5)
    assert told == []


def test_a_failure_whose_body_cannot_tell_is_told_by_the_worker(
    engine: Engine, vendor: Vendor, worker: Worker, told: list[Heard]
) -> None:
    limited = claimed(vendor, worker)
    engine.settling.end(finished(limited, failed(ValueError("no")), waits=False))
    lost = claimed(vendor, worker, rerun_if_lost=False)
    now = time.monotonic()
    engine.settling.end(Died(lost, "signal SIGKILL", now, now))
    engine.settling.run()
    engine.settling._herald.finish(5)
    found = {one.given["task_id"]: one.given["exception"] for one in told}
    assert isinstance(found[str(limited.task_id)], TaskFailure)
    assert isinstance(found[str(lost.task_id)], WorkerLost)


def test_a_revoke_is_told_by_the_worker_that_answers_it(
    engine: Engine, vendor: Vendor, worker: Worker, told: list[Heard]
) -> None:
    claim = claimed(vendor, worker)
    engine.pool.submit([claim])
    transitions.revoke([claim.task_id])
    engine.revoking.run()
    assert told == []
    engine.settling.run()
    engine.settling._herald.finish(5)
    assert [(one.name, one.given["request"].id) for one in told] == [
        ("task_revoked", str(claim.task_id))
    ]


def test_tasks_of_lost_workers_and_expired_ones_are_told_by_the_upkeep(
    vendor: Vendor, told: list[Heard]
) -> None:
    gone = make_worker()
    lost = claimed(vendor, gone, rerun_if_lost=False)
    transitions.settle(vendor, [transitions.started(lost, time.monotonic())])
    type(gone).objects.filter(pk=gone.pk).update(stopped_at=vendor.now())
    transitions.enqueue([expired := new_task(expires_in=-1.0)])
    herald = Herald()
    Maintenance(vendor, 1.0, 5.0, [], [NAME], herald=herald).run(time.monotonic())
    herald.finish(5)
    found = {(one.name, one.given.get("task_id"), one.given.get("expired")) for one in told}
    assert found == {
        ("task_failure", str(lost.task_id), None), ("task_revoked", None, True),
    }  # fmt: skip
    assert TrackedTask.objects.get(pk=expired.task_id).state == State.REVOKED


# The engine around it


def test_an_end_that_is_still_told_keeps_the_engine_from_ending() -> None:
    stopping = Stopping()
    stopping.pool._tells(stopping.claim, object())
    transitions.unclaim(the_vendor(), [stopping.claim])
    stopping.engine.stop(5.0)
    assert not stopping.engine._is_idle()
    stopping.pool._free(stopping.claim)
    assert stopping.engine._events.pop() == Free(stopping.claim)
    assert stopping.engine._is_idle()
    stopping.engine._waker.close()


def test_one_that_tells_for_ever_is_not_waited_for_longer_than_the_grace() -> None:
    stopping = Stopping()
    stopping.pool._tells(stopping.claim, object())
    transitions.unclaim(the_vendor(), [stopping.claim])
    stopping.engine.stop(0.2)
    assert stopping.seconds() < 1.0
    stopping.engine._waker.close()


def test_what_is_received_is_told(worker: Worker) -> None:
    claim = claimed(the_vendor(), worker, args=[1], kwargs={"k": 2})
    herald = Herald("sender", "w1@host")
    with listening(signals.task_received) as heard:
        herald.received([claim])
        herald.finish(5)
    (one,) = heard
    assert one.sender == "sender"
    request = one.given["request"]
    assert (request.id, request.args, request.kwargs) == (str(claim.task_id), (1,), {"k": 2})
    assert request.hostname == "w1@host"


def test_where_nobody_listens_there_is_no_thread_for_it(worker: Worker) -> None:
    herald = Herald()
    herald.received([claimed(the_vendor(), worker)])
    herald.ended([claimed(the_vendor(), worker).task_id])
    herald.tell(signals.worker_ready)
    assert herald._thread is None
    herald.finish(0.1)


def test_the_engine_tells_what_it_receives() -> None:
    stopping = Stopping()
    engine: DatabaseEngine = stopping.engine
    with listening(signals.task_received) as heard:
        engine._claims = [stopping.claim]
        engine._supply()
        engine._herald.finish(5)
    assert [one.given["request"].id for one in heard] == [str(stopping.claim.task_id)]
    engine._waker.close()


def test_what_was_told_of_an_earlier_attempt_is_no_end_of_this_one() -> None:
    stopping = Stopping()
    with stopping.pool._changed:
        stopping.pool._running[stopping.claim.task_id] = stopping.claim, time.monotonic()
    stopping.engine.post(Free(stopping.claim._replace(lease=stopping.claim.lease - 1)))
    stopping.engine._release_running()
    assert stopping.claim.task_id in stopping.engine._outbox
    stopping.engine._waker.close()


# All of it, with a pool that runs bodies


@pytest.mark.parametrize("kind", [ThreadPool, AsyncioPool], ids=lambda kind: kind.name)
def test_whoever_asks_the_table_in_a_receiver_sees_the_end_that_is_told(kind: type[Pool]) -> None:
    seen: list[tuple[str, str, str]] = []

    def receiver(signal: Signal, task_id: str, state: str = "FAILURE", **given: Any) -> None:
        seen.append((signal.name, state, TrackedTask.objects.get(pk=task_id).state))
        connections.close_all()  # a worker's process ends with its threads; this one does not

    results = [tasks.add.delay(1, 2), tasks.fails.delay(), tasks.sleeps.delay(0.01)]
    results.append(tasks.flaky.delay(2))
    for signal in (signals.task_postrun, signals.task_failure):
        signal.connect(receiver)
    try:
        _work(kind, len(results) + 1)
    finally:
        for signal in (signals.task_postrun, signals.task_failure):
            signal.disconnect(receiver)
    assert sorted(seen) == [
        ("task_failure", "FAILURE", "FAILURE"),
        ("task_postrun", "FAILURE", "FAILURE"),
        ("task_postrun", "RETRY", "RETRY"),
        *[("task_postrun", "SUCCESS", "SUCCESS")] * 3,
    ]


def _work(kind: type[Pool], ends: int) -> None:
    """An engine, turned by hand, until so many attempts have ended and all is told."""
    worker, vendor = make_worker(), the_vendor()
    pool = kind(PoolOptions(worker=worker.name, concurrency=4))
    plan = Plan(
        queues=[], names=registry.names(), burst=True, poll_min=0.01, poll_max=0.05, lease=5.0
    )
    upkeep = Maintenance(vendor, 60.0, 3600.0, [], registry.names())
    engine = DatabaseEngine(vendor, plan, pool, Registered(worker), upkeep)
    engine._connected = True  # as this thread is
    told: list[Event] = []

    def post(event: Event) -> None:
        told.append(event)
        engine.post(event)

    pool.start(post)
    serving = threading.Thread(target=pool.serve)
    serving.start()
    try:
        deadline = time.monotonic() + 20
        while sum(isinstance(event, Free) for event in told) < ends:
            engine._turn()
            assert time.monotonic() < deadline
        while not engine._turn():
            assert time.monotonic() < deadline
    finally:
        pool.finish()
        serving.join(10)
        engine._waker.close()
