"""Stopping tasks: waiting, running nicely, running stubbornly."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from django_tasktrack.exceptions import TaskRevokedError
from django_tasktrack.transitions import Answer
from tests import invariants, ledger
from tests.app import tasks
from tests.live.test_main_job import story
from tests.workers import wait_until, worker


def test_a_waiting_task_never_runs(book: Path) -> None:
    waiting = tasks.noted.delay(1)
    assert waiting.revoke(actor="ann", reason="not wanted") is Answer.REVOKED
    with worker("--burst", wait=False) as bursting:
        bursting.wait(30)
    assert story(waiting) == ["PENDING", "REVOKED"]
    with pytest.raises(TaskRevokedError, match="not wanted by ann"):
        waiting.get(timeout=0)
    invariants.check([waiting.id], book)


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_running_task_ends_at_its_next_checkpoint(pool: str, book: Path) -> None:
    counting = tasks.counts.delay(1000)
    with worker("-P", pool):
        wait_until(lambda: counting.state == "STARTED")
        assert counting.revoke(actor="ann", reason="enough") is Answer.REQUESTED
        wait_until(counting.ready, timeout=5)
    assert story(counting) == ["PENDING", "STARTED", "REVOKED"]
    last = counting.history()[-1]
    assert (last.actor, last.reason) == ("ann", "enough")
    assert "ended" not in {entry.event for entry in ledger.read(book)}
    invariants.check([counting.id], book)


@pytest.mark.case(36)
def test_terminate_kills_the_child_and_spares_its_sibling(book: Path) -> None:
    stubborn = tasks.counts.delay(1000, quiet=True)
    sibling = tasks.noted.delay(7, seconds=3)
    with worker("-c", "2"):
        wait_until(lambda: {stubborn.state, sibling.state} == {"STARTED"})
        asked = time.monotonic()
        assert (
            stubborn.revoke(terminate=True, actor="ann", wait=True, timeout=10)
            is Answer.TERMINATING
        )
        assert time.monotonic() - asked < 5
        assert sibling.get(timeout=20) == 7
        assert tasks.add.delay(1, 1).get(timeout=20) == 2, "the killed child is replaced"
    assert story(stubborn) == ["PENDING", "STARTED", "REVOKED"]
    assert sibling.history()[-1].attempt == 1
    invariants.check(ledger_path=book)


@pytest.mark.case(36)
def test_terminate_reaches_what_the_task_has_started(book: Path) -> None:
    parent = tasks.starts_a_process.delay()
    with worker("-c", "1"):
        wait_until(lambda: ledger.read(book))
        grandchild = ledger.read(book)[0].note
        assert psutil.pid_exists(grandchild)
        parent.revoke(terminate=True, wait=True, timeout=10)
        wait_until(lambda: not psutil.pid_exists(grandchild), timeout=5)


def test_a_pool_that_cannot_kill_says_so_and_asks_nicely() -> None:
    counting = tasks.counts.delay(1000)
    with worker("-P", "threads") as running:
        wait_until(lambda: counting.state == "STARTED")
        answer = counting.revoke(terminate=True, wait=True, timeout=10)
        assert answer is Answer.REQUESTED
        assert "cannot terminate" in running.output
    assert story(counting) == ["PENDING", "STARTED", "REVOKED"]
