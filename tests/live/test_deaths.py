"""Processes that die, and what becomes of their tasks."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from django_tasktrack.exceptions import TaskFailure
from django_tasktrack.models import Worker
from tests import invariants, ledger
from tests.app import tasks
from tests.exam import load, zombies
from tests.exam.report import Figures
from tests.live.test_main_job import story
from tests.workers import lives, wait_until, worker

#: Heartbeat 1 s, lease 5 s, upkeep every second: what a dead worker ran is started again within this.
RECOVERY_BOUND = 8.0
#: What is granted to a busy machine beyond a bound, in seconds.
SLACK = 1.0


@pytest.mark.case(1)
def test_a_killed_worker_s_task_is_ended_by_another(book: Path) -> None:
    task = tasks.noted.delay(1, seconds=4)
    with worker("-n", "first") as first:
        wait_until(lambda: task.state == "STARTED")
        first.kill_tree()
        with worker("-n", "second"):
            killed = time.monotonic()
            wait_until(lambda: len(ledger.read(book)) == 2, timeout=RECOVERY_BOUND)
            assert time.monotonic() - killed < RECOVERY_BOUND
            assert task.get(timeout=20) == 1
    assert story(task) == ["PENDING", "STARTED", "RETRY", "STARTED", "SUCCESS"]
    rescue = task.history()[2]
    assert rescue.reason.startswith("lost: worker")
    assert [row.worker.name for row in task.history()[1:] if row.worker][-1] == "second"
    assert Worker.objects.get(name="first").condition == "lost"
    events = [(entry.event, entry.attempt) for entry in ledger.read(book)]
    assert events == [("began", 1), ("began", 2), ("ended", 2)]
    invariants.check([task.id], book)


@pytest.mark.case(4, 38)
def test_a_child_that_dies_costs_its_own_task_only(book: Path) -> None:
    sibling = tasks.noted.delay(5, seconds=2)
    with worker("-c", "2") as running:
        wait_until(lambda: sibling.state == "STARTED")
        poison = tasks.dies.delay()
        with pytest.raises(TaskFailure, match="signal SIGKILL"):
            poison.get(timeout=20)
        assert sibling.get(timeout=20) == 5
        assert running.process.poll() is None
    assert story(poison) == ["PENDING", *["STARTED", "RETRY"] * 2, "STARTED", "FAILURE"]
    assert poison.history()[-1].reason == "lost: signal SIGKILL; crash 3, no further attempt"
    assert sibling.history()[-1].attempt == 1
    invariants.check([sibling.id, poison.id])


@pytest.mark.case(4)
def test_without_their_parent_the_children_end(book: Path, figures: Figures) -> None:
    """With all that they have started."""
    tasks.starts_a_process.delay(60)
    with worker("-c", "2") as running:
        (started,) = wait_until(lambda: ledger.read(book))
        tree = running.tree()
        assert {started.pid, started.note} <= {process.pid for process in tree}
        killed = time.monotonic()
        os.kill(running.pid, signal.SIGKILL)
        wait_until(lambda: not any(map(lives, tree)), timeout=5, interval=0.01)
        gone = time.monotonic() - killed
    figures["children gone after s"] = round(gone, 2)
    assert gone <= 1 + SLACK


@pytest.mark.case(4)
def test_without_the_server_that_has_forked_them_the_children_end(
    book: Path, figures: Figures
) -> None:
    """And the worker, which could have no others, ends too."""
    task = tasks.noted.delay(1, seconds=60)
    with worker("-c", "2") as running:
        wait_until(lambda: task.state == "STARTED")
        body = psutil.Process(ledger.read(book)[0].pid)
        forker = body.parent()
        assert forker
        assert forker.pid != running.pid
        killed = time.monotonic()
        forker.kill()
        wait_until(lambda: not lives(body), timeout=5, interval=0.01)
        gone = time.monotonic() - killed
        assert running.wait(5) == 1
        assert "The fork server is gone" in running.output
    figures["children gone after s"] = round(gone, 2)
    assert gone <= 1 + SLACK


@pytest.mark.case(4)
def test_a_killed_child_is_noticed_and_its_task_retried(book: Path, figures: Figures) -> None:
    task, sibling = tasks.noted.delay(1, seconds=1), tasks.noted.delay(2, seconds=4)
    with worker("-c", "2") as running:
        wait_until(lambda: task.state == sibling.state == "STARTED")
        (child,) = (entry.pid for entry in ledger.read(book) if entry.task_id == task.id)
        killed = time.monotonic()
        os.kill(child, signal.SIGKILL)
        wait_until(lambda: "RETRY" in story(task), timeout=5, interval=0.02)
        noticed = time.monotonic() - killed
        assert task.get(timeout=20) == 1
        assert sibling.get(timeout=20) == 2
        assert running.process.poll() is None
    figures["a dead child noticed after s"] = round(noticed, 2)
    assert noticed <= 1 + SLACK
    assert task.history()[2].reason == "lost: signal SIGKILL"
    assert story(task) == ["PENDING", "STARTED", "RETRY", "STARTED", "SUCCESS"]
    assert story(sibling) == ["PENDING", "STARTED", "SUCCESS"]
    invariants.check([task.id, sibling.id], book)


@pytest.mark.case(7)
def test_a_frozen_worker_s_late_end_changes_nothing(book: Path, figures: Figures) -> None:
    task = tasks.noted.delay(1, seconds=2)
    with worker("-n", "frozen", "-c", "1") as frozen:
        wait_until(lambda: task.state == "STARTED")
        zombies.freeze(frozen)
        with worker("-n", "second", "-c", "1"):
            wait_until(lambda: load.began(book) == 2, timeout=RECOVERY_BOUND + 10)
            with zombies.held_still([ledger.read(book)[1].pid]):
                assert task.state == "STARTED"
                before = zombies.rows()
                zombies.wake(frozen, lambda: load.ended(book) == 1)
                wait_until(lambda: "was lost" in frozen.output, timeout=5)
                wait_until(lambda: Worker.objects.alive().filter(name="frozen").exists())
                figures[zombies.ACCEPTED] = zombies.accepted_since(before)
                tried = f"[{task.id}] succeeded"
                assert tried in zombies.last_words(frozen), "else there was nothing to refuse"
            assert task.get(timeout=20) == 1
    assert figures[zombies.ACCEPTED] == 0
    assert task.worker == "second"
    assert story(task) == ["PENDING", "STARTED", "RETRY", "STARTED", "SUCCESS"]
    invariants.check([task.id], book)
