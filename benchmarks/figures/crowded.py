"""Does a table full of finished and future tasks slow the others down?"""

from __future__ import annotations

from benchmarks.catalogue import Contender
from benchmarks.figures.base import Figure, Size, Values, drain
from benchmarks.goals import Goal
from benchmarks.stage import Bench


def measure(bench: Bench, contender: Contender, size: Size) -> Values:
    empty = _rate(bench, contender, size["tasks"], None)
    full = _rate(bench, contender, size["tasks"], (size["finished"], size["future"]))
    return {"empty": empty, "full": full, "full/empty": full / empty}


def _rate(bench: Bench, contender: Contender, count: int, fill: tuple[int, int] | None) -> float:
    with bench.stage(contender, fill) as stage:
        stage.put(count)
        rate, _ = drain(stage, count)
    return rate


FIGURE = Figure(
    name="crowded",
    title="Drain among finished and future tasks, over drain in an empty table",
    contenders=(
        *("tasktrack-solo", "tasktrack-prefork"),
        *("django-tasks-db", "procrastinate", "oban"),
    ),
    measure=measure,
    full={"tasks": 2_000, "finished": 500_000, "future": 200_000},
    quick={"tasks": 200, "finished": 1_000, "future": 400},
    columns={
        "full": "tasks/s, full",
        "empty": "tasks/s, empty",
        "full/empty": "full over empty",
    },
    reference="tasktrack-prefork",
    goals=(
        Goal("tasktrack-solo", "full/empty", 0.9),
        Goal("tasktrack-prefork", "full/empty", 0.9),
    ),
    notes="pgqueuer deletes finished rows, so there is nothing of its own to fill its table with.",
)
