"""What does it take to enqueue, one by one and many at once?"""

from __future__ import annotations

from benchmarks.catalogue import Contender
from benchmarks.figures.base import Figure, Size, Values
from benchmarks.goals import Goal
from benchmarks.stage import Bench

_WARM = 50


def measure_each(bench: Bench, contender: Contender, size: Size) -> Values:
    with bench.stage(contender) as stage:
        stage.put(_WARM, bulk=False)
        return {"rate": size["tasks"] / stage.put(size["tasks"], _WARM, bulk=False)}


def measure_bulk(bench: Bench, contender: Contender, size: Size) -> Values:
    with bench.stage(contender) as stage:
        stage.put(_WARM)
        return {"rate": size["tasks"] / stage.put(size["tasks"], _WARM)}


_SQL_PEERS = ("django-tasks-db", "procrastinate", "pgqueuer", "oban")

EACH = Figure(
    name="enqueue",
    title="Enqueueing one by one, each its own commit",
    contenders=(
        *("raw-insert", "raw-insert-1", "tasktrack-prefork", *_SQL_PEERS),
        *("celery-redis", "celery-django", "huey-redis"),
    ),
    measure=measure_each,
    full={"tasks": 2_000},
    quick={"tasks": 200},
    columns={"rate": "tasks/s"},
    reference="tasktrack-prefork",
    goals=(
        Goal("tasktrack-prefork", "rate", 0.8, against="raw-insert"),
        Goal("tasktrack-prefork", "rate", 0.8, against="raw-insert-1"),
        *(Goal("tasktrack-prefork", "rate", 1.0, against=peer) for peer in _SQL_PEERS),
    ),
    notes=(
        "raw-insert is a transaction of two INSERTs, as the goal is worded; raw-insert-1 writes the same"
        " rows by one prepared statement, which is harder to follow. No worker runs meanwhile."
    ),
)

BULK = Figure(
    name="bulk",
    title="Enqueueing many at once",
    contenders=("raw-unnest", "tasktrack-prefork", "procrastinate", "pgqueuer", "oban"),
    measure=measure_bulk,
    full={"tasks": 10_000},
    quick={"tasks": 200},
    columns={"rate": "tasks/s"},
    reference="tasktrack-prefork",
    goals=(
        Goal(
            "tasktrack-prefork",
            "rate",
            50_000,
            unit=" tasks/s",
            otherwise=Goal("tasktrack-prefork", "rate", 0.5, against="raw-unnest"),
        ),
    ),
    notes="No worker runs meanwhile.",
)
