"""Rows B2, B12 and B13: workers as a person starts, asks and steers them, and what is said of those that miss
a task. Each test is named by its row."""

from __future__ import annotations

import json
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.db import connection

from django_tasktrack import AsyncResult
from django_tasktrack.models import Worker
from tests.app.tasks import add, noted
from tests.inline import enqueue, row
from tests.management.tasktrack.run import Ran, tasktrack
from tests.rows.project import Project
from tests.workers import WorkerProcess, wait_until, worker

pytestmark = pytest.mark.usefixtures("book")


def by_name(name: str, **options: Any) -> AsyncResult:
    """A task that this process does not know."""
    return AsyncResult(enqueue(name=name, **options).task_id)


def ids(ran: Ran) -> set[str]:
    return {task["id"] for task in ran.document}


def codes(result: AsyncResult) -> list[str]:
    """What the doctor says of a task."""
    return [
        found["code"] for found in tasktrack("doctor", result.id, "--json").document["findings"]
    ]


# B2


def test_b2_queues_that_are_left_out() -> None:
    low = add.apply_async((1, 1), queue="low-priority")
    with worker(
        "-P", "threads", "-c", "2", "-X", "low-priority,other", "-A", "proj", "-E", "-B"
    ) as one:
        assert add.apply_async((1, 2), queue="mail").get(timeout=10) == 3
        assert add.apply_async((1, 3), queue="default").get(timeout=10) == 4
        assert low.state == "PENDING"
        assert "queues: all but low-priority, other" in one.output
        assert "queue_unserved" in codes(low)
    with worker("-P", "threads", "-Q", "low-priority,other", "-X", "other", "--burst"):
        assert low.get(timeout=10) == 2


def test_b2_logfile(tmp_path: Path) -> None:
    log = tmp_path / "w1.log"
    with worker("-n", "w1@%h", "-c", "1", "-l", "INFO", "-f", f"{tmp_path}/%n%I.log") as one:
        assert add.delay(1, 1).get(timeout=10) == 2
        log.rename(tmp_path / "w1.log.1")
        result = add.delay(2, 2)
        assert result.get(timeout=10) == 4
        wait_until(lambda: log.exists() and f"{add.name}[{result.id}] succeeded" in log.read_text())
        assert one.output == ""
    assert "w1@" in (tmp_path / "w1.log.1").read_text()
    assert "has stopped" in log.read_text()


def test_b2_logfile_in_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with worker("-f", f"{tmp_path}/no/such/folder/w.log", wait=False) as one:
        assert one.wait(20) == 2
    assert f"The logfile {tmp_path}/no/such/folder/w.log cannot be written" in one.output


def test_b2_reload(project: Project) -> None:
    project.write("""
        @shared_task
        def version(seconds=0):
            time.sleep(seconds)
            return 1
    """)
    with project.worker("-c", "1", "--reload", wait=False) as one:
        assert by_name("shop.tasks.version").get(timeout=30) == 1
        running = by_name("shop.tasks.version", args=[2])
        wait_until(lambda: running.state == "STARTED")

        project.write("""
            @shared_task
            def version(seconds=0):
                return "two"
        """)
        assert running.get(timeout=10) == 1, "it has its graceful end"
        assert [change.state for change in running.history()] == ["PENDING", "STARTED", "SUCCESS"]
        assert by_name("shop.tasks.version").get(timeout=30) == "two"
        assert "shop/tasks.py has changed: the worker ends, and starts again." in one.output

        project.write("def version(:")
        wait_until(lambda: "a change of code starts it again" in one.output)
        waiting = by_name("shop.tasks.version")
        assert one.process.poll() is None
        project.write("""
            @shared_task
            def version(seconds=0):
                return "the third"
        """)
        assert waiting.get(timeout=30) == "the third"

        one.terminate()
        assert one.wait(10) == 0
        assert not one.tree()
    assert not Worker.objects.alive().exists()


def test_b2_reload_of_a_worker_that_is_asked_to_end_ends(project: Project) -> None:
    project.write("")
    with project.worker("-P", "solo", "--reload", wait=False) as one:
        wait_until(lambda: Worker.objects.alive().exists())
        assert tasktrack("shutdown", "--yes").code == 0
        assert one.wait(10) == 0


def test_b2_reload_ends_with_ctrl_c_which_both_hear(project: Project) -> None:
    project.write("")
    with project.worker("-P", "solo", "--reload", wait=False) as one:
        wait_until(lambda: Worker.objects.alive().exists())
        for process in one.tree():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGINT)
        assert one.wait(10) == 0
        assert "again: running tasks are stopped" not in one.output


# B12


def test_b12_while_workers_are_away() -> None:
    later, never = add.apply_async((1, 1), countdown=600), add.delay(1, 1)
    assert ids(tasktrack("inspect", "scheduled", "--json")) == {later.id}
    assert tasktrack("revoke", never.id, "--reason", "not wanted").code == 0
    assert ids(tasktrack("inspect", "revoked", "--json")) == {never.id}
    assert never.state == "REVOKED"
    assert tasktrack("inspect", "active").code == 1
    assert tasktrack("ping").code == 1
    assert tasktrack("inspect", "registered").code == 1


def test_b12_what_a_worker_runs_and_knows() -> None:
    with worker("-n", "w1@here", "-c", "1"):
        running = noted.delay(1, seconds=30)
        wait_until(lambda: running.state == "STARTED")
        assert ids(tasktrack("inspect", "active", "--json")) == {running.id}
        (told,) = tasktrack("inspect", "registered", "--json").document
        assert (told["worker"], noted.name in told["tasks"]) == ("w1@here", True)
        assert tasktrack("ping").code == 0
        assert json.loads(tasktrack("stats", "--json").out)["workers"]
        assert tasktrack("revoke", running.id, "--terminate").code == 0
        wait_until(lambda: running.state == "REVOKED")


@pytest.mark.parametrize("pool", ["prefork", "threads", "asyncio"])
def test_b12_a_pool_grows_and_shrinks(pool: str) -> None:
    with worker("-n", "w1@here", "-P", pool, "-c", "1") as one:
        first, second = noted.delay(1, seconds=4), noted.delay(2, seconds=4)
        wait_until(lambda: "STARTED" in {first.state, second.state})
        assert tasktrack("pool", "w1@here", "+1", "--wait").code == 0
        wait_until(lambda: first.state == second.state == "STARTED")
        assert concurrency(one) == 2
        assert tasktrack("pool", "w1@here", "1", "--wait").code == 0
        assert concurrency(one) == 1
        third, fourth = noted.delay(3, seconds=1), noted.delay(4, seconds=1)
        for result in (first, second, third, fourth):
            result.get(timeout=20)
        one_row, other_row = row(third.id), row(fourth.id)
        assert one_row.started_at
        assert other_row.started_at
        apart = abs((one_row.started_at - other_row.started_at).total_seconds())
        assert apart >= 1, "one after the other"


def concurrency(one: WorkerProcess) -> int:
    assert one.row
    return one.row.concurrency


def test_b12_a_worker_serves_other_queues() -> None:
    with worker("-n", "w1@here", "-P", "threads", "-Q", "default") as one:
        low = add.apply_async((1, 1), queue="low-priority")
        assert "queue_unserved" in codes(low)
        assert tasktrack("queues", "w1@here", "add", "low-priority").code == 0
        assert low.get(timeout=10) == 2
        assert tasktrack("queues", "w1@here", "drop", "low-priority", "--wait").code == 0
        assert one.row
        assert str(one.row.served) == "default"
        left = add.apply_async((2, 2), queue="low-priority")
        assert add.delay(1, 1).get(timeout=10) == 2
        assert left.state == "PENDING"


def test_b12_a_worker_is_ended() -> None:
    with worker("-P", "solo") as one:
        refused = tasktrack("pool", one.row.pk if one.row else 0, "2")
        assert (refused.code, "cannot grow or shrink" in refused.err) == (2, True)
        assert tasktrack("shutdown", "--yes", "--wait").code == 0
        assert one.wait(5) == 0


# B13


def test_b13_an_old_worker_leaves_alone_what_it_does_not_know(project: Project) -> None:
    project.write("""
        @shared_task
        def novel():
            return "done"
    """)
    with worker("-n", "old@here", "-P", "threads") as old:
        result = by_name("shop.tasks.novel")
        assert add.delay(1, 1).get(timeout=10) == 2
        wait_until(lambda: codes(result) == ["name_unknown"])
        assert (result.state, row(result.id).attempt) == ("PENDING", 0)
        said = tasktrack("doctor", result.id)
        assert said.code == 1
        assert "No living worker of its queue knows a task named 'shop.tasks.novel'" in said.out
        assert "Restart workers that were started before it was written" in said.out
        assert old.row
        assert old.row.version
        assert add.name in old.row.known_tasks
        assert "shop.tasks.novel" not in old.row.known_tasks
        with project.worker("-n", "new@here", "-P", "threads"):
            assert result.get(timeout=10) == "done"
        assert result.worker == "new@here"


def test_b13_nobody_serves_its_queue_or_works_at_all() -> None:
    result = add.apply_async((1, 1), queue="low-priority")
    assert "no_worker" in codes(result)
    with worker("-P", "threads", "-Q", "default"):
        assert "queue_unserved" in codes(result)
        assert "-Q low-priority" in tasktrack("doctor", result.id).out
    with worker("-P", "threads"):
        assert result.get(timeout=10) == 2
        assert codes(result) == ["succeeded"]


def test_b13_which_database_answers() -> None:
    backend = add.delay(1, 1).backend
    assert "database 'default'" in backend
    assert str(connection.settings_dict["NAME"]) in backend
