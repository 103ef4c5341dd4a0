"""Unique keys: whoever comes at once, one task is active, and the others are told which."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from django_tasktrack import enqueue_many, transitions
from django_tasktrack.models import TrackedTask
from django_tasktrack.transitions import Answer, control
from django_tasktrack.vendors import Vendor
from tests import databases, invariants, ledger
from tests.app import tasks
from tests.exam.report import Figures
from tests.factories import NAME, make_worker, new_task
from tests.inline import the_vendor
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
def test_a_retry_and_an_enqueue_at_once_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other task comes between the look at the keys and the write."""
    first = tasks.keyed.delay(1)
    first.revoke()
    others: list[str] = []
    look = control._keys_taken

    def enqueue_another() -> None:
        others.append(tasks.keyed.delay(1).id)
        connection.close()

    def look_and_be_late(vendor: Vendor, found: Iterable[TrackedTask]) -> set[str]:
        taken = look(vendor, found)
        if not others:
            with ThreadPoolExecutor(1) as elsewhere:
                elsewhere.submit(enqueue_another).result()
        return taken

    monkeypatch.setattr(control, "_keys_taken", look_and_be_late)
    task_id = UUID(first.id)
    assert transitions.rerun([task_id], actor="user:boss") == {task_id: Answer.REFUSED}
    invariants.check([first.id, *others])
