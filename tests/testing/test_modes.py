"""The clock of the tasks, moved: on each database, and set back."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.test import TestCase
from django.utils import timezone

from django_tasktrack import goals
from django_tasktrack.exceptions import InvalidTask
from django_tasktrack.testing import run_due, travel
from django_tasktrack.vendors import Vendor
from django_tasktrack.vendors import postgresql as postgresql_vendor
from django_tasktrack.vendors.postgresql import PostgreSQLVendor
from tests.app.tasks import add, echo, fails
from tests.factories import new_task
from tests.inline import VENDORS, claim_all, history, row, the_vendor

HOUR = timedelta(hours=1)


@pytest.fixture(params=VENDORS)
def vendor(request: pytest.FixtureRequest) -> Vendor:
    return the_vendor(request.param)


@pytest.mark.django_db
def test_clock_is_ahead_and_set_back(vendor: Vendor) -> None:
    with travel(by=HOUR):
        assert abs(vendor.now() - timezone.now() - HOUR) < timedelta(seconds=30)
    assert abs(vendor.now() - timezone.now()) < timedelta(seconds=30)


@pytest.mark.django_db
def test_clock_can_be_set_to_a_time(vendor: Vendor) -> None:
    then = datetime(2040, 2, 29, 12, tzinfo=UTC)
    with travel(to=then):
        assert timedelta(0) <= vendor.now() - then < timedelta(seconds=30)


@pytest.mark.django_db
def test_clock_follows_python_s_own(monkeypatch: pytest.MonkeyPatch, vendor: Vendor) -> None:
    there = timezone.now() + 5 * HOUR
    monkeypatch.setattr(timezone, "now", lambda: there)  # as time-machine would
    with travel(to=timezone.now()):
        assert abs(vendor.now() - there) < timedelta(seconds=30)


def test_journeys_add_up() -> None:
    with travel(by=60), travel(by=HOUR):
        assert Vendor.ahead == HOUR + timedelta(seconds=60)
    with travel(by=60), travel(by=-60):
        assert Vendor.ahead == timedelta(0)


def test_clock_is_set_back_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), travel(by=60):
        raise ZeroDivisionError
    assert Vendor.ahead == timedelta(0)


@travel(by=60)
def test_function_can_travel() -> None:
    assert Vendor.ahead == timedelta(seconds=60)


@travel(by=60)
class ClassesCanTravel(TestCase):
    def test_each_test_does(self) -> None:
        assert Vendor.ahead == timedelta(seconds=60)

    async def test_and_asynchronous_ones(self) -> None:
        assert Vendor.ahead == timedelta(seconds=60)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "takes by= or to="),
        ({"by": 1, "to": timezone.now()}, "takes by= or to="),
        ({"by": "1h"}, "not a duration"),
        ({"to": "tomorrow"}, "not a datetime"),
        ({"to": datetime(2040, 1, 1)}, "naive"),
    ],
)
def test_journey_to_nowhere_is_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidTask, match=said):
        travel(**given)  # type: ignore[arg-type]


@pytest.mark.django_db
def test_each_verb_goes_by_the_clock(vendor: Vendor) -> None:
    """Enqueued, promoted, claimed and settled at travelled times."""
    new = new_task(name=echo.name, delay=3600.0)
    vendor.insert([new])
    assert vendor.promote()[0] == 0
    assert 3500 < (vendor.promote()[1] or 0) <= 3600
    with travel(by=2 * HOUR):
        assert vendor.promote() == (1, None)
        run_due()
        second = new_task(name=echo.name, expires_in=60.0)
        vendor.insert([second])
        assert row(second.task_id).created_at - timezone.now() > HOUR
        with travel(by=61):
            assert claim_all(1) == []
    finished = row(new.task_id).finished_at
    assert finished is not None
    assert abs(finished - timezone.now() - 2 * HOUR) < timedelta(seconds=30)
    assert [c.at for c in history(new.task_id)] == sorted(c.at for c in history(new.task_id))


@pytest.mark.django_db
def test_goal_misses_its_deadline() -> None:
    goal = goals.pursue("k", key=1, task=fails, deadline=HOUR)
    with travel(by=2 * HOUR):
        run_due(propagate=False)
    assert goal.refresh().state == "MISSED"


@pytest.mark.django_db
def test_what_is_enqueued_there_is_enqueued_then() -> None:
    with travel(by=HOUR):
        result = add.apply_async((1, 2), countdown=60)
        assert run_due() == []
    with travel(by=HOUR + timedelta(seconds=61)):
        assert run_due() == [result]


def test_statements_of_postgresql_are_shifted_as_text() -> None:
    vendor = PostgreSQLVendor("default")
    assert vendor._by_the_clock("SELECT clock_timestamp()") == "SELECT clock_timestamp()"
    with travel(by=90):
        assert vendor._by_the_clock("SELECT clock_timestamp() AS now") == (
            "SELECT (clock_timestamp() + interval '90.000000 seconds') AS now"
        )


def test_statements_of_postgresql_know_no_other_clock_and_no_other_way() -> None:
    source = Path(postgresql_vendor.__file__).read_text()
    executed = re.findall(r"\.execute\((.*?),", source)
    assert executed == ["self._by_the_clock(sql)"] * 2
    glance = Path(postgresql_vendor.__file__).with_name("glance.py").read_text()
    for other in ("now()", "current_timestamp", "statement_timestamp", "transaction_timestamp"):
        assert other not in (source + glance).lower().replace(f"self.{other}", "").replace(
            f"def {other[:-1]}", ""
        )
