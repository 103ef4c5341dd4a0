"""Terminating again and again: what is to die dies with all that it has started, and nothing else does."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from django_tasktrack import AsyncResult, enqueue_many
from django_tasktrack.models import TrackedTask
from tests import invariants, ledger
from tests.app import hostile, tasks
from tests.exam.report import Figures
from tests.live.test_main_job import story
from tests.workers import wait_until, worker

REPEATS, AT_ONCE = 1000, 10
GRACE = 0.5


@pytest.mark.case(36)
@pytest.mark.long
def test_a_thousand_terminations_spare_every_sibling(
    book: Path, tmp_path: Path, figures: Figures
) -> None:
    """Half of them ignore SIGTERM, and so does what they have started: they meet SIGKILL.

    Two siblings in each batch have begun before the first signal, and end after the last death.
    """
    victims: list[AsyncResult] = []
    siblings: list[AsyncResult] = []
    slowest = 0.0
    with worker("-c", str(AT_ONCE + 2), tasktrack={"TERMINATE_GRACE": GRACE}) as running:
        for number in range(REPEATS // AT_ONCE):
            gate = tmp_path / f"gate {number}"
            calls: list[Any] = [((stubborn,), {}) for stubborn in (False, True)] * (AT_ONCE // 2)
            beside = enqueue_many(hostile.waits_for, [((str(gate),), {})] * 2)
            asked = enqueue_many(hostile.starts_another, calls)
            wait_until(partial(_have_started, book, (number + 1) * AT_ONCE), timeout=30)
            wait_until(partial(_are, beside, "STARTED"), timeout=30)
            began = time.monotonic()
            for result in asked:
                result.revoke(terminate=True)
            wait_until(partial(_are, asked, "REVOKED"), timeout=30, interval=0.02)
            slowest = max(slowest, time.monotonic() - began)
            assert _are(beside, "STARTED"), "they were there, and still are"
            gate.touch()
            wait_until(partial(_are, beside, "SUCCESS"), timeout=30)
            victims += asked
            siblings += beside
        assert running.process.poll() is None
    survivors = [pid for pid in _grandchildren(book) if _sleeps(pid)]
    ended = TrackedTask.objects.filter(pk__in=[r.id for r in siblings], state="SUCCESS", attempt=1)
    figures |= {
        "terminated": len(victims),
        "siblings killed": len(siblings) - ended.count(),
        "grandchildren left": len(survivors),
        "slowest ten, s": round(slowest, 1),
    }
    assert not survivors
    assert ended.count() == len(siblings)
    assert slowest < GRACE + 4
    invariants.check([r.id for r in (*victims, *siblings)], book)


@pytest.mark.case(36)
def test_a_termination_takes_the_grace_and_a_second_at_the_most(
    book: Path, figures: Figures
) -> None:
    """Until the task is REVOKED, and its process and what that has started are gone."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    sent: list[str] = []
    with worker("-c", "1", tasktrack={"TERMINATE_GRACE": GRACE}):
        for stubborn in (False, True) * 3:
            task = hostile.starts_another.delay(stubborn)
            sent.append(task.id)
            wait_until(partial(_have_started, book, len(sent)), interval=0.02)
            last = ledger.read(book)[-1]
            began = time.monotonic()
            task.revoke(terminate=True)
            wait_until(partial(_is_over, task, last), timeout=10, interval=0.02)
            seconds[stubborn].append(time.monotonic() - began)
    figures["one that obeys, s"] = round(max(seconds[False]), 2)
    figures["one that ignores SIGTERM, s"] = round(max(seconds[True]), 2)
    assert min(seconds[True]) >= GRACE, "else nobody waited for it"
    assert max(seconds[True]) <= GRACE + 1
    assert max(seconds[False]) <= 1
    invariants.check(sent, book)


@pytest.mark.case(36)
def test_a_child_that_is_being_killed_gets_no_further_task(book: Path) -> None:
    """Its body outlives SIGTERM and ends before SIGKILL, which the next task must not meet."""
    asked = hostile.outlives_sigterm.delay(0.6)
    with worker("-c", "1", tasktrack={"TERMINATE_GRACE": 1.5}):
        wait_until(lambda: ledger.read(book))
        later = tasks.noted.delay(1, seconds=2.5)
        asked.revoke(terminate=True)
        assert later.get(timeout=20) == 1
    assert story(later) == ["PENDING", "STARTED", "SUCCESS"]
    assert asked.state == "REVOKED"
    invariants.check([asked.id, later.id], book)


@pytest.mark.case(36)
def test_what_a_task_has_started_dies_with_its_process(book: Path) -> None:
    """Whoever has killed that: here it is nobody of ours."""
    task = tasks.starts_a_process.delay(300)
    with worker("-c", "1"):
        (started,) = wait_until(lambda: ledger.read(book))
        os.kill(started.pid, signal.SIGKILL)
        wait_until(lambda: not _sleeps(started.note), timeout=5)
        wait_until(lambda: len(ledger.read(book)) == 2)  # it runs again
        task.revoke(terminate=True)
        wait_until(task.ready)
    invariants.check([task.id], book)


def _is_over(task: AsyncResult, started: ledger.Entry) -> bool:
    gone = not psutil.pid_exists(started.pid) and not _sleeps(started.note)
    return gone and task.state == "REVOKED"


def _grandchildren(book: Path) -> list[int]:
    return [entry.note for entry in ledger.read(book) if entry.event == "grandchild"]


def _have_started(book: Path, count: int) -> bool:
    return book.exists() and book.read_text().count('"grandchild"') >= count


def _are(results: list[AsyncResult], state: str) -> bool:
    rows = TrackedTask.objects.filter(pk__in=[result.id for result in results], state=state)
    return rows.count() == len(results)


def _sleeps(pid: int) -> bool:
    """Whether that process is still what the task has started."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and "sleep" in process.cmdline()
    except psutil.NoSuchProcess:
        return False
