"""How a history is read: waiting and running apart, over all attempts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from django_tasktrack.admin import timeline
from django_tasktrack.admin.timeline import Entry, Stretch
from django_tasktrack.models import StateChange

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def history(*changes: tuple[str, int, float]) -> list[Entry]:
    """Entries of (state, attempt, second) in order."""
    return [
        Entry(
            StateChange(task_id=UUID(int=1), seq=n, state=state, attempt=attempt, at=at(second)),
            None,
        )
        for n, (state, attempt, second) in enumerate(changes, 1)
    ]


def test_waiting_and_running_are_told_apart() -> None:
    entries = history(
        ("PENDING", 0, 0),
        ("STARTED", 1, 4),
        ("RETRY", 1, 5),
        ("STARTED", 2, 65),
        ("SUCCESS", 2, 68),
    )
    parts = timeline.stretches(entries, at(1000))
    assert [part.runs for part in parts] == [False, True, False, True]
    assert timeline.total(parts, runs=False) == timedelta(seconds=64)
    assert timeline.total(parts, runs=True) == timedelta(seconds=4)


def test_a_label_continues_the_same_run() -> None:
    entries = history(("PENDING", 0, 0), ("STARTED", 1, 1), ("STARTED", 1, 2), ("FAILURE", 1, 9))
    (_wait, run) = timeline.stretches(entries, at(1000))
    assert run == Stretch(True, at(1), at(9), 1, "FAILURE")


def test_what_has_not_ended_lasts_until_now() -> None:
    parts = timeline.stretches(history(("PENDING", 0, 0), ("STARTED", 1, 2)), at(10))
    assert timeline.total(parts, runs=True) == timedelta(seconds=8)


def test_clocks_that_disagree_make_no_negative_time() -> None:
    parts = timeline.stretches(history(("PENDING", 0, 5), ("STARTED", 1, 2)), at(10))
    assert timeline.total(parts, runs=False) == timedelta(0)


def test_the_strip_says_its_figures_in_words() -> None:
    entries = history(("PENDING", 0, 0), ("STARTED", 1, 30), ("FAILURE", 1, 40))
    html = timeline.strip(timeline.stretches(entries, at(1000)))
    assert 'aria-label="waited 30 s, ran 10 s"' in html
    assert "tt-strip-bad" in html
