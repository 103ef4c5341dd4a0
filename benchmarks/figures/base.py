"""What a figure is, and what several of them measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks import marks
from benchmarks.catalogue import Contender
from benchmarks.failure import Failed
from benchmarks.goals import Goal
from benchmarks.marks import Mark
from benchmarks.stage import Bench, Stage
from benchmarks.statistics import quantile

#: How much is measured: name → number.
Size = Mapping[str, int]
#: What one measurement of one contender gives.
Values = dict[str, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """One question, the systems that it is put to, and what the answer should be.

    Args:
        name: on the command line.
        title: of its table.
        contenders: by name, in the order of the table.
        measure: one contender, once.
        full, quick: sizes for a run that counts, and for trying.
        columns: value → head of its column; the first one is charted.
        reference: contender that the ratios refer to.
        goals: what should be reached.
        rounds: at most so many, where one takes long.
        less_is_better: whether small values are good ones.
        notes: what a reader of the table has to know.
    """

    name: str
    title: str
    contenders: tuple[str, ...]
    measure: Callable[[Bench, Contender, Size], Values]
    full: Size
    quick: Size
    columns: Mapping[str, str]
    reference: str
    goals: tuple[Goal, ...] = ()
    rounds: int | None = None
    less_is_better: bool = False
    notes: str = ""


def drain(stage: Stage, count: int) -> tuple[float, list[Mark]]:
    """Run what is in the store: tasks a second, and the marks of the bodies.

    It begins with the first body, so that a worker's start is not measured, and ends when the store says
    that all have finished.

    Raises:
        Failed: not every task has run.
    """
    with stage.workers() as workers:
        stage.wait_for_bodies(count, workers)
        ended = stage.wait_for_store(workers)
    ran = marks.read(stage.marks)
    if len({mark.number for mark in ran}) < count:
        raise Failed(f"only {len({mark.number for mark in ran})} of {count} tasks have run")
    return count / (ended - min(mark.at for mark in ran)), ran


def put_in_parts(stage: Stage, count: int, part: int = 10_000) -> None:
    """Enqueue many, not all at once."""
    for first in range(0, count, part):
        stage.put(min(part, count - first), first)


def warm_up(stage: Stage, workers: list[Any], count: int = 20) -> int:
    """Let the workers run a few tasks; returns the number that the next one should have."""
    stage.put(count, bulk=False)
    stage.wait_for_bodies(count, workers)
    stage.wait_for_store(workers)
    return count


def delays(calls: list[list[float]], ends: Mapping[int, float]) -> list[float]:
    """Milliseconds from each call to its end; calls without an end are left out."""
    return [1000 * (ends[int(number)] - at) for number, at in calls if int(number) in ends]


def bodies(stage: Stage) -> dict[int, float]:
    """When each body ran first, by its number."""
    first: dict[int, float] = {}
    for mark in marks.read(stage.marks):
        first.setdefault(mark.number, mark.at)
    return first


def spread(milliseconds: list[float], prefix: str = "") -> Values:
    """The quantiles that tables show.

    Raises:
        Failed: there are none, because nothing has run.
    """
    if not milliseconds:
        raise Failed("no task has run")
    return {
        f"{prefix}p50": quantile(milliseconds, 0.5),
        f"{prefix}p99": quantile(milliseconds, 0.99),
    }
