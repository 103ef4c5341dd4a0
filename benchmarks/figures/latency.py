"""How long does a task wait for an idle worker?"""

from __future__ import annotations

import time

from benchmarks.catalogue import Contender
from benchmarks.figures.base import Figure, Size, Values, bodies, delays, spread, warm_up
from benchmarks.goals import Goal
from benchmarks.stage import Bench

#: Seconds until a worker that slows its polling down does so.
_IDLE = 3.0


def measure(bench: Bench, contender: Contender, size: Size) -> Values:
    with bench.stage(contender) as stage, stage.workers() as workers:
        first = warm_up(stage, workers)
        time.sleep(_IDLE)
        calls = stage.producer.ask(
            "one_by_one",
            first=first,
            count=size["tasks"],
            body=contender.body,
            pause=0.06,
            limit=size["seconds"],
        )
        for worker in workers:
            worker.check()
        return spread(delays(calls, bodies(stage)))


FIGURE = Figure(
    name="latency",
    title="Pick-up by an idle worker, from the call that enqueues to the body",
    contenders=(
        *("tasktrack-prefork", "tasktrack-solo", "tasktrack-asyncio", "tasktrack-sqlite"),
        *("pgqueuer", "oban", "procrastinate", "django-tasks-db"),
        *("celery-redis", "celery-django", "huey-redis", "huey-sqlite"),
    ),
    measure=measure,
    full={"tasks": 300, "seconds": 30},
    quick={"tasks": 10, "seconds": 10},
    columns={"p50": "p50, ms", "p99": "p99, ms"},
    reference="tasktrack-prefork",
    goals=(
        Goal("tasktrack-prefork", "p50", 2, at_most=True, unit=" ms"),
        Goal("tasktrack-prefork", "p99", 4, at_most=True, unit=" ms"),
        Goal("tasktrack-sqlite", "p50", 30, at_most=True, unit=" ms"),
    ),
    rounds=3,
    less_is_better=True,
)
