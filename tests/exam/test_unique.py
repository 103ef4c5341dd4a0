"""Unique keys: whoever comes at once, one task is active, and the others are told which."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from django_tasktrack import AsyncResult, enqueue_many, transitions
from django_tasktrack.changes import NewTask
from django_tasktrack.models import TrackedTask
from django_tasktrack.transitions import Answer, control
from django_tasktrack.vendors import Vendor, base, errors, task_database
from tests import databases, invariants, ledger
from tests.app import tasks
from tests.exam.report import Figures
from tests.factories import NAME, make_worker, new_task
from tests.inline import the_vendor
from tests.looks import noted_looks
from tests.workers import ROOT, wait_until, worker

SIZES = [
    pytest.param(8, 40, id="8 x 40"),
    pytest.param(32, 500, id="32 x 500", marks=pytest.mark.long),
]


def contend(processes: int, calls: int, figures: Figures) -> list[str]:
    """What so many processes were answered that want one key, each so many times."""
    if connection.vendor == "sqlite":  # one writer at a time, and no queue before its lock
        processes = min(processes, 8)
    began = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", "tests.exam.contenders", str(processes), str(calls), "invoice:42"],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            databases.NAME: str(connection.settings_dict["NAME"]),
        },
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stderr
    answers = ran.stdout.split()
    assert len(answers) == processes * calls
    figures["calls"] = f"{processes} x {calls}"
    figures["calls/s on one key"] = round(len(answers) / (time.monotonic() - began))
    figures["deadlocks in the callers' transactions"] = ran.stderr.count("again")
    if (
        connection.vendor != "mysql"
    ):  # InnoDB's losers share a lock, which deadlocks where a winner rolls back
        assert ran.stderr == ""
    return answers


@pytest.mark.case(31)
@pytest.mark.parametrize(("processes", "calls"), SIZES)
def test_one_key_is_one_task_whoever_asks_for_it(
    processes: int, calls: int, figures: Figures
) -> None:
    answers = contend(processes, calls, figures)
    task = TrackedTask.objects.get()
    assert set(answers) == {str(task.pk)}
    invariants.check([str(task.pk)])


@pytest.mark.case(31)
@pytest.mark.parametrize(("processes", "calls"), SIZES)
def test_a_key_that_is_free_again_is_taken_by_one(
    processes: int, calls: int, book: Path, figures: Figures
) -> None:
    """A worker ends the tasks meanwhile: their bodies follow each other, and never overlap."""
    with worker("-c", "2", "-P", "threads"):
        ids = set(contend(processes, calls, figures))
        wait_until(lambda: not TrackedTask.objects.unfinished().exists())
    figures["tasks, one after the other"] = len(ids)
    events = [(entry.task_id, entry.event) for entry in ledger.read(book)]
    assert len(events) == 2 * len(ids)
    for (first, began), (second, ended) in list(pairwise(events))[::2]:
        assert (first, began, ended) == (second, "began", "ended")
    invariants.check(list(ids), book)


@pytest.mark.case(32)
def test_a_unique_conflict_does_not_stop_a_rescue(figures: Figures) -> None:
    """No orphan can conflict: its key was its own all the time. One is made by hand to see it."""
    vendor, dead = the_vendor(), make_worker()
    transitions.enqueue([new_task(unique_key=f"key {n}") for n in range(500)])
    claims = transitions.claim(vendor, dead.pk, [], [NAME], 500)
    victim = TrackedTask.objects.filter(pk=claims[0].task_id)
    taken = victim.get().unique_key
    victim.update(active_key=None)
    transitions.enqueue([new_task(unique_key=taken)])
    type(dead).objects.filter(pk=dead.pk).update(stopped_at=timezone.now())
    figures["rescued of 500"] = len(transitions.rescue(vendor, lease=5.0).applied)
    assert figures["rescued of 500"] == 500
    victim.update(active_key=f"{taken} of the victim", unique_key=f"{taken} of the victim")
    invariants.check()


@pytest.mark.case(32)
def test_a_key_that_another_task_has_is_not_given_back_by_a_retry(figures: Figures) -> None:
    """Each of 500 revoked tasks may run again, but for the one whose key is another's by now."""
    first = enqueue_many(tasks.keyed, [((n,), {}) for n in range(500)])
    transitions.revoke([UUID(result.id) for result in first])
    other = tasks.keyed.delay(7)
    answers = transitions.rerun([UUID(result.id) for result in first], actor="user:boss")
    refused = [task_id for task_id, answer in answers.items() if answer is Answer.REFUSED]
    assert [str(task_id) for task_id in refused] == [first[7].id]
    assert list(answers.values()).count(Answer.QUEUED) == 499
    assert other.state == "PENDING"
    invariants.check([*(result.id for result in first), other.id])


@pytest.mark.case(32)
@pytest.mark.skipif(
    "not connection.features.has_select_for_update", reason="SQLite: the transaction is the lock"
)
@pytest.mark.parametrize("conflicts", [1, 2])
def test_a_retry_and_an_enqueue_at_once_are_one(
    conflicts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other task comes between the look at the keys and the write; or it ends, and then another does."""
    first = tasks.keyed.delay(1)
    first.revoke()
    others: list[str] = []
    look = control._keys_taken

    def enqueue_another() -> None:
        others.append(tasks.keyed.delay(1).id)
        connection.close()

    def end_the_other() -> None:
        AsyncResult(others[-1]).revoke()
        connection.close()

    def look_and_be_late(
        vendor: Vendor, found: Iterable[TrackedTask], *, surely: bool = False
    ) -> set[str]:
        if 0 < len(others) < conflicts:
            elsewhere(end_the_other)
        taken = look(vendor, found, surely=surely)
        if len(others) < conflicts:
            elsewhere(enqueue_another)
        return taken

    monkeypatch.setattr(control, "_keys_taken", look_and_be_late)
    task_id = UUID(first.id)
    assert transitions.rerun([task_id], actor="user:boss") == {task_id: Answer.REFUSED}
    assert len(others) == conflicts
    invariants.check([first.id, *others])


def elsewhere(act: Callable[[], object]) -> None:
    """Do it in a thread, whose connections are its own."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(act).result()


@contextmanager
def snapshot() -> Iterator[None]:
    """A transaction that sees the tables as they are now, whatever others commit."""
    level = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":  # before it begins, not in it
            cursor.execute(level)
        with transaction.atomic():
            if connection.vendor == "postgresql":
                cursor.execute(level)
            TrackedTask.objects.count()
            yield


def enqueue_keyed(number: int = 1) -> None:
    tasks.keyed.delay(number)
    connection.close()


@pytest.mark.case(32)
@pytest.mark.skipif(
    "not connection.features.has_select_for_update", reason="SQLite: the transaction is the lock"
)
def test_a_retry_is_refused_for_a_key_whose_holder_its_transaction_does_not_see(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = noted_looks(monkeypatch)
    first, free = tasks.keyed.delay(1), tasks.keyed.delay(2)
    ids = [UUID(result.id) for result in (first, free)]
    transitions.revoke(ids)
    with snapshot():
        elsewhere(enqueue_keyed)
        assert transitions.rerun(ids, actor="user:boss") == {
            ids[0]: Answer.REFUSED,
            ids[1]: Answer.QUEUED,
        }
    assert (first.state, free.state) == ("REVOKED", "PENDING")
    if connection.vendor == "mysql":
        assert looks == [False, True], "a locking read finds it"
    invariants.check()


@pytest.mark.case(31)
def test_a_call_whose_transaction_does_not_see_the_holder_is_told_to_begin_anew() -> None:
    """As with any row that a transaction of PostgreSQL's higher isolation levels meets and cannot see."""
    if connection.vendor != "postgresql":
        pytest.skip("MariaDB looks past its snapshot, SQLite has one writer")

    def call() -> AsyncResult:
        with snapshot():
            if not TrackedTask.objects.exists():
                elsewhere(enqueue_keyed)
            return tasks.keyed.delay(1)

    with pytest.raises(OperationalError) as caught:
        call()
    assert errors.passes_by_itself(caught.value)
    assert call().id == str(TrackedTask.objects.get().pk)


@pytest.mark.case(31)
@pytest.mark.skipif(
    "not connection.features.has_select_for_update", reason="SQLite: the transaction is the lock"
)
def test_the_holder_that_is_found_in_the_last_try_is_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vendor, new = Vendor(task_database()), new_task(unique_key="a")
    insert = vendor.insert

    def insert_late(wanted: Sequence[NewTask]) -> None:
        elsewhere(enqueue_a)
        insert(wanted)

    def enqueue_a() -> None:
        tasks.noted.apply_async([1], unique_key="a")
        connection.close()

    monkeypatch.setattr(base, "UNIQUE_TRIES", 1)
    monkeypatch.setattr(vendor, "insert", insert_late)
    assert vendor.insert_unique([new]) == {new.task_id: TrackedTask.objects.get().pk}
