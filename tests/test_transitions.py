"""The write door's verbs: revoke, run again, rescue, expire, hold, settle, forget."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from django.test import override_settings

from django_tasktrack import states, transitions
from django_tasktrack.changes import Change, ProgressWrite, Written
from django_tasktrack.ids import new_id
from django_tasktrack.models import Goal, Progress, StateChange, TrackedTask, Worker
from django_tasktrack.outcomes import Claim, failed, retry_later, revoked, succeeded
from django_tasktrack.states import FINAL, Stage, State
from django_tasktrack.transitions import Answer

from .factories import NAME, make_goal, make_task, make_worker, new_task
from .inline import (
    VENDORS,
    begin,
    claim_all,
    claimed,
    enqueue,
    finish,
    history,
    row,
    running,
    story,
    the_vendor,
)

pytestmark = pytest.mark.django_db
LEASE = 5.0


def silent(worker: Worker, seconds: float) -> None:
    """As if the worker's last sign of life were so long ago."""
    at = the_vendor().now() - timedelta(seconds=seconds)
    Worker.objects.filter(pk=worker.pk).update(heartbeat_at=at)


def rescue() -> Written:
    return transitions.rescue(the_vendor(), LEASE)


def past(task_id: UUID) -> None:
    """As if the task's expiry had just passed."""
    at = the_vendor().now() - timedelta(seconds=1)
    TrackedTask.objects.filter(pk=task_id).update(expires_at=at)


# Revoke


def held(**values: Any) -> UUID:
    new = enqueue(name="nobody.knows", **values)
    transitions.hold_unknown(the_vendor(), [], [NAME])
    return new.task_id


WAITING: dict[Stage, Callable[[], UUID]] = {
    Stage.SCHEDULED: lambda: enqueue(delay=60.0).task_id,
    Stage.DUE: lambda: enqueue().task_id,
    Stage.HELD: held,
}


@pytest.mark.parametrize("signal", [None, "SIGKILL"])
@pytest.mark.parametrize("stage", WAITING)
def test_waiting_task_is_revoked_at_once_and_never_runs(stage: Stage, signal: str | None) -> None:
    task_id = WAITING[stage]()
    assert row(task_id).stage == stage
    answers = transitions.revoke([task_id], signal=signal, actor="user:1", reason="not wanted")
    assert answers == {task_id: Answer.REVOKED}
    assert (row(task_id).state, row(task_id).stage) == ("REVOKED", Stage.DONE)
    assert story(task_id) == ["PENDING", "REVOKED"]
    last = history(task_id)[-1]
    assert (last.actor, last.reason) == ("user:1", "not wanted")
    assert claim_all(make_worker().pk) == []


def test_retry_that_waits_is_revoked_at_once() -> None:
    task = make_task(State.RETRY)
    assert transitions.revoke([task.pk]) == {task.pk: Answer.REVOKED}
    assert story(task.pk) == ["PENDING", "STARTED", "RETRY", "REVOKED"]


@pytest.mark.parametrize("started", [False, True])
def test_claimed_task_gets_a_request(started: bool) -> None:
    claim = running() if started else claimed()
    answers = transitions.revoke([claim.task_id], actor="user:1", reason="no")
    assert answers == {claim.task_id: Answer.REQUESTED}
    task = row(claim.task_id)
    assert (task.state, task.lease) == ("STARTED" if started else "PENDING", claim.lease)
    (request,) = transitions.revoke_requests(the_vendor(), claim.worker_id)
    assert (request.task_id, request.signal, request.actor, request.reason) == (
        claim.task_id,
        None,
        "user:1",
        "no",
    )


def test_killing_request_takes_the_lease_away() -> None:
    claim = running()
    transitions.revoke([claim.task_id], signal="SIGTERM")
    (request,) = transitions.revoke_requests(the_vendor(), claim.worker_id)
    assert (request.signal, request.lease) == ("SIGTERM", claim.lease + 1)
    assert finish(claim, succeeded("1")).stale == {claim.task_id}
    the_vendor().write_progress([ProgressWrite(claim.task_id, claim.lease, 1, 2, None, None)])
    assert not Progress.objects.exists()
    end = transitions.stopped(request, claim.worker_id, time.monotonic())
    assert transitions.settle(the_vendor(), [end]).applied
    assert row(claim.task_id).state == "REVOKED"


def test_worker_that_cannot_kill_is_asked_and_keeps_its_lease() -> None:
    worker = make_worker(can_terminate=False)
    claim = running(worker.pk)
    transitions.revoke([claim.task_id], signal="SIGTERM")
    assert row(claim.task_id).lease == claim.lease
    assert finish(claim, succeeded("1")).applied


def test_polite_request_does_not_take_a_kill_back() -> None:
    claim = running()
    transitions.revoke([claim.task_id], signal="SIGKILL")
    transitions.revoke([claim.task_id], actor="user:2")
    (request,) = transitions.revoke_requests(the_vendor(), claim.worker_id)
    assert (request.signal, request.lease) == ("SIGKILL", claim.lease + 1)


def test_polite_request_may_become_a_kill() -> None:
    claim = running()
    transitions.revoke([claim.task_id])
    asked_at = row(claim.task_id).revoke_requested_at
    transitions.revoke([claim.task_id], signal="SIGTERM")
    (request,) = transitions.revoke_requests(the_vendor(), claim.worker_id)
    assert request.signal == "SIGTERM"
    assert row(claim.task_id).revoke_requested_at == asked_at


@pytest.mark.parametrize("state", sorted(FINAL))
def test_finished_task_is_refused_and_unchanged(state: State) -> None:
    task = make_task(state)
    before = TrackedTask.objects.filter(pk=task.pk).values().get()
    assert transitions.revoke([task.pk], signal="SIGTERM") == {task.pk: Answer.REFUSED}
    assert TrackedTask.objects.filter(pk=task.pk).values().get() == before
    assert story(task.pk)[-1] == state


def test_each_id_is_answered_and_any_iterable_will_do() -> None:
    claim, done, due, ghost = running(), make_task("FAILURE").pk, enqueue().task_id, new_id()
    other = enqueue().task_id
    answers = transitions.revoke(iter([due, claim.task_id, done, ghost]))
    assert answers == {
        due: Answer.REVOKED,
        claim.task_id: Answer.REQUESTED,
        done: Answer.REFUSED,
        ghost: Answer.UNKNOWN,
    }
    assert row(other).state == "PENDING"
    assert transitions.revoke([]) == {}


def test_revoke_joins_the_caller_s_transaction() -> None:
    task_id, claim = enqueue().task_id, running()
    with transaction.atomic():
        transitions.revoke([task_id, claim.task_id])
        transaction.set_rollback(True)
    assert row(task_id).state == "PENDING"
    assert row(claim.task_id).revoke_requested_at is None


@pytest.mark.parametrize("started", [False, True])
def test_words_of_a_revoke_can_be_stored_anywhere(started: bool) -> None:
    task_id = running().task_id if started else enqueue().task_id
    transitions.revoke([task_id], actor="a\x00" + "a" * 999, reason="r\ud800" + "r" * 999)
    if started:
        (request,) = transitions.revoke_requests(the_vendor(), row(task_id).worker_id or 0)
        words = request.actor, request.reason
    else:
        words = history(task_id)[-1].actor, history(task_id)[-1].reason
    assert words == (("a\\x00" + "a" * 999)[:255], ("r\\ud800" + "r" * 999)[:255])


def test_claim_that_did_not_start_is_revoked_without_a_start() -> None:
    claim = claimed()
    transitions.revoke([claim.task_id])
    (request,) = transitions.revoke_requests(the_vendor(), claim.worker_id)
    end = transitions.stopped(request, claim.worker_id, None)
    assert transitions.settle(the_vendor(), [end]).applied
    assert story(claim.task_id) == ["PENDING", "REVOKED"]
    assert row(claim.task_id).attempt == 0


def test_requested_task_is_not_given_back_but_may_still_end() -> None:
    claim = running()
    transitions.revoke([claim.task_id])
    assert finish(claim, retry_later(ValueError(), 0)).stale == {claim.task_id}
    assert transitions.unclaim(the_vendor(), [claim]) == 0
    assert finish(claim, succeeded("1")).applied
    assert story(claim.task_id) == ["PENDING", "STARTED", "SUCCESS"]


# Run again


@pytest.mark.parametrize("state", [State.FAILURE, State.REVOKED])
def test_failed_and_revoked_tasks_run_again(state: State) -> None:
    task = make_task(state)
    assert transitions.rerun(iter([task.pk]), actor="user:1", reason="fixed") == {
        task.pk: Answer.QUEUED
    }
    again = row(task.pk)
    assert (again.state, again.stage, again.attempt, again.lease) == (
        "PENDING",
        Stage.DUE,
        0,
        task.lease + 1,
    )
    last = history(task.pk)[-1]
    assert (last.actor, last.reason, last.lease) == ("user:1", "fixed", task.lease + 1)
    assert [claim.task_id for claim in claim_all(make_worker().pk, names=[NAME])] == [task.pk]


@pytest.mark.parametrize("state", [State.PENDING, State.STARTED, State.RETRY, State.SUCCESS])
def test_others_do_not_run_again(state: State) -> None:
    task = make_task(state)
    assert transitions.rerun([task.pk, (ghost := new_id())]) == {
        task.pk: Answer.REFUSED,
        ghost: Answer.UNKNOWN,
    }
    assert story(task.pk)[-1] == state


def test_late_finish_after_a_rerun_changes_nothing() -> None:
    """The attempts begin at one again, so that only the lease can tell them apart."""
    worker_id = make_worker().pk
    claim = running(worker_id)
    finish(claim, failed(ValueError()))
    transitions.rerun([claim.task_id])
    (second,) = claim_all(worker_id, names=[NAME])
    assert (second.attempt, second.worker_id) == (claim.attempt, claim.worker_id)
    assert finish(claim, succeeded('"stale"')).stale == {claim.task_id}
    assert finish(second, succeeded('"fresh"')).applied
    assert row(claim.task_id).result == "fresh"


def test_expired_task_can_run_again() -> None:
    task_id = enqueue(expires_in=60.0).task_id
    past(task_id)
    transitions.expire(the_vendor())
    transitions.rerun([task_id])
    assert transitions.expire(the_vendor()) == Written()
    assert len(claim_all(make_worker().pk, names=[NAME])) == 1


# Rescue


def gone_by_silence(worker: Worker) -> None:
    silent(worker, LEASE + 1)


def gone_by_stopping(worker: Worker) -> None:
    Worker.objects.filter(pk=worker.pk).update(stopped_at=the_vendor().now())


def gone_without_a_row(worker: Worker) -> None:
    Worker.objects.filter(pk=worker.pk).delete()


GONE = [gone_by_silence, gone_by_stopping, gone_without_a_row]


@pytest.mark.parametrize("go", GONE)
def test_task_of_a_worker_that_is_gone_runs_again(go: Callable[[Worker], None]) -> None:
    worker = make_worker()
    claim = running(worker.pk)
    go(worker)
    assert rescue().applied == {claim.task_id}
    task = row(claim.task_id)
    assert (task.state, task.stage, task.worker_id) == ("RETRY", Stage.DUE, None)
    assert (task.attempt, task.losses, task.crashes, task.retries) == (1, 1, 1, 0)
    assert story(claim.task_id) == ["PENDING", "STARTED", "RETRY"]
    assert history(claim.task_id)[-1].reason == f"lost: worker {worker.pk} is gone"
    (again,) = claim_all(make_worker().pk, names=[NAME])
    assert (again.lease, again.retries) == (claim.lease + 1, 0)


@pytest.mark.parametrize("go", GONE)
def test_late_finish_after_rescue_changes_nothing(go: Callable[[Worker], None]) -> None:
    worker = make_worker()
    claim = running(worker.pk)
    go(worker)
    rescue()
    for outcome in (
        succeeded("1"),
        failed(ValueError()),
        retry_later(ValueError(), 0),
        revoked(""),
    ):
        assert finish(claim, outcome).stale == {claim.task_id}
    assert story(claim.task_id) == ["PENDING", "STARTED", "RETRY"]


def test_living_worker_keeps_its_tasks() -> None:
    worker = make_worker()
    claim = running(worker.pk)
    silent(worker, LEASE - 2)
    assert rescue() == Written()
    assert finish(claim, succeeded("1")).applied
    worker.refresh_from_db()
    assert worker.is_alive


def test_silent_worker_is_marked_lost_once() -> None:
    worker = make_worker()
    silent(worker, LEASE + 1)
    rescue()
    worker.refresh_from_db()
    first = worker.lost_at
    assert first is not None
    rescue()
    worker.refresh_from_db()
    assert worker.lost_at == first


def test_claim_without_a_start_is_presumed_to_have_begun_and_is_no_crash() -> None:
    worker = make_worker()
    claim = claimed(worker.pk)
    gone_by_stopping(worker)
    rescue()
    assert story(claim.task_id) == ["PENDING", "STARTED", "RETRY"]
    assert history(claim.task_id)[1].reason == "presumed"
    task = row(claim.task_id)
    assert (task.losses, task.crashes) == (1, 0)


@override_settings(TASKTRACK={"MAX_CRASHES": 3})
def test_task_that_takes_too_many_workers_along_fails() -> None:
    task_id = enqueue(max_attempts=1).task_id
    for number in range(3):
        worker = make_worker()
        (claim,) = claim_all(worker.pk, names=[NAME])
        begin(claim)
        gone_by_stopping(worker)
        rescue()
        assert row(task_id).crashes == number + 1
    task = row(task_id)
    assert (task.state, task.error_type) == ("FAILURE", "django_tasktrack.exceptions.WorkerLost")
    assert "crash 3, no further attempt" in history(task_id)[-1].reason
    assert story(task_id).count("STARTED") == 3


@override_settings(TASKTRACK={"MAX_CRASHES": 1})
def test_innocent_batch_mates_of_a_poison_task_survive() -> None:
    worker = make_worker()
    mates = [claimed(worker.pk) for _ in range(3)]
    poison = running(worker.pk)
    gone_by_silence(worker)
    rescue()
    assert row(poison.task_id).state == "FAILURE"
    assert {row(claim.task_id).state for claim in mates} == {"RETRY"}


def test_task_that_must_not_run_twice_fails_once_it_had_begun() -> None:
    worker = make_worker()
    claim = running(worker.pk, rerun_if_lost=False)
    gone_by_stopping(worker)
    assert rescue().applied == {claim.task_id}
    assert story(claim.task_id) == ["PENDING", "STARTED", "FAILURE"]
    assert history(claim.task_id)[-1].reason.endswith("it must not run twice")
    assert claim_all(make_worker().pk, names=[NAME]) == []


def test_dead_process_ends_a_task_that_must_not_run_twice() -> None:
    claim = running(rerun_if_lost=False)
    transitions.settle(the_vendor(), [transitions.lost(claim, time.monotonic(), "signal SIGKILL")])
    assert story(claim.task_id) == ["PENDING", "STARTED", "FAILURE"]


def claimed_before_its_start(**values: Any) -> Claim:
    """A claim whose beginning must be committed first, and is not."""
    claim = claimed(**values)
    assert claim.begins_surely
    return claim


def claimed_after_a_loss() -> Claim:
    worker = make_worker()
    task_id = running(worker.pk).task_id
    gone_by_stopping(worker)
    rescue()
    (claim,) = claim_all(make_worker().pk, names=[NAME])
    assert claim.begins_surely
    assert claim.task_id == task_id
    return claim


SURE: dict[str, Callable[[], Claim]] = {
    "must not run twice": lambda: claimed_before_its_start(rerun_if_lost=False),
    "was lost before": claimed_after_a_loss,
}


@pytest.mark.parametrize("kind", SURE)
def test_claim_that_certainly_did_not_begin_goes_back_unchanged(kind: str) -> None:
    claim = SURE[kind]()
    before, told = row(claim.task_id), story(claim.task_id)
    Worker.objects.filter(pk=claim.worker_id).update(stopped_at=the_vendor().now())
    rescue()
    task = row(claim.task_id)
    assert (task.state, task.stage, task.worker_id) == (before.state, Stage.DUE, None)
    assert (task.attempt, task.losses, task.crashes) == (
        before.attempt - 1,
        before.losses,
        before.crashes,
    )
    assert story(claim.task_id) == told
    assert finish(claim, succeeded("1")).stale == {claim.task_id}


@pytest.mark.parametrize("kind", SURE)
def test_claim_that_certainly_did_not_begin_is_revoked_without_a_start(kind: str) -> None:
    claim = SURE[kind]()
    told = story(claim.task_id)
    transitions.revoke([claim.task_id])
    Worker.objects.filter(pk=claim.worker_id).update(stopped_at=the_vendor().now())
    rescue()
    assert story(claim.task_id) == [*told, "REVOKED"]


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("signal", [None, "SIGKILL"])
def test_lost_task_that_somebody_wanted_to_end_is_revoked(
    started: bool, signal: str | None
) -> None:
    worker = make_worker()
    claim = running(worker.pk) if started else claimed(worker.pk)
    transitions.revoke([claim.task_id], signal=signal, actor="user:1", reason="no")
    gone_by_silence(worker)
    assert rescue().applied == {claim.task_id}
    assert story(claim.task_id) == ["PENDING", "STARTED", "REVOKED"]
    assert history(claim.task_id)[1].reason == ("" if started else "presumed")
    last = history(claim.task_id)[-1]
    assert (last.actor, last.reason) == ("user:1", "no")
    assert claim_all(make_worker().pk, names=[NAME]) == []


def test_rescue_takes_its_limit_at_a_time() -> None:
    worker = make_worker()
    claims = [claimed(worker.pk) for _ in range(5)]
    gone_by_stopping(worker)
    sizes = [len(transitions.rescue(the_vendor(), LEASE, limit=2).applied) for _ in range(4)]
    assert sizes == [2, 2, 1, 0]
    assert {row(claim.task_id).state for claim in claims} == {"RETRY"}


# Expire


def test_expired_task_is_revoked_with_its_reason() -> None:
    task_id, later = enqueue(expires_in=60.0).task_id, enqueue(expires_in=60.0).task_id
    past(task_id)
    assert transitions.expire(the_vendor()).applied == {task_id}
    assert story(task_id) == ["PENDING", "REVOKED"]
    assert history(task_id)[-1].reason == "expired"
    assert row(later).state == "PENDING"


@pytest.mark.parametrize("stage", WAITING)
def test_task_expires_wherever_it_waits(stage: Stage) -> None:
    task_id = WAITING[stage]()
    past(task_id)
    assert transitions.expire(the_vendor()).applied == {task_id}


@pytest.mark.parametrize("state", [State.STARTED, State.SUCCESS, State.FAILURE])
def test_what_has_begun_does_not_expire(state: State) -> None:
    task = make_task(state)
    past(task.pk)
    assert transitions.expire(the_vendor()) == Written()
    assert story(task.pk)[-1] == state


# Tasks that nobody knows


@pytest.mark.parametrize("kind", VENDORS)
def test_unknown_tasks_are_found_behind_another_queue_s_backlog(kind: str) -> None:
    for _ in range(3):
        enqueue(queue="a", priority=5)
    behind = enqueue(queue="z", name="nobody.knows").task_id
    vendor = the_vendor(kind)
    assert vendor.unknown([], {NAME}, limit=2) == {behind: "nobody.knows"}
    assert vendor.unknown(["a", "z"], {NAME}, limit=2) == {behind: "nobody.knows"}
    assert vendor.unknown(["a"], {NAME}, limit=2) == {}
    assert vendor.unknown([], {NAME, "nobody.knows"}, limit=2) == {}


def test_unknown_tasks_wait_apart_without_an_attempt() -> None:
    unknown = [enqueue(name="nobody.knows").task_id for _ in range(2)]
    known = enqueue().task_id
    assert transitions.hold_unknown(the_vendor(), [], [NAME]) == {"nobody.knows": 2}
    assert [(row(i).stage, row(i).attempt, row(i).state) for i in unknown] == [
        (Stage.HELD, 0, "PENDING")
    ] * 2
    assert row(known).stage == Stage.DUE
    assert transitions.hold_unknown(the_vendor(), [], [NAME]) == {}


def test_only_the_worker_s_own_queues_are_looked_at() -> None:
    task_id = enqueue(name="nobody.knows", queue="other").task_id
    assert transitions.hold_unknown(the_vendor(), ["mine"], [NAME]) == {}
    assert row(task_id).stage == Stage.DUE


def test_held_tasks_are_due_again_once_somebody_knows_them() -> None:
    task_id = held()
    assert transitions.unhold(the_vendor(), [NAME]) == 0
    assert transitions.unhold(the_vendor(), ["nobody.knows"]) == 1
    (claim,) = claim_all(make_worker().pk, names=["nobody.knows"])
    assert (claim.task_id, claim.attempt) == (task_id, 1)


# Settle


def test_settle_of_nothing_asks_nothing(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert transitions.settle(the_vendor(), []) == Written()


def test_goal_follows_in_the_same_transaction() -> None:
    goal = make_goal(achieve_on_success=True)
    task = make_task(State.STARTED, goal=goal)
    claim = _claim_of(task)
    with transaction.atomic():
        finish(claim, succeeded("1"))
        goal.refresh_from_db()
        assert goal.state == Goal.State.ACHIEVED
        transaction.set_rollback(True)
    goal.refresh_from_db()
    assert (goal.state, row(task.pk).state) == (Goal.State.ACTIVE, "STARTED")


def test_stale_end_does_not_move_the_goal() -> None:
    goal = make_goal(achieve_on_success=True)
    claim = _claim_of(make_task(State.STARTED, goal=goal))
    assert finish(claim._replace(lease=99), succeeded("1")).stale
    goal.refresh_from_db()
    assert goal.state == Goal.State.ACTIVE


def _claim_of(task: TrackedTask) -> Claim:
    assert task.worker_id
    return Claim(
        task.pk, task.name, "[]", "{}", task.queue, 0, task.attempt, 0, 0, task.lease,
        task.worker_id, None, None, None, "", task.goal_id,
    )  # fmt: skip


def test_release_is_not_counted() -> None:
    claim = running()
    change = transitions.released(claim, time.monotonic(), "the worker stopped")
    assert transitions.settle(the_vendor(), [change]).applied
    task = row(claim.task_id)
    assert (task.state, task.stage, task.attempt) == ("PENDING", Stage.DUE, 0)
    assert story(claim.task_id) == ["PENDING", "STARTED", "PENDING"]


# Forget


def test_forget_drops_the_value_and_keeps_the_story() -> None:
    task = make_task(State.SUCCESS, result={"big": "value"})
    before = history(task.pk)
    assert transitions.forget([task.pk]) == 1
    assert row(task.pk).result is None
    assert (row(task.pk).state, history(task.pk)) == ("SUCCESS", before)


def test_unfinished_tasks_are_not_forgotten() -> None:
    assert transitions.forget([make_task().pk, new_id()]) == 0


# Enqueue


def test_enqueue_of_many_is_all_or_none() -> None:
    twice = new_task()
    with pytest.raises(Exception, match=r"(?i)unique|duplicate"), transaction.atomic():
        transitions.enqueue([new_task(), twice, twice])
    assert not TrackedTask.objects.exists()
    assert not StateChange.objects.exists()


def test_change_of_no_row_does_nothing() -> None:
    ghost = Change(new_id(), states.SUCCEED, 1, 1)
    assert transitions.settle(the_vendor(), [ghost]).stale == {ghost.task_id}
