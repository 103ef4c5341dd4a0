"""How fast are waiting tasks run?"""

from __future__ import annotations

from benchmarks.catalogue import Contender, with_body
from benchmarks.figures.base import Figure, Size, Values, drain, put_in_parts
from benchmarks.goals import Goal
from benchmarks.stage import Bench

#: Claiming one by one takes too long for the ceiling's size.
_SLOW = 2_000


def measure(bench: Bench, contender: Contender, size: Size) -> Values:
    count = size["tasks"]
    if contender.cycle:
        return _cycle(bench, contender, count)
    # Workers do not start at the same moment: with more of them there is more to do.
    return _drain(bench, contender, count * contender.workers)


def _drain(bench: Bench, contender: Contender, count: int) -> Values:
    with bench.stage(contender) as stage:
        put_in_parts(stage, count)
        rate, _ = drain(stage, count)
    return {"rate": rate}


def _cycle(bench: Bench, contender: Contender, count: int) -> Values:
    batch, history = contender.cycle or (1, 0)
    count = count if batch > 1 else min(count, _SLOW)
    with bench.stage(contender) as stage:
        stage.put(count)
        seconds = stage.producer.ask("cycle", count=count, batch=batch, history=history)
    return {"rate": count / seconds}


def measure_orm(bench: Bench, contender: Contender, size: Size) -> Values:
    return _drain(bench, with_body(contender, "touch"), size["tasks"])


_IN_PROCESS = ("tasktrack-solo", "tasktrack-asyncio")

DRAIN = Figure(
    name="drain",
    title="Drain of no-op tasks",
    contenders=(
        *("raw-100", "raw-100-2", "raw-100-0", "raw-1"),
        *("tasktrack-solo", "tasktrack-asyncio", "tasktrack-threads"),
        *("tasktrack-prefork", "tasktrack-prefork-2w", "tasktrack-prefork-4w"),
        *("pgqueuer", "oban", "oban-2w", "procrastinate", "django-tasks-db", "django-tasks-db-2w"),
        *("celery-redis", "celery-django", "huey-redis"),
    ),
    measure=measure,
    full={"tasks": 10_000},
    quick={"tasks": 200},
    columns={"rate": "tasks/s"},
    reference="tasktrack-prefork",
    goals=(
        *(Goal(one, "rate", 1.0, against="pgqueuer") for one in _IN_PROCESS),
        *(Goal(one, "rate", 0.60, against="raw-100", floor=0.45) for one in _IN_PROCESS),
        Goal("tasktrack-prefork", "rate", 10, against="celery-redis", floor=6),
        Goal("tasktrack-prefork", "rate", 20, against="django-tasks-db"),
        Goal("tasktrack-prefork", "rate", 25, against="celery-django"),
        Goal("tasktrack-prefork", "rate", 2, against="oban"),
    ),
    notes=(
        "raw-100 writes three rows of history between claim and completion, as the goal is worded; a drain"
        " of django-tasktrack writes two there, like raw-100-2, and its first with the enqueue. Several workers"
        " have as many times the tasks."
    ),
)

ORM = Figure(
    name="orm",
    title="Drain of tasks that read and update one row through the ORM",
    contenders=("tasktrack-prefork", "celery-django", "django-tasks-db", "django-tasks-db-2w"),
    measure=measure_orm,
    full={"tasks": 10_000},
    quick={"tasks": 200},
    columns={"rate": "tasks/s"},
    reference="tasktrack-prefork",
    goals=(
        Goal("tasktrack-prefork", "rate", 3, against="celery-django"),
        Goal("tasktrack-prefork", "rate", 3, against="django-tasks-db-2w"),
    ),
)
