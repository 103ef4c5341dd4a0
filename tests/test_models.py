"""Models carry reads: what is kept cannot be changed or deleted through them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, models, transaction
from django.db.models import Q
from django.test.utils import isolate_apps
from django.utils import timezone

from django_tasktrack.exceptions import TasktrackError
from django_tasktrack.models import (
    Goal,
    PartialUnique,
    Progress,
    StateChange,
    TrackedTask,
    Worker,
)
from django_tasktrack.states import State

from .app.models import Entry
from .factories import make_goal, make_task, make_worker

pytestmark = pytest.mark.django_db

REFUSED: dict[str, Callable[[TrackedTask], Any]] = {
    "task.delete": lambda task: task.delete(),
    "tasks.delete": lambda _: TrackedTask.objects.all().delete(),
    "filtered tasks.delete": lambda task: TrackedTask.objects.filter(pk=task.pk).delete(),
    "worker's tasks.delete": lambda _: TrackedTask.objects.finished().delete(),
    "change.save": lambda task: task.history.get(seq=1).save(),
    "change.delete": lambda task: task.history.get(seq=1).delete(),
    "history.update": lambda _: StateChange.objects.update(state="SUCCESS"),
    "history.delete": lambda _: StateChange.objects.all().delete(),
    "task's history.update": lambda task: task.history.update(reason="x"),
    "task's history.delete": lambda task: task.history.all().delete(),
    "history.create": lambda task: StateChange.objects.create(
        task=task, seq=99, state="SUCCESS", attempt=1, lease=1, at=timezone.now()
    ),
    "history.bulk_update": lambda task: StateChange.objects.bulk_update(
        list(task.history.all()), ["reason"]
    ),
    "history.update_or_create": lambda task: StateChange.objects.update_or_create(
        {"reason": "x"}, task_id=task.pk, seq=1
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_history_and_tasks_are_kept(name: str) -> None:
    task = make_task(State.SUCCESS)
    before = list(StateChange.objects.values())
    with pytest.raises((TasktrackError, ValueError)), transaction.atomic():
        REFUSED[name](task)
    assert list(StateChange.objects.values()) == before
    assert TrackedTask.objects.filter(pk=task.pk).exists()


def test_refusal_names_the_way() -> None:
    with pytest.raises(TasktrackError, match=r"Hint: manage\.py tasktrack purge"):
        make_task().delete()


@pytest.mark.parametrize("state", State)
def test_label_is_shown_only_where_there_is_one(state: State) -> None:
    assert TrackedTask(state=state).shown_state == state
    assert TrackedTask(state=state, label="PROGRESS").shown_state == "PROGRESS"


@pytest.mark.parametrize(
    ("attempt", "losses", "retries"), [(0, 0, 0), (1, 0, 0), (3, 0, 2), (3, 2, 0), (1, 1, 0)]
)
def test_retries_are_attempts_that_ended_by_themselves(
    attempt: int, losses: int, retries: int
) -> None:
    assert TrackedTask(attempt=attempt, losses=losses).retries == retries


@pytest.mark.parametrize(
    ("current", "total", "percent"),
    [(None, 10, None), (1, None, None), (1, 0, None), (0, 4, 0), (1, 4, 25), (9, 4, 100), (-1, 4, 0)],
)  # fmt: skip
def test_percent_is_between_0_and_100(
    current: float | None, total: float | None, percent: float | None
) -> None:
    assert Progress(current=current, total=total).percent == percent


def test_time_left_goes_on_at_the_speed_so_far() -> None:
    began = timezone.now()
    progress = Progress(
        current=25, total=100, began_at=began, updated_at=began + timedelta(seconds=10)
    )
    assert progress.eta(began + timedelta(seconds=10)) == timedelta(seconds=30)
    assert progress.eta(began + timedelta(seconds=25)) == timedelta(seconds=15)
    assert progress.eta(began + timedelta(seconds=100)) == timedelta(0)


@pytest.mark.parametrize(("current", "total"), [(0, 10), (None, 10), (5, None), (-5, 10), (5, 10)])
def test_time_left_is_unknown_before_there_is_a_speed(
    current: float | None, total: float | None
) -> None:
    now = timezone.now()
    progress = Progress(current=current, total=total, began_at=now, updated_at=now)
    assert progress.eta(now) is None


def test_words_of_the_queryset() -> None:
    by_state = {state: make_task(state, queue=state.lower()) for state in State}
    found = TrackedTask.objects
    assert set(found.waiting()) == {by_state[State.PENDING], by_state[State.RETRY]}
    assert set(found.finished()) == {
        by_state[s] for s in (State.SUCCESS, State.FAILURE, State.REVOKED)
    }
    assert set(found.unfinished()) | set(found.finished()) == set(by_state.values())
    assert list(found.due()) == [by_state[State.PENDING]]
    assert list(found.for_queue("started", "none")) == [by_state[State.STARTED]]
    assert list(found.claimed_by(by_state[State.STARTED].worker_id or 0)) == [
        by_state[State.STARTED]
    ]


def test_worker_is_alive_until_it_stops_or_is_found_lost() -> None:
    now = timezone.now()
    workers = {
        "alive": make_worker(),
        "stopped": make_worker(stopped_at=now),
        "lost": make_worker(lost_at=now),
    }
    assert {word: worker.condition for word, worker in workers.items()} == {
        word: word for word in workers
    }
    assert list(Worker.objects.alive()) == [workers["alive"]]


@pytest.mark.django_db(transaction=True)
def test_constraint_is_there_on_a_table_that_is_made_whole() -> None:
    """As by migrate --run-syncdb, or by a squashed migration."""
    with isolate_apps("tests.app"):

        class Whole(models.Model):
            active_key = models.CharField(max_length=50, null=True)

            class Meta:
                app_label = "testapp"
                db_table = "tasktrack_whole"
                constraints = [
                    PartialUnique(
                        fields=["active_key"],
                        condition=Q(active_key__isnull=False),
                        name="tasktrack_whole_key",
                    )
                ]

            def __str__(self) -> str:
                return str(self.active_key)

    with connection.schema_editor() as editor:
        editor.create_model(Whole)
    try:
        for key in ("a", "b", None, None):
            Whole._default_manager.create(active_key=key)
        with pytest.raises(IntegrityError), transaction.atomic():
            Whole._default_manager.create(active_key="a")
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(Whole)


def test_goals_are_found_by_their_subject() -> None:
    entry = Entry.objects.create(text="x")
    goal = make_goal(subject_type="testapp.entry", subject_id=str(entry.pk))
    make_goal(key="other")
    make_goal(key="met", state=Goal.State.ACHIEVED)
    assert list(Goal.objects.for_subject(entry)) == [goal]
    assert Goal.objects.unmet().count() == 2
