"""Purge: finished tasks whose retention is over, with all that hangs on them; goals stay."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from django_tasktrack import AsyncResult, goals
from django_tasktrack.ids import new_id
from django_tasktrack.models import (
    Goal,
    GoalAttempt,
    Progress,
    PurgeHorizon,
    ScheduleSlot,
    StateChange,
    TrackedTask,
)
from django_tasktrack.purge import purge
from django_tasktrack.states import FINAL, UNFINISHED, State

from .app.tasks import echo
from .factories import make_goal, make_schedule, make_task
from .inline import the_vendor

pytestmark = pytest.mark.django_db
DAY = 86_400.0


def ended(task: TrackedTask, days: float) -> TrackedTask:
    """As if it had ended so long ago."""
    at = the_vendor().now() - timedelta(days=days)
    TrackedTask.objects.filter(pk=task.pk).update(finished_at=at)
    return task


def left() -> set[TrackedTask]:
    return set(TrackedTask.objects.all())


def test_old_finished_tasks_go_with_all_that_hangs_on_them() -> None:
    old = ended(make_task(State.SUCCESS, progress=(1, 2, "half")), 8)
    young = ended(make_task(State.SUCCESS, progress=(1, 2, "half")), 6)
    purged = {item.state: item.tasks for item in purge()}
    assert purged == {State.SUCCESS: 1, State.FAILURE: 0, State.REVOKED: 0}
    assert left() == {young}
    assert not StateChange.objects.filter(task_id=old.pk).exists()
    assert StateChange.objects.filter(task_id=young.pk).count() == 3
    assert [progress.task_id for progress in Progress.objects.all()] == [young.pk]


def test_slots_of_schedules_go_when_they_are_older_than_any_task_that_is_kept() -> None:
    row = make_schedule()

    def slot_of(task_id: UUID, days: float) -> ScheduleSlot:
        at = the_vendor().now() - timedelta(days=days)
        return ScheduleSlot.objects.create(
            schedule=row, name=row.name, slot=at, task_id=task_id, enqueued_at=at
        )

    old, young = slot_of(new_id(), 31), slot_of(new_id(), 29)
    waits = slot_of(make_task().pk, 1000)
    purge(dry_run=True)
    assert ScheduleSlot.objects.count() == 3
    purge()
    assert set(ScheduleSlot.objects.all()) == {young, waits}
    assert not ScheduleSlot.objects.filter(pk=old.pk).exists()
    with override_settings(TASKTRACK={"FAILURE_RETENTION": None}):
        slot_of(new_id(), 1000)
        purge()
    assert ScheduleSlot.objects.count() == 3, "where tasks are kept for ever, so are they"
    purge(older_than=0)
    assert list(ScheduleSlot.objects.all()) == [waits]


def test_unfinished_tasks_stay_however_old_they_are() -> None:
    kept = {ended(make_task(state), 1000) for state in sorted(UNFINISHED)}
    purge(older_than=0)
    assert left() == kept


@pytest.mark.parametrize(("state", "days"), [("SUCCESS", 7), ("REVOKED", 7), ("FAILURE", 30)])
def test_each_state_has_its_retention(state: str, days: int) -> None:
    ended(make_task(state), days + 0.01)
    kept = ended(make_task(state), days - 0.01)
    purge()
    assert left() == {kept}


@override_settings(TASKTRACK={"RETENTION": DAY, "FAILURE_RETENTION": 2 * DAY})
def test_settings_decide_how_long() -> None:
    tasks = {state: ended(make_task(state), 1.5) for state in sorted(FINAL)}
    purge()
    assert left() == {tasks[State.FAILURE]}


@pytest.mark.parametrize(
    ("name", "kept"),
    [("RETENTION", {State.SUCCESS, State.REVOKED}), ("FAILURE_RETENTION", {State.FAILURE})],
)
def test_retention_of_none_is_for_ever(name: str, kept: set[State]) -> None:
    tasks = {state: ended(make_task(state), 1000) for state in sorted(FINAL)}
    with override_settings(TASKTRACK={name: None}):
        assert {item.state for item in purge()} == FINAL - kept
        assert left() == {tasks[state] for state in kept}
        purge(older_than=0)  # asked for by its own words
    assert left() == set()


def test_age_that_is_given_is_for_all_states() -> None:
    kept = {ended(make_task(state), 0.9) for state in sorted(FINAL)}
    for state in sorted(FINAL):
        ended(make_task(state), 1.1)
    purge(older_than=DAY)
    assert left() == kept


def test_dry_run_counts_alone() -> None:
    tasks = {ended(make_task(State.SUCCESS), 8) for _ in range(3)}
    assert {item.tasks for item in purge(dry_run=True)} == {3, 0}
    assert left() == tasks
    assert not PurgeHorizon.objects.exists()


def test_more_than_one_batch_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_tasktrack.purge.BATCH", 2)
    for _ in range(5):
        ended(make_task(State.REVOKED), 8)
    assert sum(item.tasks for item in purge()) == 5
    assert left() == set()


# What is still known of them


def test_purged_task_is_expired_and_not_unknown() -> None:
    early, old = echo.delay(), ended(make_task(State.SUCCESS), 8)
    assert AsyncResult(old.pk).state == "SUCCESS"
    purge()
    result = AsyncResult(old.pk)
    assert (result.state, result.expired, result.ready(), result.exists()) == (
        "EXPIRED", True, True, False,
    )  # fmt: skip
    assert early.state == "PENDING"


def test_ids_that_were_never_issued_or_lie_after_the_horizon_stay_unknown() -> None:
    ended(make_task(State.SUCCESS), 8)
    purge()
    assert AsyncResult(new_id()).state == "UNKNOWN"
    assert AsyncResult("00000000-0000-7000-8000-000000000000").state == "UNKNOWN"


def test_horizon_never_moves_back() -> None:
    older, newer = (make_task(State.SUCCESS) for _ in range(2))
    ended(newer, 8)
    purge()
    ended(older, 8)
    purge()
    assert PurgeHorizon.objects.get().task_id == newer.pk
    assert {AsyncResult(task.pk).state for task in (older, newer)} == {"EXPIRED"}


def test_nothing_is_expired_before_the_first_purge() -> None:
    assert AsyncResult(new_id()).state == "UNKNOWN"


def test_goals_and_the_evidence_of_their_attempts_stay() -> None:
    goal = make_goal()
    task = ended(make_task(State.FAILURE, goal=goal), 31)
    before = list(GoalAttempt.objects.values()), list(Goal.objects.values())
    purge()
    assert left() == set()
    assert (list(GoalAttempt.objects.values()), list(Goal.objects.values())) == before
    (attempt,) = goals.get(goal.kind, goal.key).attempts()
    assert (attempt.task_id, attempt.state) == (task.pk, "FAILURE")
    assert "no such invoice" in attempt.error
    status = goals.get(goal.kind, goal.key).status()
    assert (status.task, status.task_state) == (None, None)


# The command


@pytest.fixture
def command() -> Callable[..., str]:
    def run(*args: str) -> str:
        out = StringIO()
        call_command("tasktrack", "purge", *args, stdout=out)
        return out.getvalue()

    return run


def test_command_says_what_it_deleted(command: Callable[..., str]) -> None:
    ended(make_task(State.FAILURE), 31)
    told = command()
    assert "Deleted 1 FAILURE tasks that ended before " in told
    assert "Deleted 0 SUCCESS tasks" in told
    assert told.endswith("Goals and their attempts stay.\n")
    assert left() == set()


def test_command_can_only_count(command: Callable[..., str]) -> None:
    kept = ended(make_task(State.SUCCESS), 8)
    assert "Would delete 1 SUCCESS tasks" in command("--dry-run")
    assert left() == {kept}


def test_command_speaks_json(command: Callable[..., str]) -> None:
    ended(make_task(State.REVOKED), 8)
    assert json.loads(command("--json")) == {"FAILURE": 0, "REVOKED": 1, "SUCCESS": 0}


@pytest.mark.parametrize(
    ("text", "hours"), [("90m", 1.5), ("12h", 12), ("3d", 72), ("1w", 168), ("2", 48), ("0.5d", 12)]
)
def test_command_reads_durations(text: str, hours: float, command: Callable[..., str]) -> None:
    ended(make_task(State.SUCCESS), hours / 24 + 0.01)
    kept = ended(make_task(State.SUCCESS), hours / 24 - 0.01)
    command("--older-than", text)
    assert left() == {kept}


@pytest.mark.parametrize("text", ["", "soon", "-1d", "7y", "1e3"])
def test_command_refuses_what_is_no_duration(text: str, command: Callable[..., str]) -> None:
    with pytest.raises(CommandError, match="no duration"):
        command(f"--older-than={text}")
