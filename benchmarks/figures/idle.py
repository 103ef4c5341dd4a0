"""What does a worker cost that has nothing to do?"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.catalogue import Contender
from benchmarks.figures.base import Figure, Size, Values, warm_up
from benchmarks.goals import Goal
from benchmarks.processes import Started
from benchmarks.stage import Bench


def measure(bench: Bench, contender: Contender, size: Size) -> Values:
    with bench.stage(contender) as stage, stage.workers() as workers:
        warm_up(stage, workers)
        stage.producer.ask("rest")
        # An idle session tells the server's counters within ten seconds what it has done.
        time.sleep(size["settle"])
        commits, cpu, began = (
            _commits(bench, stage.database, contender),
            _cpu(workers),
            time.monotonic(),
        )
        time.sleep(size["seconds"])
        took = time.monotonic() - began
        values = {
            "cpu": 100 * (_cpu(workers) - cpu) / took,
            "pss": _pss(workers) / 1e6,
        }
        if commits is not None:
            after = _commits(bench, stage.database, contender) or 0
            values["transactions"] = (after - commits) / took
    return values


def _commits(bench: Bench, database: str, contender: Contender) -> int | None:
    return bench.server.commits(database) if "postgresql" in contender.servers else None


def _cpu(workers: list[Started]) -> float:
    """Seconds of processor time that the living processes have used."""
    used = 0.0
    for worker in workers:
        for process in worker.tree():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                used += times.user + times.system
    return used


def _pss(workers: list[Started]) -> int:
    """Bytes of memory, pages that processes share counted once."""
    return sum(_pss_of(process.pid) for worker in workers for process in worker.tree())


def _pss_of(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
    return 0


FIGURE = Figure(
    name="idle",
    title="A worker with nothing to do",
    contenders=(
        *("tasktrack-prefork", "tasktrack-solo", "pgqueuer", "oban", "procrastinate"),
        *("django-tasks-db", "celery-redis", "celery-django", "huey-redis"),
    ),
    measure=measure,
    full={"settle": 12, "seconds": 30},
    quick={"settle": 2, "seconds": 3},
    columns={"transactions": "transactions/s", "cpu": "% of a core", "pss": "memory (PSS), MB"},
    reference="tasktrack-prefork",
    goals=(
        Goal("tasktrack-prefork", "transactions", 2, at_most=True, unit="/s"),
        Goal("tasktrack-prefork", "cpu", 0.3, at_most=True, unit=" %"),
        Goal("tasktrack-prefork", "pss", 110, at_most=True, unit=" MB"),
    ),
    rounds=3,
    less_is_better=True,
)
