"""How many commits, and how much of the write-ahead log, does a task take?"""

from __future__ import annotations

import time

from benchmarks.catalogue import Contender
from benchmarks.figures.base import Figure, Size, Values
from benchmarks.goals import Goal
from benchmarks.stage import Bench

#: Seconds in which the last groups are written, without being asked about: that would be counted.
_SETTLE = 2.0


def measure(bench: Bench, contender: Contender, size: Size) -> Values:
    count, server = size["tasks"], bench.server
    with bench.stage(contender) as stage:
        before_enqueue = server.wal()
        stage.put(count)
        stage.producer.ask("rest")
        enqueued = server.wal()
        commits = server.commits(stage.database)
        with stage.workers() as workers:
            stage.wait_for_bodies(count, workers)
            time.sleep(_SETTLE)
            stage.wait_for_store(workers)
        # Sessions that have ended have told the counters all that they did.
        stage.producer.ask("rest")
        return {
            "commits": (server.commits(stage.database) - commits) / count,
            "wal": (server.wal() - enqueued) / count,
            "wal, enqueue": (enqueued - before_enqueue) / count,
        }


FIGURE = Figure(
    name="cost",
    title="Commits and write-ahead log for each task of a drain",
    contenders=(
        *("tasktrack-solo", "tasktrack-prefork", "pgqueuer", "oban", "procrastinate"),
        *("django-tasks-db", "celery-django"),
    ),
    measure=measure,
    full={"tasks": 10_000},
    quick={"tasks": 200},
    columns={
        "commits": "commits a task",
        "wal": "bytes of WAL a task",
        "wal, enqueue": "and of its enqueue",
    },
    reference="tasktrack-prefork",
    goals=(
        Goal("tasktrack-solo", "commits", 0.1, at_most=True),
        Goal("tasktrack-prefork", "commits", 0.1, at_most=True),
    ),
    rounds=3,
    less_is_better=True,
    notes=(
        "With what the worker itself commits at its start and its end. Tasks are enqueued at once where the"
        " system can."
    ),
)
