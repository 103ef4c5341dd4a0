"""Goals: pursued until they are met, settled with the business data, kept when tasks are gone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings

from django_tasktrack import context, goals, pursuit, registry, task, transitions
from django_tasktrack.context import Context, Request, running
from django_tasktrack.exceptions import (
    GoalClosed,
    InvalidTask,
    LeaseLost,
    NotRegistered,
    PayloadError,
)
from django_tasktrack.goals import GoalNotFound, PursuedGoal
from django_tasktrack.models import Goal, GoalAttempt, TrackedTask, Worker
from django_tasktrack.outcomes import Claim, failed, succeeded
from django_tasktrack.purge import purge
from django_tasktrack.states import FINAL, UNFINISHED, State

from .app.models import Entry
from .app.tasks import achieves, add, echo, fails
from .factories import make_worker
from .inline import begin, claim_all, claimed, finish, row, run, the_vendor, work

pytestmark = pytest.mark.django_db
KIND, KEY = "invoice.delivered", "INV-42"


def pursue(**values: Any) -> PursuedGoal:
    given: dict[str, Any] = {"key": KEY, "task": echo, "achieve_on_success": True}
    return goals.pursue(values.pop("kind", KIND), **{**given, **values})


def overdue(**values: Any) -> PursuedGoal:
    """A goal whose deadline has passed since, and nobody has seen it yet."""
    goal = pursue(deadline=timedelta(hours=1), **values)
    Goal.objects.update(deadline=datetime(2020, 1, 1, tzinfo=UTC))
    return goal


def fold_holds() -> bool:
    """Invariant I9: every goal is the fold of its attempts."""
    for goal in Goal.objects.all():
        attempts = list(goal.attempt_set.order_by("number"))
        states = [attempt.state for attempt in attempts]
        live = any(state in UNFINISHED for state in states)
        assert [attempt.number for attempt in attempts] == list(range(1, goal.attempts + 1))
        assert goal.max_attempts is None or goal.attempts <= goal.max_attempts
        assert (goal.state == Goal.State.ACTIVE) <= live
        assert (goal.state in {Goal.State.OPEN, Goal.State.FAILED}) <= (not live)
        assert (goal.state == Goal.State.OPEN) == (goal.next_attempt_at is not None)
        assert goal.is_unmet == (goal.settled_at is None)
        for attempt in attempts:
            assert (attempt.state in FINAL) == (attempt.finished_at is not None)
            task = TrackedTask.objects.filter(pk=attempt.task_id).first()
            assert task is None or task.state == attempt.state
    return True


def over(goal: PursuedGoal) -> None:
    """As if the pause before the next task had passed."""
    at = the_vendor().now() - timedelta(seconds=1)
    assert Goal.objects.filter(pk=goal.row.pk, state=Goal.State.OPEN).update(next_attempt_at=at)


def attempt_of(claim: Claim) -> running:
    return running(Context(claim, Request, lambda _: None, lambda: False))


# Pursue


def test_goal_gets_a_task_at_once() -> None:
    entry = Entry.objects.create(text="invoice")
    goal = pursue(subject=entry, args=[1], queue="mail", priority=5, owner="7")
    assert (goal.kind, goal.key, goal.state) == (KIND, KEY, "ACTIVE")
    (task,) = TrackedTask.objects.all()
    assert (task.name, task.args, task.queue, task.priority, task.owner) == (
        echo.name, [1], "mail", 5, "7",
    )  # fmt: skip
    assert task.goal_id == goal.row.pk
    (attempt,) = goal.attempts()
    assert (attempt.number, attempt.task_id, attempt.state) == (1, task.pk, "PENDING")
    assert list(Goal.objects.for_subject(entry)) == [goal.row]
    assert fold_holds()


def test_same_goal_is_returned_when_asked_again() -> None:
    first = pursue(args=[1])
    second = pursue(args=[2])
    assert first.row.pk == second.row.pk
    assert TrackedTask.objects.count() == 1


def test_kind_and_key_together_name_a_goal() -> None:
    pursue()
    pursue(key="INV-43")
    pursue(kind="invoice.paid")
    assert Goal.objects.count() == TrackedTask.objects.count() == 3


def test_rolled_back_pursuit_never_was() -> None:
    with transaction.atomic():
        pursue()
        transaction.set_rollback(True)
    assert not Goal.objects.exists()
    assert not TrackedTask.objects.exists()
    assert not GoalAttempt.objects.exists()


def test_task_may_be_named() -> None:
    assert pursue(task="tests.app.tasks.add", args=[1, 2]).row.task_name == add.name


def test_achieved_goal_is_returned_and_not_pursued_again() -> None:
    pursue()
    work()
    goal = pursue(reopen=True)
    assert goal.state == "ACHIEVED"
    assert TrackedTask.objects.count() == 1


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        ({"task": "nobody.knows"}, NotRegistered, "nobody.knows"),
        ({"task": add, "args": [1]}, TypeError, "missing a required argument"),
        ({"args": [object()]}, PayloadError, r"args\[0\]"),
        ({"queue": ""}, InvalidTask, "queue"),
        ({"priority": 500}, InvalidTask, "priority"),
        ({"owner": "\x00"}, InvalidTask, "owner"),
        ({"max_attempts": 0}, InvalidTask, "max_attempts"),
        ({"max_attempts": "3"}, InvalidTask, "max_attempts"),
        ({"max_attempts": True}, InvalidTask, "max_attempts"),
        ({"deadline": datetime(2100, 1, 1)}, InvalidTask, "deadline"),
        ({"deadline": 5}, InvalidTask, "deadline"),
        ({"deadline": timedelta.max}, InvalidTask, "deadline"),
        ({"deadline": timedelta(days=-1)}, InvalidTask, "lies in the past"),
        ({"deadline": timedelta(0)}, InvalidTask, "lies in the past"),
        ({"deadline": datetime(2020, 1, 1, tzinfo=UTC)}, InvalidTask, "lies in the past"),
        ({"task": len}, InvalidTask, "is no task"),
        ({"key": ""}, InvalidTask, "key"),
        ({"key": "k" * 256}, InvalidTask, "key"),
        ({"key": "a\x00"}, InvalidTask, "key"),
        ({"kind": ""}, InvalidTask, "kind"),
        ({"subject": Entry(text="unsaved")}, InvalidTask, "subject"),
    ],
)
def test_bad_input_is_refused_and_leaves_nothing(
    values: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        pursue(**values)
    assert not Goal.objects.exists()
    assert not TrackedTask.objects.exists()


def test_key_may_be_a_number() -> None:
    pursue(key=42)
    assert goals.get(KIND, 42).key == goals.get(KIND, "42").key == "42"


def test_keys_that_differ_in_case_are_two_goals() -> None:
    assert pursue(key="inv-42").row.pk != pursue(key="INV-42").row.pk


def test_unknown_goal_says_so() -> None:
    with pytest.raises(GoalNotFound, match=r"No goal 'invoice\.delivered' has the key 'x'"):
        goals.get(KIND, "x")


def test_options_that_the_task_declares_hold_for_each_of_its_tasks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "_definitions", dict(registry._definitions))
    once = task(
        name="once", on_lost="fail", time_limit=60, soft_time_limit=50, queue="q", max_retries=1
    )(lambda: None)
    goal = pursue(task=once)
    transitions.revoke([goal.attempts()[0].task_id])
    over(goal)
    pursuit.reconcile(the_vendor())
    rows = TrackedTask.objects.values_list(
        "rerun_if_lost", "time_limit", "soft_time_limit", "queue", "max_attempts"
    )
    assert list(rows) == [(False, 60, 50, "q", 2)] * 2


# Met by success


def test_success_achieves_where_that_was_said() -> None:
    goal = pursue()
    work()
    goal.refresh()
    assert (goal.state, goal.row.late) == ("ACHIEVED", False)
    assert goal.evidence == {"task": str(goal.attempts()[0].task_id)}
    assert goal.attempts()[0].state == "SUCCESS"
    assert fold_holds()


def test_success_that_achieved_nothing_is_not_enough() -> None:
    goal = pursue(achieve_on_success=False)
    work()
    assert goal.refresh().state == "OPEN"
    assert fold_holds()


# Pursued again


def test_failed_task_is_followed_by_another_after_the_pause() -> None:
    goal = pursue(task=fails)
    work()
    assert goal.refresh().state == "OPEN"
    assert "ValueError: no" in goal.attempts()[0].error
    assert pursuit.reconcile(the_vendor()) == 0
    over(goal)
    assert pursuit.reconcile(the_vendor()) == 1
    assert goal.refresh().state == "ACTIVE"
    assert [a.state for a in goal.attempts()] == ["FAILURE", "PENDING"]
    assert fold_holds()


@override_settings(TASKTRACK={"GOAL_BACKOFF": 10})
def test_pause_doubles_with_each_task() -> None:
    goal, pauses = pursue(task=fails), []
    for _ in range(4):
        work()
        goal.refresh()
        assert goal.row.next_attempt_at
        pauses.append((goal.row.next_attempt_at - the_vendor().now()).total_seconds())
        over(goal)
        pursuit.reconcile(the_vendor())
    assert pauses == pytest.approx([10, 20, 40, 80], abs=3)


def test_revoked_task_is_followed_by_another() -> None:
    goal = pursue()
    transitions.revoke([goal.attempts()[0].task_id], reason="not wanted")
    assert goal.refresh().state == "OPEN"
    assert goal.attempts()[0].error == "not wanted"
    assert fold_holds()


def test_lost_worker_does_not_end_the_pursuit() -> None:
    goal = pursue()
    worker = make_worker()
    claim_all(worker.pk)
    Worker.objects.filter(pk=worker.pk).update(stopped_at=the_vendor().now())
    transitions.rescue(the_vendor(), 5.0)
    assert goal.attempts()[0].state == "RETRY"
    assert fold_holds()
    work()
    assert goal.refresh().state == "ACHIEVED"


def test_budget_ends_the_pursuit() -> None:
    goal = pursue(task=fails, max_attempts=2)
    work()
    over(goal)
    pursuit.reconcile(the_vendor())
    work()
    assert goal.refresh().state == "FAILED"
    assert goal.row.reason == "2 of 2 tasks used: ValueError: no"
    assert goal.row.settled_at
    assert pursuit.reconcile(the_vendor()) == 0
    assert fold_holds()


def test_budget_that_successes_used_up_says_so() -> None:
    goal = pursue(achieve_on_success=False, max_attempts=1)
    work()
    assert goal.refresh().row.reason == ("1 of 1 tasks used: the last ended without achieving it")


def test_budget_comes_from_the_settings_unless_given() -> None:
    assert pursue().row.max_attempts == 5
    assert pursue(key="x", max_attempts=None).row.max_attempts is None


def test_one_round_starts_one_task_a_goal() -> None:
    for number in range(3):
        pursue(key=str(number), task=fails)
    work()
    Goal.objects.update(next_attempt_at=the_vendor().now() - timedelta(seconds=1))
    assert pursuit.reconcile(the_vendor(), limit=2) == 2
    assert pursuit.reconcile(the_vendor()) == 1
    assert pursuit.reconcile(the_vendor()) == 0
    assert TrackedTask.objects.due().count() == 3


# Deadline


def test_goal_that_exists_may_be_asked_for_again_after_its_deadline() -> None:
    at = the_vendor().now() + timedelta(hours=1)
    goal = pursue(deadline=at)
    Goal.objects.update(deadline=at - timedelta(days=1))
    assert pursue(deadline=at - timedelta(days=1)).row.pk == goal.row.pk


def test_goal_is_not_reopened_for_a_deadline_in_the_past() -> None:
    pursue().abandon()
    with pytest.raises(InvalidTask, match="lies in the past"):
        pursue(deadline=datetime(2020, 1, 1, tzinfo=UTC), reopen=True)
    assert goals.get(KIND, KEY).state == "ABANDONED"


def test_deadline_that_passes_misses_the_goal() -> None:
    goal = pursue(deadline=timedelta(hours=1))
    assert pursuit.reconcile(the_vendor()) == 0
    Goal.objects.update(deadline=the_vendor().now() - timedelta(seconds=1))
    assert pursuit.reconcile(the_vendor()) == 1
    assert (goal.refresh().state, goal.row.reason) == ("MISSED", "deadline passed")
    assert pursuit.reconcile(the_vendor()) == 0


def test_late_achievement_of_a_missed_goal_counts_and_is_marked() -> None:
    goal = overdue()
    pursuit.reconcile(the_vendor())
    work()
    assert (goal.refresh().state, goal.row.late, goal.row.reason) == ("ACHIEVED", True, "")


def test_achievement_after_the_deadline_is_late_although_nobody_had_missed_it() -> None:
    goal = overdue()
    assert goal.achieve()
    assert goal.row.late


def test_missed_goal_is_late_although_its_deadline_was_moved_since() -> None:
    goal = overdue()
    pursuit.reconcile(the_vendor())
    Goal.objects.update(deadline=None)
    assert goal.achieve()
    assert goal.row.late


def test_missed_goal_gets_no_more_tasks() -> None:
    goal = overdue(task=fails)
    pursuit.reconcile(the_vendor())
    work()
    assert goal.refresh().state == "MISSED"
    assert goal.row.next_attempt_at is None


# Achieve


def test_achieve_outside_of_a_task() -> None:
    goal = pursue(achieve_on_success=False)
    assert goal.achieve(evidence={"number": [1]})
    assert (goal.state, goal.evidence) == ("ACHIEVED", {"number": [1]})
    assert goals.get(KIND, KEY).evidence == {"number": [1]}
    assert not goal.achieve(evidence="other")
    assert goals.get(KIND, KEY).evidence == {"number": [1]}


def test_achieve_inside_its_task() -> None:
    goal = pursue(task=achieves, args=[KIND, KEY, "receipt"], achieve_on_success=False)
    work()
    assert (goal.refresh().state, goal.evidence) == ("ACHIEVED", "receipt")
    assert fold_holds()


def test_achievement_is_rolled_back_with_the_body() -> None:
    goal = pursue(
        task=achieves,
        args=[KIND, KEY, "receipt"],
        kwargs={"then_fail": True},
        achieve_on_success=False,
    )
    claim = claim_all(make_worker().pk)[0]
    outcome = run(claim)
    assert outcome.error
    assert outcome.error.message == "after achieving"
    assert (goal.refresh().state, goal.evidence) == ("ACTIVE", None)


def lose_by_rescue(claim: Claim) -> None:
    Worker.objects.filter(pk=claim.worker_id).update(stopped_at=the_vendor().now())
    transitions.rescue(the_vendor(), 5.0)


def lose_by_kill(claim: Claim) -> None:
    transitions.revoke([claim.task_id], signal="SIGKILL")


@pytest.mark.parametrize("lose", [lose_by_rescue, lose_by_kill])
def test_attempt_that_lost_its_lease_achieves_nothing(lose: Callable[[Claim], None]) -> None:
    goal = pursue(achieve_on_success=False)
    (claim,) = claim_all(make_worker().pk)
    begin(claim)
    lose(claim)
    with attempt_of(claim), pytest.raises(LeaseLost):
        _business_and(goal.achieve)
    assert goal.refresh().state in {"ACTIVE", "OPEN"}
    assert not Entry.objects.exists()


@transaction.atomic
def _business_and(achieve: Callable[[], bool]) -> None:
    Entry.objects.create(text="business")
    achieve()


def test_attempt_with_its_lease_achieves() -> None:
    goal = pursue(achieve_on_success=False)
    (claim,) = claim_all(make_worker().pk)
    with attempt_of(claim):
        assert goal.achieve()
    assert context.current() is None


def test_bad_evidence_is_refused() -> None:
    goal = pursue()
    with pytest.raises(PayloadError, match=r"^evidence"):
        goal.achieve(evidence=object())
    assert goal.refresh().state == "ACTIVE"


# Given up, and taken up again


def test_abandoned_goal_gets_no_more_tasks() -> None:
    goal = pursue(task=fails)
    assert goal.abandon("customer left")
    assert not goal.abandon("again")
    work()
    assert (goal.refresh().state, goal.row.reason) == ("ABANDONED", "customer left")
    assert goal.attempts()[0].state == "FAILURE"
    assert pursuit.reconcile(the_vendor()) == 0


def test_reason_of_giving_up_can_be_stored_anywhere() -> None:
    goal = pursue()
    goal.abandon("a\x00\ud800" + "b" * 999)
    assert goal.refresh().row.reason == ("a\\x00\\ud800" + "b" * 999)[:255]


def test_achieved_goal_cannot_be_abandoned() -> None:
    goal = pursue()
    goal.achieve()
    assert not goal.abandon()
    assert goal.refresh().state == "ACHIEVED"


def closed(how: str) -> PursuedGoal:
    goal = pursue(task=fails, max_attempts=1)
    if how == "ABANDONED":
        goal.abandon("customer left")
    elif how == "MISSED":
        Goal.objects.update(deadline=datetime(2020, 1, 1, tzinfo=UTC))
        pursuit.reconcile(the_vendor())
    work()
    assert goal.refresh().state == how
    return goal


@pytest.mark.parametrize("how", ["FAILED", "MISSED", "ABANDONED"])
def test_closed_goal_is_pursued_again_only_if_that_is_said(how: str) -> None:
    closed(how)
    with pytest.raises(GoalClosed, match=f"is {how}: .*Hint: Pass reopen=True"):
        pursue()
    assert TrackedTask.objects.count() == 1
    again = pursue(reopen=True, args=["fresh"], max_attempts=2)
    assert (again.state, again.row.attempts, again.row.max_attempts) == ("ACTIVE", 2, 3)
    assert (again.row.reason, again.row.settled_at, again.row.deadline) == ("", None, None)
    work()
    assert again.refresh().state == "ACHIEVED"
    assert [a.number for a in again.attempts()] == [1, 2]
    assert fold_holds()


def test_older_task_that_still_ran_does_not_open_the_goal_again() -> None:
    goal = pursue(task=fails)
    (old,) = claim_all(make_worker().pk)
    begin(old)
    goal.abandon()
    pursue(task=fails, reopen=True)
    finish(old, failed(ValueError("old")))
    assert goal.refresh().state == "ACTIVE"
    assert fold_holds()
    work()
    assert goal.refresh().state == "OPEN"
    assert fold_holds()


def test_goal_waits_for_the_last_of_its_live_tasks() -> None:
    goal = pursue(task=fails)
    (old,) = claim_all(make_worker().pk)
    begin(old)
    goal.abandon()
    pursue(task=fails, reopen=True)
    work()
    assert goal.refresh().state == "ACTIVE"
    finish(old, failed(ValueError("old")))
    assert goal.refresh().state == "OPEN"
    assert fold_holds()


def test_task_of_a_failed_goal_that_runs_again_takes_it_up_again() -> None:
    goal = pursue(task=fails, max_attempts=2)
    work()
    over(goal)
    pursuit.reconcile(the_vendor())
    work()
    first = goal.attempts()[0].task_id
    transitions.rerun([first])
    assert (goal.refresh().state, goal.row.settled_at) == ("ACTIVE", None)
    assert fold_holds()
    work()
    assert goal.refresh().state == "FAILED"
    assert fold_holds()


def test_success_of_a_rerun_achieves() -> None:
    goal = pursue(max_attempts=1)
    (claim,) = claim_all(make_worker().pk)
    finish(claim, failed(ValueError()))
    assert goal.refresh().state == "FAILED"
    transitions.rerun([claim.task_id])
    work()
    assert goal.refresh().state == "ACHIEVED"
    assert fold_holds()


# Status


def test_status_reads_the_goal_and_then_its_task() -> None:
    goal = pursue()
    (claim,) = claim_all(make_worker().pk)
    begin(claim)
    status = goals.get(KIND, KEY).status()
    assert (status.state, status.task_state, status.attempts) == ("ACTIVE", "STARTED", 1)
    assert status.task
    assert status.task.id == str(claim.task_id)
    finish(claim, succeeded("1"))
    assert (goal.status().state, goal.status().task_state) == ("ACHIEVED", "SUCCESS")


# Tasks that are gone


def test_attempts_survive_the_purge_of_their_tasks() -> None:
    goal = pursue()
    work()
    purge(older_than=-60)
    assert not TrackedTask.objects.exists()
    (attempt,) = goal.attempts()
    assert (attempt.state, attempt.started_at is None, attempt.finished_at is None) == (
        "SUCCESS", False, False,
    )  # fmt: skip
    assert goal.status().task is None
    assert fold_holds()


def deleted_by_hand(goal: PursuedGoal) -> None:
    TrackedTask.objects.filter(goal=goal.row)._raw_delete("default")


def test_goal_whose_task_vanished_goes_on() -> None:
    goal = pursue()
    assert pursuit.adopt_orphans(the_vendor()) == 0
    deleted_by_hand(goal)
    assert pursuit.adopt_orphans(the_vendor()) == 1
    assert goal.refresh().state == "OPEN"
    assert goal.attempts()[0].error == "its task is gone"
    assert fold_holds()
    over(goal)
    pursuit.reconcile(the_vendor())
    work()
    assert goal.refresh().state == "ACHIEVED"


def test_vanished_tasks_use_the_budget_up() -> None:
    goal = pursue(max_attempts=1)
    deleted_by_hand(goal)
    pursuit.adopt_orphans(the_vendor())
    assert (goal.refresh().state, goal.row.reason) == (
        "FAILED",
        "1 of 1 tasks used: its task is gone",
    )
    assert fold_holds()


def test_goal_with_an_older_live_task_is_no_orphan() -> None:
    goal = pursue(task=fails)
    work()
    first = goal.attempts()[0].task_id
    over(goal)
    pursuit.reconcile(the_vendor())
    work()
    transitions.rerun([first])
    assert pursuit.adopt_orphans(the_vendor()) == 0
    assert goal.refresh().state == "ACTIVE"


def test_other_tasks_touch_no_goal() -> None:
    goal = pursue()
    finish(claimed(queue="other"), succeeded("1"))
    assert row(goal.attempts()[0].task_id).state == State.PENDING
    assert goal.refresh().state == "ACTIVE"
