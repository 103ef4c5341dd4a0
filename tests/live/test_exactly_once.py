"""Many tasks, several workers: each once; and what was rolled back, never."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from django.db import connection, transaction

from django_tasktrack import enqueue_many
from django_tasktrack.models import TrackedTask
from tests import invariants, ledger
from tests.app import tasks
from tests.workers import wait_until, worker


class _RollBack(Exception):
    pass


def test_five_thousand_tasks_on_two_workers_run_exactly_once(book: Path) -> None:
    results = enqueue_many(tasks.noted, [((n,), {}) for n in range(5000)])
    with worker("-n", "one", "-c", "2"), worker("-n", "two", "-c", "2"):
        wait_until(lambda: not TrackedTask.objects.unfinished().exists(), timeout=180)
    entries = ledger.read(book)
    for event in ("began", "ended"):
        times = Counter(entry.note for entry in entries if entry.event == event)
        assert set(times) == set(range(5000))
        assert set(times.values()) == {1}
    by_worker = Counter(TrackedTask.objects.values_list("worker__name", flat=True))
    assert set(by_worker) == {"one", "two"}
    assert TrackedTask.objects.filter(state="SUCCESS", attempt=1).count() == 5000
    invariants.check([result.id for result in results], book)


@pytest.mark.case(30)
@pytest.mark.parametrize("savepoint", [False, True], ids=["transaction", "savepoint"])
def test_what_was_rolled_back_never_ran(book: Path, savepoint: bool) -> None:
    kept = []
    with worker("-c", "2"):
        for number in range(1000):
            with transaction.atomic():
                try:
                    with transaction.atomic():
                        tasks.noted.delay(number)
                        raise _RollBack
                except _RollBack:
                    if not savepoint:
                        transaction.set_rollback(True)
        kept = [tasks.noted.delay(-1), tasks.noted.delay(-2)]
        for result in kept:
            result.get(timeout=30)
    assert TrackedTask.objects.count() == 2
    assert {entry.note for entry in ledger.read(book)} == {-1, -2}
    invariants.check([result.id for result in kept], book)


@pytest.mark.case(26)
def test_a_caller_s_open_transaction_holds_nobody_up(book: Path) -> None:
    if not connection.features.has_select_for_update_skip_locked:
        pytest.skip("SQLite has one writer: everybody waits for an open transaction")
    held = tasks.noted.delay(0, seconds=0.5)
    others = []
    with worker("-c", "4"):
        wait_until(lambda: held.state == "STARTED")
        with transaction.atomic():
            TrackedTask.objects.select_for_update().get(pk=held.id)
            others = [tasks.noted.delay(n) for n in range(1, 50)]
        with transaction.atomic():
            TrackedTask.objects.select_for_update().get(pk=held.id)
            wait_until(lambda: TrackedTask.objects.filter(state="SUCCESS").count() == 49, timeout=5)
            assert held.state == "STARTED"
        assert held.get(timeout=10) == 0
    invariants.check([held.id, *(other.id for other in others)], book)
