"""Does a session that forgets its transaction, so that nothing can be vacuumed, slow claims down?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from benchmarks.catalogue import Contender
from benchmarks.figures.base import Figure, Size, Values, bodies, delays, warm_up
from benchmarks.goals import Goal
from benchmarks.stage import Bench, Stage
from benchmarks.statistics import quantile

#: One look-up of due tasks for so many tasks offered.
_PROBE_EVERY = 20


def measure(bench: Bench, contender: Contender, size: Size) -> Values:
    rate, tail = size["rate"], size["baseline"]
    with bench.stage(contender) as stage, stage.workers() as workers:
        first = warm_up(stage, workers)
        before = _offer(stage, first, rate, size["baseline"])
        first += rate * size["baseline"]
        with _idle_in_transaction(bench, stage):
            during = _offer(stage, first, rate, size["held"])
        stage.wait_for_bodies(first + rate * size["held"], workers)
        ran = bodies(stage)
    late = during["calls"][-rate * tail :]
    probes = during["probes"][-len(late) // _PROBE_EVERY :]
    values = {
        "pick-up before": quantile(delays(before["calls"], ran), 0.99),
        "pick-up": quantile(delays(late, ran), 0.99),
        "claim before": 1000 * quantile(before["probes"], 0.99),
        "claim": 1000 * quantile(probes, 0.99),
    }
    values["pick-up ratio"] = values["pick-up"] / values["pick-up before"]
    values["claim ratio"] = values["claim"] / values["claim before"]
    return values


def _offer(stage: Stage, first: int, rate: int, seconds: int) -> dict[str, Any]:
    told: dict[str, Any] = stage.producer.ask(
        "offer",
        timeout=10 * seconds + 120,
        first=first,
        rate=rate,
        seconds=seconds,
        body=stage.contender.body,
        watch_every=0,
        probe="look_up_due",
        probe_every=_PROBE_EVERY,
    )
    return told


@contextmanager
def _idle_in_transaction(bench: Bench, stage: Stage) -> Iterator[None]:
    """A session with a number and a snapshot of its own, as one that waits for an answer from outside."""
    with psycopg.connect(bench.server.url(stage.database)) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT txid_current()")
        yield


FIGURE = Figure(
    name="held",
    title="While a session sits idle in a transaction",
    contenders=("tasktrack-prefork",),
    measure=measure,
    full={"rate": 200, "baseline": 60, "held": 300},
    quick={"rate": 50, "baseline": 3, "held": 6},
    columns={
        "claim": "look-up p99, ms",
        "claim before": "before",
        "claim ratio": "over baseline",
        "pick-up": "pick-up p99, ms",
        "pick-up before": "before",
        "pick-up ratio": "over baseline",
    },
    reference="tasktrack-prefork",
    goals=(
        Goal("tasktrack-prefork", "claim ratio", 3, at_most=True, unit=" ×"),
        Goal("tasktrack-prefork", "pick-up ratio", 3, at_most=True, unit=" ×"),
    ),
    rounds=3,
    less_is_better=True,
    notes=(
        "The look-up is the claim's way through its index, asked ten times a second from outside; pick-up is"
        " the whole way from the call to the body. The last stretch of the hold is compared with as long a"
        " one before it."
    ),
)
