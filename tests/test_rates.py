"""Rates and their bucket, by times that are given."""

from __future__ import annotations

import pytest

from django_tasktrack.exceptions import InvalidTask
from django_tasktrack.rates import Bucket, per_second, rate


@pytest.mark.parametrize(
    ("given", "kept", "speed"),
    [
        (None, "", 0.0),
        (0, "", 0.0),
        ("0/m", "", 0.0),
        ("10/m", "10/m", 10 / 60),
        (" 2/h ", "2/h", 2 / 3600),
        ("0.5/s", "0.5/s", 0.5),
        ("100", "100", 100.0),
        (2.5, "2.5", 2.5),
        (7, "7", 7.0),
    ],
)
def test_rate_means_what_celery_means(given: object, kept: str, speed: float) -> None:
    assert rate(given) == kept
    assert per_second(kept) == pytest.approx(speed)


@pytest.mark.parametrize("given", ["", "fast", "10/d", "-1/m", "1/m/s", "nan", "1e3", True, [], -1])
def test_what_is_no_rate_is_refused(given: object) -> None:
    with pytest.raises(InvalidTask, match="is no rate"):
        rate(given)


def test_number_that_is_too_small_is_refused() -> None:
    with pytest.raises(InvalidTask, match="too small"):
        rate(1 / 86_400 / 30)


def test_bucket_holds_one_token_however_long_nobody_took_one() -> None:
    for age in (None, 1e9):
        bucket = Bucket(10 / 60, 0.0, age)
        assert [bucket.take(), bucket.take()] == [True, False]
        assert bucket.next_in == pytest.approx(6.0)


def test_tokens_come_back_at_the_rate() -> None:
    assert not Bucket(0.5, 0.0, 1.9).take()
    assert Bucket(0.5, 0.0, 2.0).take()
    assert Bucket(0.5, 0.0, 1.5).next_in == pytest.approx(0.5)


def test_fast_rate_starts_what_comes_within_fifty_milliseconds_together() -> None:
    bucket = Bucket(1000.0, 0.0, 10.0)
    assert sum(bucket.take() for _ in range(100)) == 50


def test_clock_that_was_set_back_gives_no_token_and_takes_none() -> None:
    assert Bucket(1.0, 0.5, -3600.0).tokens == 0.5
