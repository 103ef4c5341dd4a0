"""A worker's share of the schedules: when it looks, what it asks, and that it goes on."""

from __future__ import annotations

import logging
import math
import time
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import DataError, OperationalError, connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_tasktrack import maintenance, registry
from django_tasktrack.agenda import Agenda
from django_tasktrack.models import Schedule, ScheduleSlot, TrackedTask
from django_tasktrack.schedules import firing, scheduler
from django_tasktrack.schedules.scheduler import Scheduler
from tests.app.tasks import echo
from tests.factories import make_schedule
from tests.inline import the_vendor

pytestmark = pytest.mark.django_db

NOTHING = Agenda(False, None, False, False, False, False, False, False)


@pytest.fixture
def upkeep() -> maintenance.Maintenance:
    made = maintenance.Maintenance(the_vendor(), 1.0, 30.0, [], registry.names())
    made.run(time.monotonic())
    return made


def due_in(seconds: float, **values: Any) -> Schedule:
    return make_schedule(next_at=the_vendor().now() + timedelta(seconds=seconds), **values)


def count() -> int:
    return TrackedTask.objects.count()


def test_a_worker_brings_rows_in_line_before_it_runs_anything() -> None:
    due_in(-1, name="gone", declaration={})
    nightly = {"nightly": {"task": echo.name, "schedule": "0 3 * * *"}}
    with override_settings(TASKTRACK={**settings.TASKTRACK, "SCHEDULES": nightly}):
        made = maintenance.Maintenance(the_vendor(), 1.0, 30.0, [], registry.names())
        assert made.due_at <= time.monotonic()
        made.run(time.monotonic())
    assert Schedule.objects.get(name="nightly").next_at
    assert Schedule.objects.get(name="gone").withdrawn_at
    assert count() == 0


def test_it_wakes_up_for_the_next_slot(upkeep: maintenance.Maintenance) -> None:
    upkeep.heed(NOTHING._replace(slot_in=0.25))
    assert 0.1 < upkeep.due_at - time.monotonic() < 0.3
    upkeep.heed(NOTHING._replace(slot_in=-5.0))
    assert upkeep.due_at <= time.monotonic()
    upkeep.heed(NOTHING)
    assert upkeep.due_at > time.monotonic() + 1


def test_a_slot_is_run_between_two_rounds(upkeep: maintenance.Maintenance) -> None:
    due_in(-0.1)
    upkeep.heed(NOTHING._replace(slot_in=-0.1))
    upkeep.run(time.monotonic())
    assert count() == 1
    assert upkeep.due_at > time.monotonic() + 0.1, "the next one is a minute away"


def test_without_an_agenda_it_asks_each_round(upkeep: maintenance.Maintenance) -> None:
    due_in(-0.1)
    upkeep.run(time.monotonic() + 2)
    upkeep.run(time.monotonic() + 2)
    assert count() == 1


@pytest.mark.parametrize("slot_in", [None, 30.0])
def test_an_agenda_without_a_slot_costs_no_statement(
    upkeep: maintenance.Maintenance, slot_in: float | None
) -> None:
    due_in(30)
    with CaptureQueriesContext(connection) as asked:
        for _ in range(5):
            upkeep.heed(NOTHING._replace(slot_in=slot_in))
            upkeep.run(time.monotonic())
    assert len(asked) == 0


def test_rows_made_by_hand_are_planned_now_and_then(upkeep: maintenance.Maintenance) -> None:
    made = Schedule.objects.create(name="by hand", task=echo.name, timing="every 60 s")
    upkeep.run(time.monotonic() + 31)
    made.refresh_from_db()
    assert made.next_at


def test_a_schedule_that_fails_leaves_the_upkeep_and_is_not_tried_at_once(
    upkeep: maintenance.Maintenance,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr(scheduler, "fire_due", fail)
    upkeep.heed(NOTHING._replace(slot_in=0.0))
    upkeep.run(time.monotonic())
    assert "A part of the upkeep has failed: run_schedules." in caplog.text
    assert upkeep.due_at > time.monotonic() + 0.5


def test_a_database_that_fails_ends_the_round_and_costs_no_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: object) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    made = Scheduler(the_vendor(), registry.names())
    with monkeypatch.context() as patch:
        patch.setattr(scheduler, "synchronise", fail)
        with pytest.raises(OperationalError):
            made.run()
    made.heed(None)
    assert made.due_at < math.inf, "it has not begun: no agenda puts it off"
    due_in(-1, name="gone", declaration={})
    made.run()
    assert Schedule.objects.get().withdrawn_at, "it begins at the next try"


def test_rows_that_cannot_be_brought_in_line_keep_no_slot_from_being_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: object) -> None:
        raise DataError("Incorrect string value")

    due_in(-1)
    monkeypatch.setattr(scheduler, "synchronise", refuse)
    Scheduler(the_vendor(), registry.names()).run()
    assert count() == 1
    assert "Incorrect string value" in caplog.text


def test_a_schedule_that_somebody_holds_is_not_asked_for_without_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    due_in(-1)
    made = Scheduler(the_vendor(), registry.names())
    with monkeypatch.context() as patch:
        patch.setattr(firing, "_held", lambda *_: None)
        assert made.run() is False
    assert made.due_at > time.monotonic() + 0.3
    made.heed(-1.0)
    assert made.due_at <= time.monotonic(), "at each look, though"
    assert made.run() is True


def test_each_run_is_told(caplog: pytest.LogCaptureFixture) -> None:
    due_in(-1)
    with caplog.at_level(logging.INFO):
        Scheduler(the_vendor(), registry.names()).run()
    assert f"Schedule nightly: task {ScheduleSlot.objects.get().task_id}" in caplog.text


def test_a_hundred_schedules_are_due_at_once() -> None:
    for number in range(120):
        due_in(-1, name=f"n{number}")
    made = Scheduler(the_vendor(), registry.names())
    made.run()
    assert count() == 100
    assert made.due_at <= time.monotonic(), "the others at once"
    made.run()
    assert count() == 120


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("flag", [[], ["-B"], ["--beat"]])
def test_a_worker_runs_what_has_come_with_celery_s_word_and_without(flag: list[str]) -> None:
    due_in(-1, args=["ran"])
    call_command("worker", "--burst", "--pool", "solo", *flag)
    (task,) = TrackedTask.objects.all()
    assert (task.state, task.result) == ("SUCCESS", "ran")
    assert ScheduleSlot.objects.get().task_id == task.pk
    assert firing.next_in(the_vendor(), registry.names()) == pytest.approx(60, abs=15)
