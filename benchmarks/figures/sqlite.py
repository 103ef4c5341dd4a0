"""How fast is it without a server?"""

from __future__ import annotations

from benchmarks.catalogue import Contender
from benchmarks.figures.base import Figure, Size, Values, drain
from benchmarks.goals import Goal
from benchmarks.stage import Bench


def measure(bench: Bench, contender: Contender, size: Size) -> Values:
    count = size["tasks"]
    with bench.stage(contender) as stage:
        enqueued = count / stage.put(count, bulk=False)
        rate, _ = drain(stage, count)
    return {"rate": rate, "enqueue": enqueued}


_OURS = ("tasktrack-sqlite", "tasktrack-sqlite-solo")

FIGURE = Figure(
    name="sqlite",
    title="On an SQLite file, synchronous=FULL, one worker",
    contenders=(*_OURS, "huey-sqlite"),
    measure=measure,
    full={"tasks": 5_000},
    quick={"tasks": 200},
    columns={"rate": "drain, tasks/s", "enqueue": "enqueue one by one, tasks/s"},
    reference="huey-sqlite",
    goals=(
        *(Goal(one, "rate", 1.0, against="huey-sqlite") for one in _OURS),
        Goal("tasktrack-sqlite", "enqueue", 0.6, against="huey-sqlite"),
    ),
)
