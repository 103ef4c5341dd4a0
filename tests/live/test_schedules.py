"""Schedules, run by real workers."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from django_tasktrack import schedules
from django_tasktrack.models import Schedule, ScheduleSlot, TrackedTask
from tests import invariants, ledger
from tests.app import tasks
from tests.exam import load
from tests.factories import make_schedule
from tests.inline import the_vendor
from tests.workers import wait_until, worker

TICK = {"tick": {"task": tasks.noted.name, "schedule": "every 1 s", "args": [7], "catch_up": 100}}


def test_what_the_settings_declare_is_run_by_two_workers_once_a_slot(book: Path) -> None:
    with (
        worker("-n", "a", "-c", "1", tasktrack={"SCHEDULES": TICK}),
        worker("-n", "b", "-c", "1", "-B", tasktrack={"SCHEDULES": TICK}),
    ):
        wait_until(lambda: ScheduleSlot.objects.count() >= 5)
        Schedule.objects.update(enabled=False, next_at=None)
        wait_until(load.is_done)
    slots = list(ScheduleSlot.objects.order_by("slot").values_list("slot", flat=True))
    assert slots == [slots[0] + n * timedelta(seconds=1) for n in range(len(slots))]
    began = [entry for entry in ledger.read(book) if entry.event == "began"]
    assert len(began) == len(slots)
    assert {entry.note for entry in began} == {7}
    invariants.check([str(pk) for pk in TrackedTask.objects.values_list("pk", flat=True)], book)


def test_a_slot_is_run_on_time_not_at_the_next_round() -> None:
    """Rounds are ten seconds apart; the worker wakes up for the slot."""
    soon = the_vendor().now() + timedelta(seconds=8)
    make_schedule(timing="every 1 d", next_at=soon)
    with worker("-c", "1", "-P", "threads", tasktrack={"MAINTENANCE": 10, "POLL_MAX": 0.2}):
        wait_until(ScheduleSlot.objects.exists)
    slot = ScheduleSlot.objects.get()
    assert slot.slot == soon
    assert slot.enqueued_at - soon < timedelta(seconds=2)
    told = schedules.slot_of(slot.task_id)
    assert told == slot


def test_a_worker_that_was_away_makes_up_for_what_it_missed() -> None:
    an_hour = timedelta(hours=1)
    late = (the_vendor().now() - 10 * an_hour).replace(minute=0, second=0, microsecond=0)
    make_schedule(timing="@hourly", next_at=late, catch_up=3)
    with worker("-c", "1", "-P", "threads"):
        wait_until(lambda: ScheduleSlot.objects.count() == 3)
    newest = ScheduleSlot.objects.latest("slot").slot
    assert set(ScheduleSlot.objects.values_list("slot", flat=True)) == {
        newest, newest - an_hour, newest - 2 * an_hour,
    }  # fmt: skip
