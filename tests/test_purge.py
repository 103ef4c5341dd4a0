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

from django_tasktrack import AsyncResult, goals, group, registry, task
from django_tasktrack.exceptions import ResultExpired
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
from django_tasktrack.purge import Purged, purge
from django_tasktrack.states import FINAL, UNFINISHED, State

from .app.tasks import echo
from .factories import make_goal, make_schedule, make_task, make_worker
from .inline import claim_all, finish, row, run, the_vendor

pytestmark = pytest.mark.django_db
DAY = 86_400.0


def ended(one: TrackedTask, days: float) -> TrackedTask:
    """As if it had ended so long ago."""
    at = the_vendor().now() - timedelta(days=days)
    TrackedTask.objects.filter(pk=one.pk).update(finished_at=at)
    return one


def left() -> set[TrackedTask]:
    return set(TrackedTask.objects.all())


def test_old_finished_tasks_go_with_all_that_hangs_on_them() -> None:
    old = ended(make_task(State.SUCCESS, progress=(1, 2, "half")), 15)
    young = ended(make_task(State.SUCCESS, progress=(1, 2, "half")), 13)
    purged = {item.state: item.tasks for item in purge()}
    assert purged == {State.SUCCESS: 1, State.FAILURE: 0, State.REVOKED: 0}
    assert left() == {young}
    assert not StateChange.objects.filter(task_id=old.pk).exists()
    assert StateChange.objects.filter(task_id=young.pk).count() == 3
    assert [progress.task_id for progress in Progress.objects.all()] == [young.pk]


def test_slots_of_schedules_go_when_they_are_older_than_any_task_that_is_kept() -> None:
    schedule = make_schedule()

    def slot_of(task_id: UUID, days: float) -> ScheduleSlot:
        at = the_vendor().now() - timedelta(days=days)
        return ScheduleSlot.objects.create(
            schedule=schedule, name=schedule.name, slot=at, task_id=task_id, enqueued_at=at
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


@pytest.mark.parametrize(("state", "days"), [("SUCCESS", 14), ("REVOKED", 14), ("FAILURE", 30)])
def test_each_state_has_its_retention(state: str, days: int) -> None:
    ended(make_task(state), days + 0.01)
    kept = ended(make_task(state), days - 0.01)
    purge()
    assert left() == {kept}


@override_settings(
    TASKTRACK={"RETENTION": DAY, "FAILURE_RETENTION": 2 * DAY, "REVOKED_RETENTION": DAY}
)
def test_settings_decide_how_long() -> None:
    tasks = {state: ended(make_task(state), 1.5) for state in sorted(FINAL)}
    purge()
    assert left() == {tasks[State.FAILURE]}


@pytest.mark.parametrize(
    ("name", "kept"),
    [("RETENTION", "SUCCESS"), ("FAILURE_RETENTION", "FAILURE"), ("REVOKED_RETENTION", "REVOKED")],
)
def test_retention_of_none_is_for_ever(name: str, kept: str) -> None:
    tasks = {state: ended(make_task(state), 1000) for state in sorted(FINAL)}
    with override_settings(TASKTRACK={name: None}):
        assert {item.state for item in purge() if item.tasks} == FINAL - {kept}
        assert left() == {tasks[State(kept)]}
        purge(older_than=0)  # asked for by its own words
    assert left() == set()


def test_age_that_is_given_is_for_all_states() -> None:
    kept = {ended(make_task(state), 0.9) for state in sorted(FINAL)}
    for state in sorted(FINAL):
        ended(make_task(state), 1.1)
    purge(older_than=DAY)
    assert left() == kept


def test_dry_run_counts_alone() -> None:
    tasks = {ended(make_task(State.SUCCESS), 15) for _ in range(3)}
    assert {item.tasks for item in purge(dry_run=True)} == {3, 0}
    assert left() == tasks
    assert not PurgeHorizon.objects.exists()


def test_more_than_one_batch_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_tasktrack.purge.BATCH", 2)
    for _ in range(5):
        ended(make_task(State.REVOKED), 15)
    assert sum(item.tasks for item in purge()) == 5
    assert left() == set()


# Values


def test_value_goes_first_and_its_row_says_so() -> None:
    old = ended(make_task(State.SUCCESS, result={"rows": 3}), 8)
    young = ended(make_task(State.SUCCESS, result={"rows": 4}), 6)
    failed = ended(make_task(State.FAILURE), 8)
    before = list(StateChange.objects.order_by("task_id", "seq").values())
    assert {item.state: item.values for item in purge() if item.values} == {State.SUCCESS: 1}
    result = AsyncResult(old.pk)
    assert (result.state, result.successful(), result.ready()) == ("SUCCESS", True, True)
    assert result.result_expired_at is not None
    for name in ("get", "maybe_throw", "result", "info"):
        with pytest.raises(
            ResultExpired, match=r"has succeeded, but the value .* was kept until 2"
        ):
            getattr(result, name)()  # a property raises before it could be called
    assert AsyncResult(young.pk).get() == {"rows": 4}
    assert AsyncResult(young.pk).result_expired_at is None
    assert AsyncResult(failed.pk).failed()
    assert TrackedTask.objects.get(pk=failed.pk).traceback
    assert list(StateChange.objects.order_by("task_id", "seq").values()) == before
    assert purge() == [Purged(state, 0, 0) for state in sorted(FINAL)], "nothing is left to do"


def test_none_that_was_returned_stays_what_it_is() -> None:
    old = ended(make_task(State.SUCCESS, result=None), 8)
    purge()
    result = AsyncResult(old.pk)
    assert (result.get(), result.result_expired_at) == (None, None)


def test_value_goes_with_a_row_that_is_kept_no_longer() -> None:
    old = ended(make_task(State.SUCCESS, result=1), 2)
    with override_settings(TASKTRACK={"RETENTION": DAY}):
        assert {item.state: item.values for item in purge()}[State.SUCCESS] == 0
    assert left() == set()
    assert AsyncResult(old.pk).state == "EXPIRED"


def test_value_of_none_is_for_ever_and_so_is_its_row() -> None:
    old = ended(make_task(State.SUCCESS, result=1), 1000)
    with override_settings(TASKTRACK={"result_expires": None}):
        purge()
    assert AsyncResult(old.pk).get() == 1


def test_values_of_a_group_stay_until_all_of_it_has_ended() -> None:
    result = group(echo.s(1), echo.s(2)).delay()
    first, second = claim_all(make_worker().pk)
    finish(first, run(first))
    ended(row(first.task_id), 1000)
    purge()
    assert row(first.task_id).result == 1
    finish(second, run(second))
    assert result.get(timeout=0) == [1, 2]
    purge()
    assert left() == {row(second.task_id)}


# Tasks that say it for themselves


@pytest.fixture
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_definitions", dict(registry._definitions))


@pytest.mark.usefixtures("_own_registry")
def test_task_has_a_retention_of_its_own() -> None:
    @task(name="ticks", result_expires=3600, retention=7200, failure_retention=None)
    def ticks() -> None: ...

    days = 3 / 24
    ended(make_task(State.SUCCESS, name="ticks", result=1), days)
    fresh = ended(make_task(State.SUCCESS, name="ticks", result=1), days / 2)
    failed = ended(make_task(State.FAILURE, name="ticks"), 1000)
    other = ended(make_task(State.SUCCESS, result=1), days)
    purge()
    assert left() == {fresh, failed, other}
    assert (row(fresh.pk).result, row(other.pk).result) == (None, 1)


@pytest.mark.usefixtures("_own_registry")
def test_annotations_say_it_by_name_and_by_glob() -> None:
    given = {"reports.*": {"retention": DAY}, "reports.yearly": {"retention": None}}
    with override_settings(TASKTRACK={"TASK_ANNOTATIONS": given}):
        for name in ("reports.daily", "reports.yearly"):
            task(name=name)(lambda: None)
        tasks = {
            name: ended(make_task(State.SUCCESS, name=name), days)
            for name, days in {"reports.daily": 2, "reports.yearly": 1000}.items()
        }
        purge()
    assert left() == {tasks["reports.yearly"]}


def test_tasks_that_only_other_workers_know_are_theirs() -> None:
    theirs = ended(make_task(State.SUCCESS, name="of.others"), 1000)
    nobodys = ended(make_task(State.SUCCESS, name="of.nobody"), 1000)
    other = make_worker(known_tasks=["of.others"])
    purge()
    assert left() == {theirs}
    assert nobodys not in left()
    type(other).objects.filter(pk=other.pk).update(stopped_at=the_vendor().now())
    purge()
    assert left() == set()


# What is still known of them


def test_purged_task_is_expired_and_not_unknown() -> None:
    early, old = echo.delay(), ended(make_task(State.SUCCESS), 15)
    assert AsyncResult(old.pk).state == "SUCCESS"
    purge()
    result = AsyncResult(old.pk)
    assert (result.state, result.expired, result.ready(), result.exists()) == (
        "EXPIRED", True, True, False,
    )  # fmt: skip
    assert early.state == "PENDING"


def test_ids_that_were_never_issued_or_lie_after_the_horizon_stay_unknown() -> None:
    ended(make_task(State.SUCCESS), 15)
    purge()
    assert AsyncResult(new_id()).state == "UNKNOWN"
    assert AsyncResult("00000000-0000-7000-8000-000000000000").state == "UNKNOWN"


def test_horizon_never_moves_back() -> None:
    older, newer = (make_task(State.SUCCESS) for _ in range(2))
    ended(newer, 15)
    purge()
    ended(older, 15)
    purge()
    assert PurgeHorizon.objects.get().task_id == newer.pk
    assert {AsyncResult(task.pk).state for task in (older, newer)} == {"EXPIRED"}


def test_an_id_that_a_caller_chose_does_not_move_the_horizon() -> None:
    ours, chosen = make_task(State.SUCCESS), make_task(State.SUCCESS, task_id=UUID(int=2**128 - 1))
    for one in (ours, chosen):
        ended(one, 15)
    purge()
    assert left() == set()
    assert PurgeHorizon.objects.get().task_id == ours.pk
    assert AsyncResult(new_id()).state == "UNKNOWN"


def test_nothing_is_expired_before_the_first_purge() -> None:
    assert AsyncResult(new_id()).state == "UNKNOWN"


def test_goals_and_the_evidence_of_their_attempts_stay() -> None:
    goal = make_goal()
    one = ended(make_task(State.FAILURE, goal=goal), 31)
    before = list(GoalAttempt.objects.values()), list(Goal.objects.values())
    purge()
    assert left() == set()
    assert (list(GoalAttempt.objects.values()), list(Goal.objects.values())) == before
    (attempt,) = goals.get(goal.kind, goal.key).attempts()
    assert (attempt.task_id, attempt.state) == (one.pk, "FAILURE")
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
    assert "Deleted 1 FAILURE tasks, emptied 0 values." in told
    assert "Deleted 0 SUCCESS tasks" in told
    assert told.endswith("Goals and their attempts stay.\n")
    assert left() == set()


def test_command_can_only_count(command: Callable[..., str]) -> None:
    kept = {ended(make_task(State.SUCCESS, result=1), days) for days in (8, 9, 15)}
    assert "Would delete 1 SUCCESS tasks, would empty 2 values." in command("--dry-run")
    assert left() == kept
    assert {task.result for task in left()} == {1}


def test_command_speaks_json(command: Callable[..., str]) -> None:
    ended(make_task(State.REVOKED), 15)
    ended(make_task(State.SUCCESS, result=1), 8)
    assert json.loads(command("--json")) == {
        "FAILURE": {"deleted": 0, "emptied": 0},
        "REVOKED": {"deleted": 1, "emptied": 0},
        "SUCCESS": {"deleted": 0, "emptied": 1},
    }


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
