"""When a failed attempt runs again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_tasktrack.retries import RetryPolicy, exhausted

delays = st.floats(0.001, 1e6)
counts = st.integers(0, 10_000)


@pytest.mark.case("M5")
@given(delays, delays, counts, st.floats(0, 1))
def test_backoff_stays_between_zero_and_its_maximum(
    first: float, longest: float, retries: int, chance: float
) -> None:
    policy = RetryPolicy(None, backoff=first, backoff_max=longest)
    assert 0 <= policy.delay_after(retries, lambda: chance) <= longest


@pytest.mark.case("M5")
@given(delays, delays, counts)
def test_backoff_without_jitter_never_falls_and_at_most_doubles(
    first: float, longest: float, retries: int
) -> None:
    policy = RetryPolicy(None, backoff=first, backoff_max=longest, jitter=False)
    before, after = policy.delay_after(retries), policy.delay_after(retries + 1)
    assert before <= after <= 2 * before
    assert policy.delay_after(0) == min(first, longest)


@pytest.mark.case("M5")
@given(delays, delays, counts, st.floats(0, 1))
def test_jitter_takes_its_share_of_the_backoff_without_it(
    first: float, longest: float, retries: int, chance: float
) -> None:
    policy = RetryPolicy(None, backoff=first, backoff_max=longest)
    whole = replace(policy, jitter=False).delay_after(retries)
    assert policy.delay_after(retries, lambda: chance) == whole * chance


@pytest.mark.case("M5")
@given(delays, delays, counts)
def test_delay_without_backoff_is_the_one_that_was_given(
    delay: float, longest: float, retries: int
) -> None:
    assert RetryPolicy(None, delay=delay, backoff_max=longest).delay_after(retries) == delay


@pytest.mark.case("M5")
@given(counts, st.none() | counts)
def test_limit_counts_retries_and_not_attempts(retries: int, limit: int | None) -> None:
    assert exhausted(retries, limit) is (limit is not None and retries + 1 > limit)


def test_backoff_doubles_up_to_its_maximum() -> None:
    policy = RetryPolicy(None, backoff=3, backoff_max=20, jitter=False)
    assert [policy.delay_after(retries) for retries in range(5)] == [3, 6, 12, 20, 20]


def test_jitter_is_a_share_of_the_backoff() -> None:
    policy = RetryPolicy(None, backoff=4)
    assert policy.delay_after(1, lambda: 0.25) == 2
    assert policy.delay_after(1, lambda: 0.0) == 0


def test_without_backoff_each_delay_is_the_same_and_chance_is_not_asked() -> None:
    policy = RetryPolicy(None, delay=7, jitter=True)
    assert [policy.delay_after(retries, lambda: 0.0) for retries in (0, 5)] == [7, 7]


def test_subclasses_are_covered_and_exceptions_to_them_are_not() -> None:
    policy = RetryPolicy(3, only_for=(OSError,), never_for=(PermissionError,))
    assert policy.covers(ConnectionResetError())
    assert not policy.covers(PermissionError())
    assert not policy.covers(ValueError())


def test_nothing_is_retried_without_being_asked() -> None:
    assert not RetryPolicy(3).covers(Exception())


@pytest.mark.parametrize(
    ("retries", "limit", "expected"),
    [(0, 0, True), (0, 1, False), (1, 1, True), (9, 3, True), (10**6, None, False)],
)
def test_limit_of_retries(retries: int, limit: int | None, expected: bool) -> None:
    assert exhausted(retries, limit) is expected
