"""Lengths of time and counts as people read them."""

from __future__ import annotations

from datetime import timedelta

import pytest

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
