"""Signals and hooks of real workers: when they come, from which process, and when they do not come."""

from __future__ import annotations

import signal
import time
from functools import partial
from pathlib import Path

import pytest

from django_tasktrack import states, transitions
from django_tasktrack.changes import Change
from django_tasktrack.models import TrackedTask
from django_tasktrack.outcomes import Error
from tests import ledger
from tests.app import receivers, tasks
from tests.inline import the_vendor
from tests.live.test_main_job import story
from tests.workers import wait_until, worker

POOLS = pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "asyncio"])
ENDS = ("task_success", "task_failure", "task_retry", "task_postrun")


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the workers' receivers write."""
    path = tmp_path / "signals.jsonl"
    monkeypatch.setenv(receivers.BOOK, str(path))
    return path


def of(notes: Path, task_id: str, *names: str) -> list[receivers.Note]:
    """What was heard of one task, of these signals if any are named."""
    heard = (note for note in receivers.read(notes) if note.task_id == task_id)
    return [note for note in heard if not names or note.name in names]


def told(notes: Path, task_id: str) -> list[tuple[str, str | None]]:
    """Its beginnings and ends, and what its row showed."""
    return [(note.name, note.shown) for note in of(notes, task_id, "task_prerun", *ENDS)]


@POOLS
def test_an_end_is_told_when_the_table_shows_it(pool: str, notes: Path) -> None:
    good, bad, later = tasks.add.delay(1, 2), tasks.fails.delay("no"), tasks.asks_again.delay(1)
    waiting = tasks.sleeps.delay(0.01)
    with worker("-P", pool):
        for result in (good, bad, later, waiting):
            wait_until(partial(of, notes, result.id, "task_postrun"))
        wait_until(lambda: len(of(notes, later.id, "task_postrun")) == 2)
    begun = ("PENDING", "STARTED")  # it is written behind
    for result in (good, waiting):
        prerun, *ends = told(notes, result.id)
        assert prerun[0] == "task_prerun"
        assert prerun[1] in begun
        assert ends == [("task_success", "SUCCESS"), ("task_postrun", "SUCCESS")]
    _, *ends = told(notes, bad.id)
    assert ends == [("task_failure", "FAILURE"), ("task_postrun", "FAILURE")]
    assert {note.handled for note in of(notes, bad.id, *ENDS)} == {"ValueError"}
    names = [name for name, _ in told(notes, later.id)]
    assert names == [
        "task_prerun", "task_retry", "task_postrun", "task_prerun", "task_success", "task_postrun",
    ]  # fmt: skip
    assert of(notes, good.id, "task_received")


@POOLS
def test_the_worker_tells_of_itself(pool: str, notes: Path) -> None:
    with worker("-P", pool, "-c", "1") as running:
        tasks.add.delay(1, 2).get(timeout=20)
        wait_until(lambda: "heartbeat_sent" in {note.name for note in receivers.read(notes)})
        running.terminate()
        assert running.wait(10) == 0
        by_name = {note.name: note.pid for note in receivers.read(notes)}
        for name in (
            "worker_init", "worker_ready", "worker_shutting_down", "worker_shutdown",
            "heartbeat_sent", "task_received",
        ):  # fmt: skip
            assert by_name[name] == running.pid, name
        in_the_worker = by_name["worker_process_init"] == running.pid
        assert in_the_worker is (pool != "prefork")
        assert by_name["task_success"] == by_name["worker_process_init"]
        assert "worker_process_shutdown" in by_name or pool == "prefork"


@POOLS
def test_hooks_of_a_class_of_tasks(pool: str, book: Path) -> None:
    good, bad = tasks.Hooked.delay(), tasks.Hooked.delay(fail=True)
    with worker("-P", pool, "-c", "1"):
        wait_until(lambda: [e.event for e in ledger.read(book)].count("after_return") == 2)
    said = {
        result.id: [(e.event, e.note) for e in ledger.read(book) if e.task_id == result.id]
        for result in (good, bad)
    }
    assert said[good.id] == [
        ("before_start", None), ("run", "STARTED"), ("on_success", ["done", "SUCCESS"]),
        ("after_return", "SUCCESS"),
    ]  # fmt: skip
    assert said[bad.id] == [
        ("before_start", None), ("run", "STARTED"), ("on_failure", ["asked to fail", "FAILURE"]),
        ("after_return", "FAILURE"),
    ]  # fmt: skip


@POOLS
def test_an_end_that_was_refused_is_not_told(pool: str, notes: Path) -> None:
    slow, after = tasks.noted_process.delay(1.5), tasks.add.delay(1, 2)
    with worker("-P", pool, "-c", "1"):
        wait_until(lambda: slow.state == "STARTED")
        # As when somebody else had ended it: what its body returns counts no more.
        row = TrackedTask.objects.get(pk=slow.id)
        ended = Error("ValueError", "ended by somebody else")
        change = Change(row.pk, states.FAIL, row.lease, row.worker_id, error=ended)
        assert transitions.settle(the_vendor(), [change]).applied
        assert after.get(timeout=20) == 3, "its process goes on"
        wait_until(lambda: of(notes, after.id, "task_postrun"))
    assert of(notes, slow.id, *ENDS) == []
    assert story(slow) == ["PENDING", "STARTED", "FAILURE"]


def test_a_worker_that_dies_between_commit_and_acknowledgement_tells_nothing(notes: Path) -> None:
    with worker("-c", "1", env={receivers.DIES: "1"}) as first:
        task = tasks.add.delay(1, 2)
        assert first.wait(20) == -signal.SIGKILL
        wait_until(lambda: not first.tree())
    assert task.state == "SUCCESS", "it was committed before"
    with worker("-c", "1"):
        again = tasks.add.delay(3, 4)
        wait_until(lambda: of(notes, again.id, "task_postrun"))
        time.sleep(1.0)
    assert of(notes, task.id, *ENDS) == [], "nobody knew that it was committed"
    assert [name for name, _ in told(notes, task.id)] == ["task_prerun"]
    assert story(task) == ["PENDING", "STARTED", "SUCCESS"]


def test_what_no_body_can_tell_the_worker_tells(notes: Path) -> None:
    lost, late = tasks.dies.delay(), tasks.add.apply_async((1, 2), expires=0.5, countdown=2)
    endless = tasks.counts.delay(10_000, pause=0.05)
    with worker("-c", "2") as running:
        wait_until(lambda: endless.state == "STARTED")
        endless.revoke(terminate=True)
        for result, name in (
            (lost, "task_failure"), (late, "task_revoked"), (endless, "task_revoked"),
        ):  # fmt: skip
            (note,) = wait_until(partial(of, notes, result.id, name))
            assert note.pid == running.pid
            assert note.shown == result.state


def test_children_that_are_replaced_tell_of_every_end_before(notes: Path) -> None:
    tasks_of_one_child = [tasks.add.delay(number, 1) for number in range(20)]
    with worker("-c", "1", "--max-tasks-per-child", "3"):
        for number, result in enumerate(tasks_of_one_child):
            assert result.get(timeout=30) == number + 1
        wait_until(
            lambda: all(of(notes, result.id, "task_postrun") for result in tasks_of_one_child)
        )


def test_a_rejected_task_waits_and_its_attempt_does_not_count(book: Path) -> None:
    task = tasks.is_rejected.delay(2)
    with worker("-c", "1"):
        assert task.get(timeout=20) == 1
    assert story(task) == ["PENDING", *["STARTED", "PENDING"] * 2, "STARTED", "SUCCESS"]
    assert {row.reason for row in task.history()[2:5:2]} == {"rejected: no room"}
