"""Schedules: where clocks change, and where schedulers are killed and frozen."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from django_tasktrack import registry, timings
from django_tasktrack.models import ScheduleSlot, TrackedTask
from django_tasktrack.schedules import firing
from tests import cron_oracle, invariants
from tests.app import tasks
from tests.cron_oracle import Fields
from tests.exam import load
from tests.exam.report import Figures
from tests.factories import make_schedule
from tests.inline import the_vendor
from tests.workers import WorkerProcess, wait_until, worker

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
YEARS = [
    pytest.param((2026,), id="2026"),
    pytest.param(tuple(range(2020, 2032)), id="2020 to 2031", marks=pytest.mark.long),
]
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


def texts() -> list[Fields]:
    """Around the hours in which clocks change: each time, several of a day, and what runs by the hour."""
    minutes = (0, 1, 29, 30, 31, 59)
    one = [Fields(frozenset({m}), frozenset({h})) for m, h in product(minutes, range(5))]
    several = [
        Fields(frozenset(m), frozenset(h))
        for m, h in product([(0, 30), (15, 45)], [(1, 2), (2, 3), (1, 2, 3)])
    ]
    hourly = [Fields(None, None), *(Fields(frozenset({m}), None) for m in minutes)]
    within = [Fields(None, frozenset({h})) for h in range(5)]
    sundays = [Fields(frozenset({30}), frozenset({h}), weekdays=frozenset({0})) for h in (1, 2)]
    return [*one, *several, *hourly, *within, *sundays]


@pytest.mark.case(47)
@pytest.mark.parametrize("years", YEARS)
@pytest.mark.parametrize("zone", ZONES)
def test_slots_where_clocks_change_are_those_of_a_walk_minute_by_minute(
    zone: str, years: tuple[int, ...], figures: Figures
) -> None:
    compared = 0
    for year in years:
        found = cron_oracle.changes(zone, year)
        assert len(found) == 2, "a gap and an overlap"
        for change, fields in product(found, texts()):
            start, end = change - DAY, change + DAY
            told = cron_oracle.slots(fields, ZoneInfo(zone), start, end)
            rule, slot = timings.rule(fields.text, zone), start
            for expected in told:
                following = rule.following(slot, start)
                assert following == expected, (fields.text, slot)
                slot = expected
            beyond = rule.following(slot, start)
            assert beyond is None or beyond > end, (fields.text, slot)
            compared += len(told)
    figures["slots compared"] = compared


@pytest.mark.case(47)
@pytest.mark.django_db
@pytest.mark.parametrize("zone", ZONES)
def test_a_worker_that_looks_on_while_clocks_change_runs_each_slot_once(
    zone: str, figures: Figures
) -> None:
    """From the row to the task: it looks every ten minutes, and misses no slot by it."""
    given = {
        "at times": Fields(frozenset({30}), frozenset({1, 2})),
        "by the hour": Fields(frozenset({0, 30}), None),
    }
    for change in cron_oracle.changes(zone, 2026):
        start, end = change - 6 * 60 * MINUTE, change + 6 * 60 * MINUTE
        for name, fields in given.items():
            rule = timings.rule(fields.text, zone)
            row = make_schedule(
                name=f"{name} {change}", timing=fields.text, timezone=zone,
                next_at=rule.following(start, start),
            )  # fmt: skip
            now = start
            while now <= end:
                firing.fire_due(the_vendor(), registry.names(), now=now)
                now += 10 * MINUTE
            told = cron_oracle.slots(fields, ZoneInfo(zone), start, end)
            assert list(row.slots.order_by("slot").values_list("slot", flat=True)) == told
            row.delete()
    figures["slots run"] = ScheduleSlot.objects.count()
    assert TrackedTask.objects.count() == ScheduleSlot.objects.count()
    invariants.check()


TICK = "tick"
#: Each slot of it gets a task, however late it is noticed: then none may be missing, and none be double.
SCHEDULES = {TICK: {"task": tasks.noted.name, "schedule": "every 1 s", "catch_up": 1000}}


def slots() -> list[datetime]:
    return list(ScheduleSlot.objects.order_by("slot").values_list("slot", flat=True))


def wait_for(count: int) -> None:
    wait_until(lambda: len(slots()) >= count, timeout=count + 40, what=f"{count} ticks")


def freeze(one: WorkerProcess, seconds: float) -> None:
    with load.standing_still(one):
        time.sleep(seconds)


@pytest.mark.case(48)
@pytest.mark.parametrize(
    ("ticks", "frozen_for"), [(15, 3.0), pytest.param(120, 15.0, marks=pytest.mark.long)]
)
def test_three_schedulers_one_killed_one_frozen_run_each_slot_once(
    ticks: int, frozen_for: float, book: Path, figures: Figures
) -> None:
    settings = {"SCHEDULES": SCHEDULES}
    with ExitStack() as stack:
        three = [
            stack.enter_context(
                worker("-n", f"w{n}", "-c", "2", "-P", "threads", tasktrack=settings)
            )
            for n in range(3)
        ]
        wait_for(ticks // 5)
        three[0].kill_tree()
        wait_for(2 * ticks // 5)
        freeze(three[1], frozen_for)
        wait_for(ticks)
    found = slots()
    late = max(row.enqueued_at - row.slot for row in ScheduleSlot.objects.all())
    figures |= {
        "slots": len(found),
        "tasks": TrackedTask.objects.count(),
        "latest run of a slot after s": round(late.total_seconds(), 1),
    }
    assert found == [found[0] + n * timedelta(seconds=1) for n in range(len(found))], (
        "none is missing"
    )
    assert all(row.enqueued_at >= row.slot for row in ScheduleSlot.objects.all()), "none is early"
    assert TrackedTask.objects.count() == len(found) >= ticks
    assert not ScheduleSlot.objects.filter(joined=True).exists()
    with worker("-c", "2", "-P", "threads"):
        wait_until(load.is_done, timeout=60)
    ids = [str(pk) for pk in TrackedTask.objects.values_list("pk", flat=True)]
    invariants.check(ids, book)
