"""What waits in each queue is told in few questions; what is more than they reach is a lower bound."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_tasktrack.models import TrackedTask
from django_tasktrack.overview import queues
from django_tasktrack.overview.queues import QueueFigures, ahead_in_queue, queue_figures
from django_tasktrack.states import Stage
from tests.factories import make_task, make_worker
from tests.inline import enqueue, row, the_vendor

pytestmark = pytest.mark.django_db


def figures() -> dict[str, QueueFigures]:
    return {queue.name: queue for queue in queue_figures(the_vendor(), the_vendor().now())}


def counts(queue: QueueFigures) -> tuple[int, int, int, int]:
    return queue.due, queue.scheduled, queue.held, queue.claimed


def fill() -> None:
    worker = make_worker()
    for _ in range(3):
        enqueue(queue="mail")
    enqueue(queue="mail", delay=60.0)
    enqueue(queue="web", name="nobody.knows")
    TrackedTask.objects.filter(name="nobody.knows").update(stage=Stage.HELD)
    make_task("STARTED", worker=worker, queue="slow")
    make_task("SUCCESS", worker=worker, queue="past")


def test_every_stage_is_counted_by_queue() -> None:
    fill()
    found = figures()
    assert {name: counts(queue) for name, queue in found.items()} == {
        "mail": (3, 1, 0, 0),
        "slow": (0, 0, 0, 1),
        "web": (0, 0, 1, 0),
    }
    assert not any(queue.at_least for queue in found.values())


def test_wait_is_that_of_the_oldest_due_task() -> None:
    fill()
    oldest = enqueue(queue="mail", priority=-5)
    earlier = the_vendor().now() - timedelta(minutes=2)
    TrackedTask.objects.filter(pk=oldest.task_id).update(run_after=earlier)
    found = figures()
    assert (found["mail"].waited or timedelta(0)).total_seconds() == pytest.approx(120, abs=5)
    assert found["slow"].waited is None


def test_a_question_a_stage_tells_it() -> None:
    fill()
    with CaptureQueriesContext(connection) as asked:
        queue_figures(the_vendor(), the_vendor().now())
    assert len([query for query in asked if "tasktrack_trackedtask" in query["sql"]]) == 5


def test_full_queue_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "LOOK", 5)
    for _ in range(9):
        enqueue(queue="a full one")
    enqueue(queue="z")
    enqueue(queue="z")
    found = figures()
    assert (found["a full one"].due, found["a full one"].at_least) == (5, frozenset({"due"}))
    assert (found["z"].due, found["z"].at_least) == (2, frozenset())


def test_counts_of_other_stages_become_lower_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "LOOK", 2)
    for _ in range(4):
        enqueue(queue="later", delay=60.0)
    (queue,) = figures().values()
    assert queue.scheduled >= 2
    assert queue.at_least == {"scheduled"}


def test_place_in_the_queue_is_by_priority_then_age() -> None:
    older, mine, urgent = (enqueue(priority=priority) for priority in (0, 0, 9))
    enqueue(priority=-9)
    enqueue(queue="other", priority=99)
    places = {new: ahead_in_queue(the_vendor(), row(new.task_id)) for new in (urgent, older, mine)}
    assert list(places.values()) == [(0, False), (1, False), (2, False)]


def test_place_far_behind_is_a_lower_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "LOOK", 2)
    for _ in range(2):
        enqueue(priority=1)
        enqueue()
    assert ahead_in_queue(the_vendor(), row(enqueue().task_id)) == (2, True)
