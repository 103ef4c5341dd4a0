"""Claims that lie before a child behind the one that it runs: short bodies do not wait for the worker, and
nothing waits for a long one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from django_tasktrack import enqueue_many
from django_tasktrack.models import TrackedTask
from tests import invariants, ledger
from tests.app import tasks
from tests.exam import load
from tests.workers import lives, wait_until, worker


def test_a_long_body_holds_back_nothing_that_lies_behind_it(book: Path) -> None:
    first = enqueue_many(tasks.noted, [((n,), {}) for n in range(400)])
    long = tasks.noted.delay(1000, seconds=5)
    last = enqueue_many(tasks.noted, [((n,), {}) for n in range(400, 800)])
    with worker("-c", "2"):
        wait_until(load.is_done, timeout=60)
    ended = [entry.note for entry in ledger.read(book) if entry.event == "ended"]
    assert ended[-1] == 1000, "everything else had ended before the long one did"
    assert TrackedTask.objects.filter(attempt=1, losses=0).count() == 801
    invariants.check([result.id for result in (*first, long, *last)], book)


def _has_ended(book: Path, count: int) -> bool:
    return load.ended(book) > count


def test_a_dead_child_costs_only_what_it_ran(book: Path) -> None:
    results = enqueue_many(tasks.noted, [((n, 0.001), {}) for n in range(1500)])
    with worker("-c", "2") as running:
        for killed in range(1, 6):
            wait_until(partial(_has_ended, book, 200 * killed))
            pids = {entry.pid for entry in ledger.read(book)[-20:]}
            next(p for p in running.tree() if p.pid in pids and lives(p)).kill()
        wait_until(load.is_done, timeout=60)
    assert load.lost(results) == 0
    assert sum(TrackedTask.objects.values_list("losses", flat=True)) <= killed
    assert sum(load.runs_beyond_one(book).values()) <= killed
    invariants.check([result.id for result in results], book)
