"""Several sessions see the same slot: one task comes of it, whoever is faster."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from django.db import connection

from django_tasktrack import registry, transitions
from django_tasktrack.models import Schedule, ScheduleSlot, TrackedTask
from django_tasktrack.schedules import firing, planning
from django_tasktrack.schedules.declared import entry_of
from django_tasktrack.schedules.synchronising import _follow
from django_tasktrack.vendors import Vendor
from tests import invariants
from tests.app.tasks import echo
from tests.factories import make_schedule
from tests.holding import held, needs_row_locks
from tests.inline import VENDORS, the_vendor
from tests.test_races import together

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2026, 5, 6, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
KNOWN = registry.names()


@pytest.fixture(params=VENDORS)
def vendor(request: pytest.FixtureRequest) -> Vendor:
    return the_vendor(request.param)


def test_four_sessions_fire_the_same_slots(vendor: Vendor) -> None:
    """Forty slots of three schedules, each seen by four sessions at about the same time."""
    for number in range(3):
        make_schedule(name=f"s{number}", timing="@hourly", next_at=NOON, catch_up=3)

    def tick() -> list[firing.Fired]:
        fired: list[firing.Fired] = []
        for hour in range(40):
            fired += firing.fire_due(vendor, KNOWN, now=NOON + hour * HOUR)
        return fired

    fired = [one for session in together(*[tick] * 4) for one in session]
    slots = {(one.schedule, one.slot) for one in fired}
    expected = {(f"s{n}", NOON + hour * HOUR) for n in range(3) for hour in range(40)}
    assert len(fired) == len(slots), "each by one session alone"
    assert slots <= expected
    # A session that comes late finds several, and makes up for three of them.
    assert len(slots) == ScheduleSlot.objects.count() == TrackedTask.objects.count()
    assert set(Schedule.objects.values_list("next_at", flat=True)) == {NOON + 40 * HOUR}
    invariants.check()


def test_sessions_that_all_see_an_old_row_enqueue_one_task(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even without the row's lock: the slot is there once."""
    make_schedule(timing="@hourly", next_at=NOON)
    monkeypatch.setattr(firing, "_held", lambda *_: Schedule.objects.get())
    seen = threading.Barrier(3)
    real = firing._fire_slot

    def all_at_once(*args: object) -> firing.Fired | None:
        if connection.vendor != "sqlite":  # whose transactions come one after the other
            seen.wait(10)
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(firing, "_fire_slot", all_at_once)
    pk = Schedule.objects.get().pk
    act = partial(transitions.whole, vendor, partial(firing._fire, vendor, pk, NOON))
    answers = together(act, act, act)
    assert sum(len(fired) for fired in answers) == 1
    assert TrackedTask.objects.count() == ScheduleSlot.objects.count() == 1


@needs_row_locks
def test_a_schedule_that_somebody_holds_is_passed_over(vendor: Vendor) -> None:
    held_row = make_schedule(name="held", next_at=NOON)
    make_schedule(name="free", next_at=NOON)
    with held(held_row):
        fired = firing.fire_due(vendor, KNOWN, now=NOON)
        assert [one.schedule for one in fired] == ["free"]
    assert [one.schedule for one in firing.fire_due(vendor, KNOWN, now=NOON)] == ["held"]


def test_workers_that_start_at_once_make_one_row(vendor: Vendor) -> None:
    for number in range(10):
        entry = entry_of(f"n{number}", {"task": echo.name, "schedule": "@daily"})
        follow: Callable[[], None] = partial(
            transitions.whole, vendor, partial(_follow, vendor, entry)
        )
        together(follow, follow, follow)
    assert Schedule.objects.count() == 10


def test_a_person_who_disables_it_meets_a_worker_that_runs_it(vendor: Vendor) -> None:
    """Whoever comes second knows of the first: nothing is run after it, and nothing is forgotten."""
    for number in range(10):
        row = make_schedule(name=f"n{number}", timing="@hourly", next_at=NOON)

        def disable(row: Schedule = row) -> None:
            row.enabled = False
            planning.change(vendor, row, ["enabled"])

        def fire() -> None:
            firing.fire_due(vendor, KNOWN, now=NOON)

        together(disable, fire)
        row.refresh_from_db()
        assert (row.enabled, row.next_at) == (False, None)
        assert row.slots.count() == (row.last_at is not None)
    before = TrackedTask.objects.count()
    assert firing.fire_due(vendor, KNOWN, now=NOON + HOUR) == []
    assert TrackedTask.objects.count() == before
