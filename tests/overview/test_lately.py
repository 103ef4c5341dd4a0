"""What has ended lately: counted by state, and how long it took."""

from __future__ import annotations

from datetime import timedelta

import pytest

from django_tasktrack.models import TrackedTask
from django_tasktrack.overview import lately as module
from django_tasktrack.overview.lately import FailureKind, failure_kinds, lately
from django_tasktrack.states import State
from tests.factories import NAME, make_task, make_worker
from tests.inline import the_vendor

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def ended(state: str, ago: timedelta, waited: float = 0.0, ran: float = 0.0) -> TrackedTask:
    """As if it had ended so long ago, after so many seconds."""
    task = make_task(state, worker=make_worker())
    at = the_vendor().now() - ago
    began = at - timedelta(seconds=ran)
    due = began - timedelta(seconds=waited)
    rows = TrackedTask.objects.filter(pk=task.pk)
    rows.update(finished_at=at, started_at=began, run_after=due)
    return task


def look() -> module.Lately:
    return lately(the_vendor(), the_vendor().now() - HOUR)


def test_only_the_window_is_counted() -> None:
    for state in ("SUCCESS", "SUCCESS", "SUCCESS", "FAILURE", "REVOKED"):
        ended(state, HOUR / 2)
        ended(state, 2 * HOUR)
    make_task("STARTED")
    found = look()
    assert found.ended == {State.SUCCESS: 3, State.FAILURE: 1, State.REVOKED: 1}
    assert found.failed_share == 0.25
    assert not found.at_least


def test_nothing_has_no_share() -> None:
    found = look()
    assert (found.failed_share, found.sampled, found.waited, found.ran) == (None, 0, None, None)


def test_counting_ends_at_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COUNTED", 2)
    for _ in range(4):
        ended("SUCCESS", HOUR / 2)
    found = look()
    assert (found.ended[State.SUCCESS], found.at_least) == (2, frozenset({State.SUCCESS}))


def test_times_are_those_of_the_latest_successes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAMPLE", 21)
    ended("SUCCESS", HOUR * 0.9, ran=3000.0)
    for number in range(21):
        ended("SUCCESS", HOUR / 2 - timedelta(seconds=number), waited=2.0, ran=float(number))
    ended("FAILURE", HOUR / 4, ran=500.0)
    found = look()
    assert (found.sampled, found.ended[State.SUCCESS]) == (21, 22)
    assert found.waited
    assert found.ran
    assert found.waited.median == found.waited.p95 == timedelta(seconds=2)
    seconds = [length.total_seconds() for length in (found.ran.mean, found.ran.median)]
    assert seconds == pytest.approx([10, 10])
    assert (found.ran.p95, found.ran.longest) == (timedelta(seconds=19), timedelta(seconds=20))


def test_one_success_is_a_spread_too() -> None:
    ended("SUCCESS", HOUR / 2, ran=3.0)
    spread = look().ran
    assert spread
    assert spread.mean == spread.p95 == spread.longest == timedelta(seconds=3)


def test_kinds_of_failure_are_counted() -> None:
    for error in (ValueError("a"), ValueError("b"), OSError("c")):
        make_task("FAILURE", error=error)
    ended("FAILURE", 2 * HOUR)
    assert failure_kinds(the_vendor(), the_vendor().now() - HOUR) == [
        FailureKind(NAME, "ValueError", 2),
        FailureKind(NAME, "OSError", 1),
    ]
