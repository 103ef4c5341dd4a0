"""M3: any statement of a worker's may be refused, cut off, left without its reply, or late."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from django.conf import LazySettings

from tests.exam import failpoints
from tests.exam.failpoints import Plan
from tests.exam.mixed import Mixed
from tests.exam.report import Figures
from tests.workers import WorkerProcess, wait_until, worker

#: Seconds from one goal's task in vain to the next one.
_SOON = {"GOAL_BACKOFF": 0.2}


@pytest.fixture(autouse=True)
def _goals_go_on_soon(settings: LazySettings) -> None:
    settings.TASKTRACK = {**settings.TASKTRACK, **_SOON}


def _run(seed: int, rate: float, rounds: int, book: Path, figures: Figures) -> None:
    """Two workers whose statements fail, a load of all kinds, and people who interfere."""
    print(f"seed {seed}")
    record = book.with_name("failpoints.txt")
    mixed = Mixed(seed, book)
    with ExitStack() as stack:
        crew = [
            stack.enter_context(
                worker(
                    *("-c", "2", "-P", pool),
                    env=Plan(f"{seed} {pool}", rate, str(record)).environment(),
                    tasktrack=_SOON,
                    wait=False,
                )
            )
            for pool in ("prefork", "threads")
        ]
        for _ in range(rounds):
            mixed.put(10)
            mixed.interfere()
        wait_until(mixed.is_done, timeout=30 + 2 * rounds, what="the end of all tasks and goals")
        ended = [one.process.poll() for one in crew]
        assert ended == [None, None], "a worker has ended"
    injected = failpoints.injected(record)
    again = mixed.ran_again()
    figures["seed"] = seed
    figures["faults"] = sum(injected.values())
    figures["tasks"] = len(mixed.acknowledged)
    figures["progress seen to rise"] = mixed.rises
    figures["runs beyond one"] = sum(again.values())
    assert injected.total() > 5, "else it proves nothing"
    if not any(map(_was_lost, crew)):
        assert not again, "no worker was lost, and yet they ran again"
    assert not any("has failed" in one.output for one in crew), "in the engine or in the upkeep"
    mixed.check()


def _was_lost(one: WorkerProcess) -> bool:
    return "This worker was lost" in one.output


@pytest.mark.case("M3")
def test_whatever_statement_fails_nothing_is_lost_or_torn(book: Path, figures: Figures) -> None:
    _run(3, 0.03, 12, book, figures)


@pytest.mark.case("M3")
@pytest.mark.long
@pytest.mark.parametrize("rate", [0.01, 0.03, 0.05])
@pytest.mark.parametrize("seed", range(1, 5))
def test_many_statements_fail(seed: int, rate: float, book: Path, figures: Figures) -> None:
    _run(seed, rate, 40, book, figures)
