"""Rows follow the code, as far as no person has changed them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings

from django_tasktrack import registry
from django_tasktrack.models import Schedule
from django_tasktrack.schedules import firing, planning
from django_tasktrack.schedules.synchronising import synchronise
from tests.app.tasks import add, echo
from tests.factories import make_schedule, make_worker
from tests.inline import the_vendor

pytestmark = pytest.mark.django_db

DAILY = {"task": echo.name, "schedule": "0 3 * * *"}


def start(known: list[str] | None = None, **declared: Any) -> None:
    """A worker starts whose settings declare these."""
    with override_settings(TASKTRACK={**settings.TASKTRACK, "SCHEDULES": declared}):
        synchronise(the_vendor(), registry.names() if known is None else known)


def row(name: str = "nightly") -> Schedule:
    return Schedule.objects.get(name=name)


def is_to_come() -> bool:
    """Whether the next slot is one that was not there yet."""
    following = row().next_at
    return following is not None and following > the_vendor().now()


def change(**values: Any) -> None:
    """A person changes the row."""
    found = row()
    for name, value in values.items():
        setattr(found, name, value)
    planning.change(the_vendor(), found, values)


def test_what_is_declared_becomes_a_row() -> None:
    start(nightly={**DAILY, "args": [1], "options": {"queue": "mail"}, "catch_up": 3})
    found = row()
    assert (found.task, found.timing, found.args) == (echo.name, "0 3 * * *", [1])
    assert (found.queue, found.catch_up, found.enabled) == ("mail", 3, True)
    assert found.next_at
    assert found.next_at > the_vendor().now()
    assert (found.next_at.hour, found.next_at.minute) == (3, 0)


def test_a_second_start_changes_nothing() -> None:
    start(nightly=DAILY)
    Schedule.objects.update(next_at=the_vendor().now() - timedelta(hours=1))
    before = Schedule.objects.values().get()
    start(nightly=DAILY)
    assert Schedule.objects.values().get() == before, "a slot that was missed meanwhile too"


def test_rows_follow_the_code() -> None:
    start(nightly=DAILY)
    before = row().next_at
    start(nightly={**DAILY, "schedule": "30 4 * * *", "args": [2]})
    found = row()
    assert (found.timing, found.args) == ("30 4 * * *", [2])
    assert found.next_at
    assert found.next_at != before
    assert (found.next_at.hour, found.next_at.minute) == (4, 30)


def test_what_does_not_say_when_leaves_the_next_slot_alone() -> None:
    start(nightly=DAILY)
    missed = the_vendor().now() - timedelta(hours=1)
    Schedule.objects.update(next_at=missed)
    start(nightly={**DAILY, "args": [2]})
    assert (row().next_at, row().args) == (missed, [2])


def test_disabled_stays_disabled() -> None:
    start(nightly=DAILY)
    change(enabled=False)
    start(nightly={**DAILY, "schedule": "30 4 * * *", "enabled": True})
    assert (row().enabled, row().next_at, row().timing) == (False, None, "30 4 * * *")


def test_one_that_begins_disabled_may_be_enabled() -> None:
    start(nightly={**DAILY, "enabled": False})
    assert (row().enabled, row().next_at) == (False, None)
    change(enabled=True)
    start(nightly={**DAILY, "enabled": False})
    assert row().enabled
    assert row().next_at


def test_what_a_person_has_changed_stays_so() -> None:
    start(nightly=DAILY)
    change(timing="15 5 * * *", queue="slow")
    start(nightly={**DAILY, "schedule": "30 4 * * *", "args": [3]})
    found = row()
    assert (found.timing, found.queue, found.args) == ("15 5 * * *", "slow", [3])
    assert found.next_at
    assert found.next_at.hour == 5


def test_what_a_person_has_changed_back_follows_again() -> None:
    start(nightly=DAILY)
    change(timing="15 5 * * *")
    change(timing="0 3 * * *")
    start(nightly={**DAILY, "schedule": "30 4 * * *"})
    assert row().timing == "30 4 * * *"


def test_a_row_of_a_person_with_the_name_stays_theirs() -> None:
    make_schedule(timing="15 5 * * *", args=[9])
    start(nightly=DAILY)
    assert (row().timing, row().args) == ("15 5 * * *", [9])


def test_what_is_not_declared_any_more_is_withdrawn_and_not_run() -> None:
    make_schedule(name="by a person")
    start(nightly=DAILY, other=DAILY)
    due = the_vendor().now()
    Schedule.objects.update(next_at=due)
    start(other=DAILY)
    found = row()
    assert found.withdrawn_at is not None
    assert found.next_at is None
    fired = firing.fire_due(the_vendor(), registry.names())
    assert {one.schedule for one in fired} == {"other", "by a person"}


def test_what_is_declared_again_goes_on_and_makes_up_for_nothing() -> None:
    start(nightly=DAILY)
    start()
    start(nightly=DAILY)
    assert row().withdrawn_at is None
    assert is_to_come()


def test_what_was_disabled_when_it_was_withdrawn_comes_back_disabled() -> None:
    start(nightly=DAILY)
    change(enabled=False)
    start()
    start(nightly=DAILY)
    assert (row().enabled, row().next_at) == (False, None)


def test_what_means_nothing_is_neither_changed_nor_withdrawn(
    caplog: pytest.LogCaptureFixture,
) -> None:
    start(nightly=DAILY, other=DAILY)
    before = Schedule.objects.values().get(name="nightly")
    start(nightly={**DAILY, "schedule": "soon"}, other={**DAILY, "args": [1]})
    assert Schedule.objects.values().get(name="nightly") == before
    assert row("other").args == [1]
    assert "Schedule nightly: The cron text 'soon'" in caplog.text


def test_old_code_does_not_withdraw_what_only_newer_code_knows() -> None:
    """Both run while a new version is rolled out; which of them starts last is chance."""
    start(nightly=DAILY, other={"task": add.name, "schedule": "@daily", "args": [1, 2]})
    make_worker(known_tasks=[echo.name, add.name])
    start(known=[add.name])
    assert row("nightly").withdrawn_at is None
    assert row("other").withdrawn_at is not None


def test_once_the_newer_workers_are_gone_it_is_withdrawn() -> None:
    start(nightly=DAILY)
    make_worker(known_tasks=[echo.name], stopped_at=the_vendor().now())
    start(known=[add.name])
    assert row().withdrawn_at is not None


# Rows that were made by hand


def test_a_row_that_nobody_has_planned_is_planned() -> None:
    made = Schedule.objects.create(name="by hand", task=echo.name, timing="every 60 s")
    planning.replan(the_vendor(), registry.names())
    made.refresh_from_db()
    assert made.next_at
    assert made.next_at > the_vendor().now()


def test_one_that_has_no_slot_left_or_says_no_time_stays() -> None:
    make_schedule(name="over", timing="at 2020-01-01 00:00", next_at=None)
    make_schedule(name="off", enabled=False)
    Schedule.objects.create(name="soon", task=echo.name, timing="soon")
    for _ in range(2):
        planning.replan(the_vendor(), registry.names())
    assert set(Schedule.objects.values_list("next_at", flat=True)) == {None}
    assert row("soon").problem.startswith("The cron text 'soon' has 1 fields")
    assert row("over").problem == row("off").problem == ""


def test_a_task_that_no_worker_knows_is_told_on_the_schedule() -> None:
    late = the_vendor().now() - timedelta(hours=1)
    make_schedule(name="mine", next_at=late)
    make_schedule(name="theirs", task="new.one", next_at=late)
    make_schedule(name="nobody's", task="nobody.knows", next_at=late)
    make_worker(known_tasks=["new.one"])
    planning.replan(the_vendor(), registry.names())
    assert row("nobody's").problem == "No living worker knows this task."
    assert row("nobody's").next_at == late, "missed, until somebody knows it"
    assert row("mine").problem == row("theirs").problem == ""


# What a person changes


def test_a_change_leaves_what_a_worker_writes_alone() -> None:
    """The person's page was read before a slot was run, and is saved after it."""
    make_schedule(next_at=the_vendor().now())
    as_it_was = row()
    firing.fire_due(the_vendor(), registry.names())
    as_it_was.queue = "slow"
    planning.change(the_vendor(), as_it_was, ["queue"])
    assert row().queue == "slow"
    assert row().last_at
    assert is_to_come()


def test_what_was_missed_while_it_was_disabled_is_not_made_up_for() -> None:
    make_schedule(next_at=the_vendor().now() - timedelta(days=3), catch_up=10)
    change(enabled=False)
    change(enabled=True)
    assert is_to_come()
    assert firing.fire_due(the_vendor(), registry.names()) == []
