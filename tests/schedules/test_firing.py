"""What becomes of a slot when its time has come."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DataError, OperationalError, connections, transaction
from django.test import override_settings

from django_tasktrack import registry, schedules, transitions
from django_tasktrack.exceptions import InvalidTask, NotRegistered
from django_tasktrack.models import Schedule, ScheduleSlot, StateChange, TrackedTask
from django_tasktrack.schedules import firing
from django_tasktrack.schedules.firing import Fired
from django_tasktrack.timings import aware
from tests import invariants
from tests.app.tasks import echo, keyed
from tests.factories import make_schedule
from tests.inline import the_vendor, work

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 5, 6, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KNOWN = registry.names()


def fire(now: datetime = NOON, known: list[str] | None = None) -> list[Fired]:
    return firing.fire_due(the_vendor(), KNOWN if known is None else known, now=now)


def tasks() -> list[TrackedTask]:
    return list(TrackedTask.objects.order_by("pk"))


def test_a_slot_that_has_come_is_a_task() -> None:
    row = make_schedule(
        args=["a"],
        kwargs={},
        queue="mail",
        priority=7,
        expires=30.0,
        next_at=NOON,
        timing="@hourly",
    )
    (fired,) = fire(NOON + timedelta(seconds=2))
    (task,) = tasks()
    assert fired == Fired("nightly", NOON, task.pk, joined=False)
    assert (task.name, task.args, task.queue, task.priority) == (echo.name, ["a"], "mail", 7)
    assert task.expires_at
    assert task.expires_at - task.created_at == timedelta(seconds=30)
    assert task.stage == 1, "due at once"
    assert StateChange.objects.get().actor == "schedule:nightly"
    row.refresh_from_db()
    assert (row.last_at, row.next_at, row.problem) == (NOON, NOON + 60 * MINUTE, "")
    slot = schedules.slot_of(task.pk)
    assert slot
    assert (slot.schedule, slot.name, slot.slot, slot.by_hand) == (row, "nightly", NOON, False)
    invariants.check()


def test_what_a_schedule_leaves_open_is_the_task_s_own() -> None:
    make_schedule(task=keyed.name, args=[5], next_at=NOON)
    fire()
    (task,) = tasks()
    assert (task.queue, task.priority, task.expires_at) == ("default", 0, None)
    assert task.unique_key == "number 5"


def test_nothing_is_run_before_its_time() -> None:
    make_schedule(next_at=NOON)
    assert fire(NOON - timedelta(microseconds=1)) == []
    assert fire(NOON) != []
    assert fire(NOON) == []
    assert len(tasks()) == 1


@pytest.mark.parametrize(
    "values",
    [{"enabled": False}, {"withdrawn_at": NOON}, {"next_at": None}, {"task": "nobody.knows"}],
)
def test_what_is_not_wanted_is_left_alone(values: dict[str, Any]) -> None:
    row = make_schedule(**{"next_at": NOON, **values})
    assert fire() == []
    assert not tasks()
    assert Schedule.objects.get() == row
    assert Schedule.objects.get().next_at == row.next_at


@pytest.mark.parametrize("change", [{"enabled": False}, {"withdrawn_at": NOON}])
def test_what_was_switched_off_meanwhile_is_not_run(change: dict[str, Any]) -> None:
    """Between the look and the lock; whoever did it by SQL has left the next slot as it was."""
    row = make_schedule(next_at=NOON)
    Schedule.objects.update(**change)
    assert firing._fire(the_vendor(), row.pk, NOON) == []
    assert not tasks()


def test_a_schedule_of_a_task_that_only_others_know_is_left_to_them() -> None:
    make_schedule(next_at=NOON)
    assert fire(known=[keyed.name]) == []
    assert len(fire()) == 1


def test_a_slot_that_was_run_is_not_run_again_whatever_the_row_says() -> None:
    """As where a backup was put back, or a clock: the slot's own row decides."""
    row = make_schedule(timing="@hourly", next_at=NOON)
    fire()
    Schedule.objects.filter(pk=row.pk).update(next_at=NOON, last_at=None)
    assert fire(NOON + MINUTE) == []
    assert len(tasks()) == ScheduleSlot.objects.count() == 1
    row.refresh_from_db()
    assert row.next_at == NOON + 60 * MINUTE, "it goes on"


def test_whoever_still_sees_the_row_as_it_was_enqueues_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = make_schedule(next_at=NOON)
    stale = Schedule.objects.get()
    fire()
    monkeypatch.setattr(firing, "_held", lambda *_: stale)
    assert firing._fire(the_vendor(), row.pk, NOON) == []
    assert len(tasks()) == 1


def test_other_slots_and_other_schedules_are_others() -> None:
    for name in ("one", "two"):
        make_schedule(name=name, timing="@hourly", next_at=NOON)
    assert len(fire()) == 2
    assert len(fire(NOON + 60 * MINUTE)) == 2
    assert ScheduleSlot.objects.count() == len(tasks()) == 4
    invariants.check()


@pytest.mark.parametrize(("catch_up", "count"), [(0, 0), (1, 1), (5, 5), (1000, 481)])
def test_after_a_long_absence_so_many_of_the_latest_are_run(catch_up: int, count: int) -> None:
    """Twenty days of an hourly schedule, noticed two minutes after a slot."""
    row = make_schedule(timing="@hourly", next_at=NOON, catch_up=catch_up)
    late = NOON + timedelta(days=20, minutes=2)
    fired = fire(late)
    assert [one.slot for one in fired] == [
        NOON + timedelta(days=20, hours=-n) for n in reversed(range(count))
    ]
    assert len(tasks()) == count
    row.refresh_from_db()
    assert row.next_at == NOON + timedelta(days=20, hours=1)
    assert fire(late) == []


def test_a_schedule_without_catching_up_goes_on_with_the_next_slot() -> None:
    row = make_schedule(timing="@hourly", next_at=NOON, catch_up=0)
    assert fire(NOON + 5 * MINUTE) == []
    row.refresh_from_db()
    assert (row.last_at, row.next_at) == (None, NOON + 60 * MINUTE)
    assert len(fire(NOON + 60 * MINUTE)) == 1


def test_one_time_is_run_once() -> None:
    row = make_schedule(timing="at 2026-05-06 12:00+00:00", next_at=NOON)
    assert len(fire(NOON + timedelta(days=3))) == 1
    row.refresh_from_db()
    assert row.next_at is None
    assert fire(NOON + timedelta(days=4)) == []


def test_a_slow_run_is_not_doubled_where_the_task_has_a_key() -> None:
    make_schedule(unique_key="import", next_at=NOON, timing="@hourly")
    (first,) = fire()
    (second,) = fire(NOON + 60 * MINUTE)
    assert (second.task_id, second.joined, second.slot) == (
        first.task_id,
        True,
        NOON + 60 * MINUTE,
    )
    assert len(tasks()) == 1
    slots = ScheduleSlot.objects.order_by("slot").values_list("task_id", "joined")
    assert list(slots) == [(first.task_id, False), (first.task_id, True)]
    told = schedules.slot_of(first.task_id)
    assert told
    assert told.slot == NOON
    work()
    assert fire(NOON + 120 * MINUTE)[0].joined is False
    assert len(tasks()) == 2
    invariants.check()


def test_slot_of_a_task_that_is_of_none() -> None:
    assert schedules.slot_of(echo.delay(1).id) is None


# What goes wrong


def test_a_schedule_that_cannot_be_run_says_why_and_holds_up_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wrong = make_schedule(name="wrong", kwargs={"colour": "red"}, next_at=NOON, timing="@hourly")
    make_schedule(name="right", next_at=NOON + MINUTE)
    for hour in range(2):
        assert [one.schedule for one in fire(NOON + MINUTE + hour * 60 * MINUTE)] == ["right"]
        wrong.refresh_from_db()
        assert "colour" in wrong.problem
        assert wrong.next_at == NOON + (hour + 1) * 60 * MINUTE
    assert caplog.text.count("Schedule wrong cannot be run") == 1
    assert not ScheduleSlot.objects.filter(name="wrong").exists()
    Schedule.objects.filter(pk=wrong.pk).update(kwargs={})
    fire(NOON + 120 * MINUTE)
    wrong.refresh_from_db()
    assert wrong.problem == ""


@pytest.mark.parametrize("values", [{"timing": "soon"}, {"timezone": "Europe/Atlantis"}])
def test_a_schedule_that_says_no_time_waits_for_a_person(values: dict[str, str]) -> None:
    make_schedule(**{"timing": "@hourly", **values}, next_at=NOON)
    assert fire() == []
    row = Schedule.objects.get()
    assert row.next_at is None
    assert row.problem
    assert fire() == []


def test_what_the_database_refuses_leaves_neither_task_nor_slot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise DataError("Incorrect string value")

    make_schedule(next_at=NOON, timing="@hourly")
    with monkeypatch.context() as patch:
        patch.setattr(transitions, "enqueue", refuse)
        assert fire() == []
    assert not tasks()
    assert not ScheduleSlot.objects.exists()
    row = Schedule.objects.get()
    assert (row.problem, row.next_at) == (
        "DataError('Incorrect string value')",
        NOON + 60 * MINUTE,
    )


def test_a_database_that_fails_costs_no_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    make_schedule(next_at=NOON)
    with monkeypatch.context() as patch:
        patch.setattr(transitions, "enqueue", fail)
        with pytest.raises(OperationalError):
            fire()
    assert not ScheduleSlot.objects.exists()
    assert len(fire()) == 1


def test_a_task_whose_transaction_is_rolled_back_never_was() -> None:
    row = make_schedule(next_at=NOON)
    with transaction.atomic():
        assert len(fire()) == 1
        transaction.set_rollback(True)
    assert not tasks()
    row.refresh_from_db()
    assert row.next_at == NOON
    assert len(fire()) == 1


# By hand


def test_run_by_hand_is_a_task_and_no_slot_less() -> None:
    row = make_schedule(enabled=False, next_at=None)
    fired = firing.run_now(the_vendor(), row, "user:ann")
    assert StateChange.objects.get().actor == "user:ann"
    slot = schedules.slot_of(fired.task_id)
    assert slot
    assert (slot.schedule, slot.by_hand) == (row, True)
    row.refresh_from_db()
    assert (row.next_at, row.last_at) == (None, None)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"task": "nobody.knows"}, NotRegistered),
        ({"queue": "a,b"}, InvalidTask),
        ({"args": [1, 2]}, TypeError),
    ],
)
def test_run_by_hand_refuses_what_enqueueing_would(
    values: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        firing.run_now(the_vendor(), make_schedule(**values), "user:ann")
    assert not ScheduleSlot.objects.exists()


# When the next one comes


def test_when_the_next_slot_comes() -> None:
    vendor = the_vendor()
    assert firing.next_in(vendor, KNOWN) is None
    now = vendor.now()
    make_schedule(name="later", next_at=now + timedelta(hours=2))
    make_schedule(name="soon", next_at=now + timedelta(seconds=30))
    make_schedule(name="never", next_at=now, enabled=False)
    make_schedule(name="theirs", next_at=now, task="nobody.knows")
    assert firing.next_in(vendor, KNOWN) == pytest.approx(30, abs=5)


@pytest.fixture
def _local_times() -> Iterator[None]:
    """USE_TZ = False: rows have the site's local times."""
    with override_settings(USE_TZ=False, TIME_ZONE="Europe/Berlin"):
        connections["default"].__dict__.pop("timezone", None)
        yield
    connections["default"].__dict__.pop("timezone", None)


@pytest.mark.usefixtures("_local_times")
def test_without_time_zones_in_the_database_slots_are_the_same() -> None:
    local = datetime(2026, 5, 6, 14, 0)
    row = make_schedule(timing="0 14 * * *", next_at=local)
    (fired,) = fire(local + MINUTE)
    assert fired.slot == NOON == aware(local)
    row.refresh_from_db()
    assert (row.last_at, row.next_at) == (local, local + timedelta(days=1))


@pytest.mark.usefixtures("_local_times")
def test_without_them_nothing_runs_in_the_second_pass_of_an_hour() -> None:
    """The clock goes from 02:59 back to 02:00; what is due is asked as it goes."""
    row = make_schedule(timing="*/20 * * * *", next_at=datetime(2026, 10, 25, 2, 0))
    clock = [datetime(2026, 10, 25, 2, minute) for minute in range(60)]
    for now in [*clock, *clock, datetime(2026, 10, 25, 3, 0)]:
        fire(now)
        row.refresh_from_db()
        assert row.next_at
        assert row.next_at > now, "else a worker would ask without a pause"
    slots = row.slots.order_by("slot").values_list("slot", flat=True)
    assert [(at.hour, at.minute) for at in slots] == [(2, 0), (2, 20), (2, 40), (3, 0)]


def test_errors_are_logged_with_the_schedule_s_name(caplog: pytest.LogCaptureFixture) -> None:
    make_schedule(name="wrong", queue="a,b", next_at=NOON)
    with caplog.at_level(logging.ERROR):
        fire()
    assert "Schedule wrong cannot be run: queue='a,b'" in caplog.text
