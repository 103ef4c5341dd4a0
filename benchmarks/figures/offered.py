"""Does a worker keep up with a steady stream, and how late is it?"""

from __future__ import annotations

import time

from benchmarks import marks
from benchmarks.catalogue import Contender
from benchmarks.figures.base import Figure, Size, Values, bodies, delays, spread, warm_up
from benchmarks.goals import Goal
from benchmarks.stage import Bench

#: Tasks whose end in the store is watched: one in so many.
_WATCH_EVERY = 50
#: Seconds after the last call in which the rest has to be run.
_AFTER = 1.0


def measure(bench: Bench, contender: Contender, size: Size) -> Values:
    rate, seconds = size["rate"], size["seconds"]
    with bench.stage(contender) as stage, stage.workers() as workers:
        first = warm_up(stage, workers)
        told = stage.producer.ask(
            "offer",
            timeout=10 * seconds + 120,
            first=first,
            rate=rate,
            seconds=seconds,
            body=contender.body,
            watch_every=_WATCH_EVERY,
        )
        calls = told["calls"]
        time.sleep(max(0.0, calls[-1][1] + _AFTER - time.monotonic()))
        behind = first + len(calls) - marks.count(stage.marks)
        stage.wait_for_bodies(first + len(calls), workers)
        values = spread(delays(calls, bodies(stage)), "body ")
    took = calls[-1][1] - calls[0][1]
    achieved = (len(calls) - 1) / took
    values |= {"offered": achieved, "kept up": float(behind <= 0 and achieved >= 0.98 * rate)}
    if told["finished"]:
        ends = {int(number): at for number, at in told["finished"]}
        values |= spread(delays(calls, ends), "end ")
    return values


FIGURE = Figure(
    name="offered",
    title="A steady stream of tasks, from the call that enqueues to the end",
    contenders=(
        *("tasktrack-prefork", "tasktrack-solo", "pgqueuer", "oban", "procrastinate"),
        *("celery-redis", "huey-redis"),
    ),
    measure=measure,
    full={"rate": 1_000, "seconds": 30},
    quick={"rate": 50, "seconds": 4},
    columns={
        "end p99": "p99 to the end in the store, ms",
        "end p50": "p50, ms",
        "body p99": "p99 to the body, ms",
        "body p50": "p50, ms",
        "offered": "offered/s",
        "kept up": "kept up",
    },
    reference="tasktrack-prefork",
    goals=(
        Goal("tasktrack-prefork", "kept up", 1),
        Goal("tasktrack-prefork", "end p99", 20, at_most=True, unit=" ms"),
    ),
    rounds=3,
    less_is_better=True,
    notes=(
        "The end in the store is that of every fiftieth task, asked for every 3 ms, where a system can be"
        " asked cheaply. Kept up: 1 where the calls were on time and all bodies had run a second after the"
        " last of them."
    ),
)
