"""Medians, intervals and verdicts. Pure: numbers in, numbers out."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

#: A change that costs more than this is a regression.
TOLERATED = 0.95
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A median, and between what the true one lies.

    Args:
        median: of the sample.
        low, high: two of the sample's values.
        confidence: how sure it is that the true median lies between; small samples are never sure.
    """

    median: float
    low: float
    high: float
    confidence: float

    @property
    def is_sure(self) -> bool:
        return self.confidence >= _CONFIDENCE


def interval(sample: Sequence[float]) -> Interval:
    """The median with the narrowest interval of order statistics that is at least 95 % sure.

    The chance that the true median lies outside the k-th smallest and the k-th largest of n values is
    that of fewer than k heads in n throws, twice. No shape of the distribution is assumed. Under six
    values the whole range is less sure than that, and says so.

    Raises:
        ValueError: the sample is empty.
    """
    if not sample:
        raise ValueError("A sample without values has no median.")
    ordered, n = sorted(sample), len(sample)
    kept = 1
    while kept < (n + 1) // 2 and _confidence(n, kept + 1) >= _CONFIDENCE:
        kept += 1
    return Interval(
        median=statistics.median(ordered),
        low=ordered[kept - 1],
        high=ordered[n - kept],
        confidence=_confidence(n, kept),
    )


def _confidence(n: int, k: int) -> float:
    outside = sum(math.comb(n, heads) for heads in range(k)) * 0.5**n
    return 1 - 2 * outside


def quantile(sample: Sequence[float], share: float) -> float:
    """The value that ``share`` of the sample does not exceed; of a small sample, one of its own values."""
    if not sample:
        raise ValueError("A sample without values has no quantiles.")
    ordered = sorted(sample)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def ratios(of: Sequence[float | None], against: Sequence[float | None]) -> list[float]:
    """Round by round, where both have a value: what both met in a round cancels out."""
    return [
        one / other
        for one, other in zip(of, against, strict=False)
        if one is not None and other is not None and other > 0
    ]


class Verdict(StrEnum):
    """What pairs say of a change."""

    REGRESSION = "regression"
    SAME = "no regression"
    FASTER = "faster"
    UNCLEAR = "unclear: run more pairs"


def verdict(pairs: Interval) -> Verdict:
    """Of speeds after a change over speeds before it.

    A regression is more than 5 % slower for sure; what might be is unclear.
    """
    if not pairs.is_sure:
        return Verdict.UNCLEAR
    if pairs.high < TOLERATED:
        return Verdict.REGRESSION
    if pairs.low > 1:
        return Verdict.FASTER
    return Verdict.SAME if pairs.low > TOLERATED else Verdict.UNCLEAR
