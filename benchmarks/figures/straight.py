"""Is the last of many tasks run as fast as the first, without an ANALYZE by hand?"""

from __future__ import annotations

from benchmarks.catalogue import Contender
from benchmarks.figures.base import Figure, Size, Values, drain, put_in_parts
from benchmarks.goals import Goal
from benchmarks.stage import Bench


def measure(bench: Bench, contender: Contender, size: Size) -> Values:
    count, part = size["tasks"], size["part"]
    with bench.stage(contender) as stage:
        put_in_parts(stage, count)
        rate, ran = drain(stage, count)
    times = sorted(mark.at for mark in ran)
    first, last = times[part] - times[0], times[-1] - times[-1 - part]
    return {"rate": rate, "first": part / first, "last": part / last, "last/first": first / last}


FIGURE = Figure(
    name="straight",
    title="A long drain: its last tenth over its first",
    contenders=("tasktrack-solo", "tasktrack-prefork"),
    measure=measure,
    full={"tasks": 200_000, "part": 20_000},
    quick={"tasks": 400, "part": 40},
    columns={
        "rate": "tasks/s",
        "first": "first tenth",
        "last": "last tenth",
        "last/first": "last over first",
    },
    reference="tasktrack-solo",
    goals=(
        Goal("tasktrack-solo", "last/first", 0.9),
        Goal("tasktrack-prefork", "last/first", 0.9),
    ),
)
