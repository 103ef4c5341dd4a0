"""Rows A: task states and AsyncResult, as a user of Celery types them. Each test is named by its row."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync
from django.conf import LazySettings
from django.utils import timezone

from django_tasktrack import AsyncResult
from django_tasktrack.conf import config
from django_tasktrack.exceptions import ResultExpired, TaskRevokedError, TimeoutError  # noqa: A004
from django_tasktrack.ids import new_id
from django_tasktrack.models import TrackedTask
from django_tasktrack.purge import purge
from tests import ledger
from tests.app.snippets import (
    LongTask,
    counts,
    divide,
    kept_for_an_hour,
    looks_at_itself,
    named,
    quiet,
)
from tests.app.tasks import add
from tests.workers import WorkerProcess, wait_until, worker

pytestmark = pytest.mark.usefixtures("running")


def seen_states(result: AsyncResult) -> list[str]:
    """The loop of A11, which ends on whatever ends a task."""
    states = [result.state]
    while not result.ready():
        if result.state != states[-1]:
            states.append(result.state)
    return [*states, result.state]


def test_a1_the_row_exists_from_delay_on() -> None:
    result = add.apply_async((2, 2), countdown=60)
    assert result.state == "PENDING"
    assert TrackedTask.objects.get(pk=result.id).state == "PENDING"
    finished = add.delay(2, 2)
    finished.get(timeout=10)
    assert [row.state for row in finished.history()] == ["PENDING", "STARTED", "SUCCESS"]


def test_a2_every_start_is_tracked(settings: LazySettings) -> None:
    settings.TASKTRACK = {**settings.TASKTRACK, "task_track_started": True}
    result = add.delay(1, 1)
    result.get(timeout=10)
    assert "STARTED" in [row.state for row in result.history()]


def test_a3_ignoring_drops_only_the_value() -> None:
    result = quiet.delay()
    assert result.get(timeout=10) is None
    assert result.state == "SUCCESS"
    assert [row.state for row in result.history()] == ["PENDING", "STARTED", "SUCCESS"]


def test_a4_the_handle() -> None:
    r = add.delay(2, 3)
    assert r.get(timeout=10) == 5
    assert (r.id, r.task_id, str(r)) == (r.id,) * 3
    assert (r.status, r.state) == ("SUCCESS", "SUCCESS")
    assert (r.ready(), r.successful(), r.failed()) == (True, True, False)
    assert (r.name, r.args, r.kwargs, r.retries) == (add.name, [2, 3], {}, 0)
    assert r.worker
    assert r.date_done


def test_a5_getting_the_result() -> None:
    r = divide.delay(1, 0)
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        r.get(timeout=10)
    assert isinstance(r.get(propagate=False), ZeroDivisionError)
    assert isinstance(r.result, ZeroDivisionError)
    assert "ZeroDivisionError" in (r.traceback or "")
    assert divide.delay(6, 3).wait(timeout=10) == 2
    good = divide.delay(6, 3)
    assert async_to_sync(good.aget)(timeout=10) == 2
    good.forget()
    assert good.get() is None
    assert good.state == "SUCCESS"
    with pytest.raises(TimeoutError):
        add.apply_async((1, 1), countdown=60).get(timeout=0.1)


def test_a6_an_id_that_never_was_and_one_that_was_purged() -> None:
    unknown = AsyncResult(str(new_id()))
    assert (unknown.state, unknown.exists()) == ("UNKNOWN", False)
    result = add.delay(1, 1)
    result.get(timeout=10)
    purge(older_than=0)
    gone = AsyncResult(result.id)
    assert (gone.state, gone.expired, gone.ready()) == ("EXPIRED", True, True)


def test_a7_progress() -> None:
    result = counts.delay(10)
    wait_until(lambda: result.status == "PROGRESS")
    wait_until(lambda: result.info and result.info.get("current", 0) > 2)
    progress = result.progress
    assert (progress.total, progress.percent is not None) == (10, True)
    assert progress.eta is not None
    assert result.get(timeout=10) == "done"
    assert result.status == "SUCCESS"


def test_a8_a_task_that_is_a_class() -> None:
    result = LongTask.delay(0.5)
    wait_until(lambda: result.state == "HALFWAY")
    wait_until(lambda: result.progress.percent == 42.0)
    assert result.get(timeout=10) == "done"


def test_a9_revoke(book: Path) -> None:
    waiting = add.apply_async((1, 1), countdown=60)
    assert waiting.revoke() == "revoked"
    with pytest.raises(TaskRevokedError):
        waiting.get(timeout=10)
    with worker("-P", "prefork", "-c", "2", "-Q", "killed"):
        sibling, stuck = (LongTask().apply_async((s,), queue="killed") for s in (1.5, 60))
        wait_until(lambda: stuck.state == sibling.state == "HALFWAY")
        assert (
            stuck.revoke(terminate=True, signal="SIGKILL", wait=True, timeout=10) == "terminating"
        )
        assert stuck.state == "REVOKED"
        assert sibling.get(timeout=10) == "done"


def test_a10_signals(book: Path) -> None:
    named.delay().get(timeout=10)
    wait_until(lambda: [entry.note for entry in ledger.read(book)] == [7])


def test_a11_a_loop_that_ends() -> None:
    assert seen_states(add.delay(1, 1))[-1] == "SUCCESS"
    revoked = add.apply_async((1, 1), countdown=60)
    revoked.revoke()
    assert seen_states(revoked)[-1] == "REVOKED"


def test_a12_a_task_looks_at_itself(running: WorkerProcess) -> None:
    result = looks_at_itself.apply_async(queue="mail")
    said = result.get(timeout=10)
    assert said["state"] == "STARTED"
    assert (said["id"], said["root_id"], said["parent_id"]) == (result.id, result.id, None)
    assert (said["args"], said["kwargs"], said["retries"]) == ([], {}, 0)
    assert (said["queue"], bool(said["hostname"])) == ("mail", True)


def test_a13_the_value_goes_first_and_says_so(settings: LazySettings) -> None:
    settings.TASKTRACK = {**settings.TASKTRACK, "result_expires": 604800}
    assert (config().RESULT_EXPIRES, config().RETENTION) == (604_800, 14 * 86_400)
    older, newer = add.delay(1, 1), add.delay(2, 2)
    failed, short = divide.delay(1, 0), kept_for_an_hour.delay()
    ended = {older: 8, newer: 6, failed: 20, short: 2 / 24}
    for result, days in ended.items():
        result.get(timeout=10, propagate=False)
        at = timezone.now() - timedelta(days=days)
        TrackedTask.objects.filter(pk=result.id).update(finished_at=at)
    with worker("-P", "threads", "-c", "1", tasktrack={"result_expires": 604800}):
        wait_until(lambda: AsyncResult(short.id).result_expired_at)
        wait_until(lambda: AsyncResult(older.id).result_expired_at)
    for result in (older, short):
        gone = AsyncResult(result.id)
        assert gone.state == "SUCCESS"
        with pytest.raises(ResultExpired, match="was kept until"):
            gone.get(timeout=1)
    assert AsyncResult(newer.id).get(timeout=1) == 4
    assert AsyncResult(failed.id).failed(), "failures stay for longer"


def test_a14_many_ids_by_one_query(caplog: pytest.LogCaptureFixture) -> None:
    results = [add.delay(n, n) for n in range(3)]
    for result in results:
        result.get(timeout=10)
    with caplog.at_level(logging.DEBUG):
        many = AsyncResult.many([*(r.id for r in results), new_id()])
        assert [r.state for r in many] == ["SUCCESS"] * 3 + ["UNKNOWN"]
