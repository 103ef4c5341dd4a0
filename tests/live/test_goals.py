"""Goals, served by real tasks: what achieves them, and what outlives what."""

from __future__ import annotations

from pathlib import Path

from django.core.management import call_command

from django_tasktrack import AsyncResult, goals
from django_tasktrack.models import GoalAttempt, TrackedTask
from tests import invariants, ledger
from tests.app import tasks
from tests.workers import wait_until, worker

KIND = "invoice.delivered"


def test_a_task_achieves_its_goal_with_its_own_writes() -> None:
    goal = goals.pursue(
        KIND, key="INV-1", task=tasks.achieves, args=[KIND, "INV-1"], kwargs={"evidence": {"n": 1}}
    )
    assert goal.state == "ACTIVE"
    with worker():
        wait_until(lambda: goals.get(KIND, "INV-1").state == "ACHIEVED")
    assert goals.get(KIND, "INV-1").evidence == {"n": 1}
    invariants.check()


def test_what_the_body_rolls_back_achieves_nothing() -> None:
    goal = goals.pursue(
        KIND,
        key="INV-2",
        task=tasks.achieves,
        args=[KIND, "INV-2"],
        kwargs={"then_fail": True},
        max_attempts=1,
    )
    with worker():
        wait_until(lambda: goal.refresh().state == "FAILED")
    assert goal.evidence is None
    assert [attempt.state for attempt in goal.attempts()] == ["FAILURE"]
    assert "after achieving" in goal.attempts()[0].error


def test_success_achieves_where_that_was_asked_for() -> None:
    kept = goals.pursue(KIND, key="INV-3", task=tasks.add, args=[1, 2], achieve_on_success=True)
    open_still = goals.pursue(KIND, key="INV-4", task=tasks.add, args=[1, 2])
    with worker():
        wait_until(lambda: kept.refresh().state == "ACHIEVED")
        wait_until(lambda: open_still.refresh().state == "OPEN")
    assert kept.evidence == {"task": str(kept.attempts()[0].task_id)}


def test_an_unmet_goal_is_pursued_again_until_it_is_met(book: Path) -> None:
    goal = goals.pursue(
        KIND, key="INV-5", task=tasks.succeeds_at_last, args=[3], achieve_on_success=True
    )
    with worker(tasktrack={"GOAL_BACKOFF": 0.2}):
        wait_until(lambda: goal.refresh().state == "ACHIEVED", timeout=20)
    assert [attempt.state for attempt in goal.attempts()] == ["FAILURE", "FAILURE", "SUCCESS"]
    assert len({attempt.task_id for attempt in goal.attempts()}) == 3
    assert len(ledger.read(book)) == 3
    invariants.check()


def test_a_killed_worker_does_not_lose_the_goal(book: Path) -> None:
    goal = goals.pursue(KIND, key="INV-6", task=tasks.noted, args=[6, 1.0], achieve_on_success=True)
    with worker() as first:
        wait_until(lambda: goal.status().task_state == "STARTED")
        first.kill_tree()
    with worker():
        wait_until(lambda: goal.refresh().state == "ACHIEVED", timeout=20)
    assert len(goal.attempts()) == 1
    invariants.check()


def test_a_terminated_attempt_achieves_nothing(book: Path) -> None:
    goal = goals.pursue(KIND, key="INV-7", task=tasks.achieves_late, args=[KIND, "INV-7"])
    with worker(tasktrack={"TERMINATE_GRACE": 3, "GOAL_BACKOFF": 60}):
        wait_until(lambda: ledger.read(book))
        task = goal.status().task
        assert task is not None
        task.refresh()
        task.revoke(terminate=True, wait=True, timeout=15)
        wait_until(lambda: [e.event for e in ledger.read(book)] == ["began", "refused"])
    assert goal.refresh().state == "OPEN"
    assert goal.evidence is None
    invariants.check()


def test_goal_and_attempts_outlive_the_purge_of_their_task() -> None:
    goal = goals.pursue(KIND, key="INV-8", task=tasks.add, args=[1, 2], achieve_on_success=True)
    with worker():
        wait_until(lambda: goal.refresh().state == "ACHIEVED")
    task_id = goal.attempts()[0].task_id
    call_command("tasktrack", "purge", "--older-than", "0s")
    assert not TrackedTask.objects.exists()
    assert GoalAttempt.objects.get().state == "SUCCESS"
    assert goals.get(KIND, "INV-8").state == "ACHIEVED"
    assert goals.get(KIND, "INV-8").status().task is None
    assert AsyncResult(task_id).state == "EXPIRED"
