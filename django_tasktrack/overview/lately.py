"""What has ended lately: how many of each state, and how long the latest successes waited and ran."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..models import TrackedTask
from ..querysets import TaskQuerySet
from ..states import FINAL, State
from ..vendors import Vendor

#: Ends of one state that are counted.
COUNTED = 100_000
#: The latest ends whose times, or kinds of failure, are looked at.
SAMPLE = 1_000


@dataclass(frozen=True, slots=True)
class Spread:
    """Lengths of time, as they are spread."""

    mean: timedelta
    median: timedelta
    p95: timedelta
    longest: timedelta


@dataclass(frozen=True, slots=True)
class Lately:
    """What has ended in a window of time.

    Attributes:
        since: where the window begins.
        ended: how many in each final state.
        at_least: which of these are lower bounds.
        sampled: successes, the latest of the window, that the lengths are taken from.
        waited: from being due to the start.
        ran: from the start to the end.
    """

    since: datetime
    ended: dict[State, int]
    at_least: frozenset[State]
    sampled: int
    waited: Spread | None
    ran: Spread | None

    @property
    def failed_share(self) -> float | None:
        """Failures among what ended by itself, 0 to 1."""
        by_itself = self.ended[State.SUCCESS] + self.ended[State.FAILURE]
        return self.ended[State.FAILURE] / by_itself if by_itself else None


@dataclass(frozen=True, slots=True)
class FailureKind:
    """Failures of one task by one kind of error."""

    name: str
    error_type: str
    count: int


def lately(vendor: Vendor, since: datetime) -> Lately:
    """What has ended since then, by the database's clock."""
    counts = {state: _ended(vendor, state, since)[: COUNTED + 1].count() for state in sorted(FINAL)}
    rows = _ended(vendor, State.SUCCESS, since).exclude(started_at=None)
    times = list(rows.values_list("run_after", "started_at", "finished_at")[:SAMPLE])
    return Lately(
        since,
        {state: min(count, COUNTED) for state, count in counts.items()},
        frozenset(state for state, count in counts.items() if count > COUNTED),
        len(times),
        _spread([started - due for due, started, _ in times if started]),
        _spread([ended - started for _, started, ended in times if started and ended]),
    )


def failure_kinds(vendor: Vendor, since: datetime) -> list[FailureKind]:
    """The latest failures since then, the most frequent kind first."""
    rows = _ended(vendor, State.FAILURE, since).values_list("name", "error_type")[:SAMPLE]
    return [FailureKind(*kind, count) for kind, count in Counter(rows).most_common()]


def _ended(vendor: Vendor, state: State, since: datetime) -> TaskQuerySet:
    """Newest first, which is the order of the index: nobody may read the table for a count."""
    tasks = TrackedTask.objects.using(vendor.using).in_state(state)
    return tasks.filter(finished_at__gte=since).order_by("-finished_at")


def _spread(lengths: Sequence[timedelta]) -> Spread | None:
    if not lengths:
        return None
    seconds = sorted(max(0.0, length.total_seconds()) for length in lengths)
    # A list of one has no quantiles.
    cuts = statistics.quantiles(seconds, n=20, method="inclusive") if len(seconds) > 1 else []
    p95 = cuts[-1] if cuts else seconds[0]
    figures = (statistics.fmean(seconds), statistics.median(seconds), p95, seconds[-1])
    return Spread(*(timedelta(seconds=figure) for figure in figures))
