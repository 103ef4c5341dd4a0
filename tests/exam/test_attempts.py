"""How often a task is tried, and when; and calls that are enqueued together."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection

from django_tasktrack import AsyncResult, enqueue_many
from django_tasktrack.exceptions import TaskFailure
from django_tasktrack.models import StateChange, TrackedTask
from tests import invariants, ledger
from tests.app import tasks
from tests.exam.report import Figures
from tests.live.test_main_job import story
from tests.workers import worker

#: Of ``always_raises``: the first pause and the longest one, in seconds.
FIRST, LONGEST = 0.25, 1.0


#: Tasks of each kind: chance is fair on average only, and the quietest of several says what a pause was
#: meant to be on a machine that is busy.
OF_EACH = 12


@pytest.mark.case(37)
def test_what_always_raises_is_tried_five_times_with_backoff(book: Path, figures: Figures) -> None:
    spread = [tasks.always_raises.delay() for _ in range(OF_EACH)]
    even = [tasks.always_raises_evenly.delay() for _ in range(OF_EACH)]
    with worker("-c", "2"):
        for task in (*spread, *even):
            with pytest.raises(TaskFailure):
                task.get(timeout=30)
            assert story(task) == ["PENDING", *["STARTED", "RETRY"] * 4, "STARTED", "FAILURE"]
            assert [row.attempt for row in task.history()[1::2]] == [1, 2, 3, 4, 5]
    bounds = [min(LONGEST, FIRST * 2**n) for n in range(4)]
    evenly, spreading = (_nth_pauses(results) for results in (even, spread))
    for pauses, bound in zip(evenly, bounds, strict=True):
        assert min(pauses) >= bound - 0.01, "not before its time"
        assert min(pauses) < 1.2 * bound + 0.05, "nor long after"
    longest = [pause for pauses in spreading[2:] for pause in pauses]
    figures["pauses below 1 s with jitter, on average, s"] = round(statistics.mean(longest), 2)
    assert min(longest) < 0.5 * LONGEST, "chosen at random below the bound"
    assert 0.3 < statistics.mean(longest) < 0.8, "evenly between zero and the bound"
    starts = {len(_starts(book, task.id)) for task in (*spread, *even)}
    figures["starts"] = ", ".join(map(str, starts))
    assert starts == {5}
    invariants.check([task.id for task in (*spread, *even)], book)


def _nth_pauses(results: Sequence[AsyncResult]) -> list[tuple[float, ...]]:
    """The first pauses of all of them, the second ones, ..."""
    return list(zip(*(_pauses(result.history()) for result in results), strict=True))


def _pauses(history: list[StateChange]) -> list[float]:
    """Seconds from each RETRY to the start that follows it."""
    return [
        (after.at - before.at).total_seconds()
        for before, after in pairwise(history)
        if before.state == "RETRY"
    ]


def _starts(book: Path, task_id: str) -> list[ledger.Entry]:
    return [e for e in ledger.read(book) if e.task_id == task_id and e.event == "began"]


CALLS = 10_000


@pytest.mark.case(33)
@pytest.mark.parametrize("place", [0, CALLS // 2, CALLS - 1])
def test_of_many_calls_with_a_bad_one_none_is_enqueued(place: int) -> None:
    calls: list[Any] = [((n,), {}) for n in range(CALLS)]
    calls[place] = ((object(),), {})
    with pytest.raises(TypeError) as caught:
        enqueue_many(tasks.noted, calls)
    assert f"In call {place} of enqueue_many" in "".join(caught.value.__notes__)
    assert not TrackedTask.objects.exists()


@pytest.mark.case(33)
@pytest.mark.parametrize("statement", [1, 2, 3])
def test_of_many_calls_that_the_database_breaks_off_none_is_enqueued(statement: int) -> None:
    """The insert takes more than one statement; a later one fails."""
    seen: list[str] = []

    def breaks(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if "INSERT INTO" in sql:
            seen.append(sql)
            if len(seen) == statement:
                raise DatabaseError("gone")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(breaks):
        try:
            enqueue_many(tasks.noted, [((n,), {}) for n in range(CALLS)])
        except DatabaseError:
            assert not TrackedTask.objects.exists()
            assert not StateChange.objects.exists()
        else:
            assert len(seen) < statement


@pytest.mark.case(33)
def test_many_calls_are_enqueued_in_order(figures: Figures) -> None:
    results = enqueue_many(tasks.noted, [((n,), {}) for n in range(CALLS)])
    rows = TrackedTask.objects.order_by("pk").values_list("args", flat=True)
    assert [args[0] for args in rows] == list(range(CALLS))
    figures["rows"] = CALLS
    invariants.check([result.id for result in results])
