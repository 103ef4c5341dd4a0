"""Lengths of time and counts as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from django_tasktrack import words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 ms"),
        (0.42, "420 ms"),
        (0.9999, "1.0 s"),
        (4.24, "4.2 s"),
        (9.96, "10 s"),
        (59.7, "1 min 0 s"),
        (3599.9, "1 h 0 min"),
        (7500, "2 h 5 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_spans_have_two_units_at_most(seconds: float, text: str) -> None:
    assert words.span(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("number", "text"), [(3.0, "3"), (1234567.0, "1,234,567"), (2.5, "2.50"), (0.0, "0")]
)
def test_counts_have_no_needless_digits(number: float, text: str) -> None:
    assert words.amount(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3600, "1 h"), (900, "15 min"), (5400, "1 h 30 min"), (604800, "7 d"), (2, "2.0 s")],
)
def test_chosen_lengths_have_no_empty_unit(seconds: float, text: str) -> None:
    assert words.period(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.42, "420 ms"), (4.2, "4.2 s"), (96, "1 min"), (90000, "1 d")]
)
def test_brief_lengths_have_one_unit(seconds: float, text: str) -> None:
    assert words.brief(timedelta(seconds=seconds)) == text


def test_clock_is_the_project_s() -> None:
    at = datetime(2026, 3, 4, 12, 5, 6, tzinfo=UTC)
    with timezone.override("Asia/Taipei"):
        assert words.clock(at) == "2026-03-04 20:05:06"
    assert words.clock(at.replace(tzinfo=None)) == "2026-03-04 12:05:06"
    assert words.clock(None) == ""
