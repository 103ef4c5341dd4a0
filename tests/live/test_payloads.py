"""Payloads, routes and settings of workers, with real ones."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.conf import LazySettings
from django.test import override_settings

from django_tasktrack import transitions
from django_tasktrack.exceptions import TaskFailure
from django_tasktrack.models import Worker
from django_tasktrack.serializers import serialize_with
from tests.app import tasks
from tests.app.kinds import Color
from tests.app.models import Entry
from tests.factories import new_task
from tests.inline import row
from tests.live.test_main_job import story
from tests.workers import wait_until, worker


@pytest.mark.parametrize("pool", ["asyncio", "prefork", "threads", "solo"])
def test_instances_reach_bodies_in_every_pool_and_come_back(pool: str) -> None:
    entry, gone = Entry.objects.create(text="here"), Entry.objects.create(text="gone")
    told, missing = tasks.tells_of.delay(entry), tasks.tells_of.delay(gone)
    gone.delete()
    with worker("-P", pool):
        assert told.get(timeout=20) == {"here": (entry, Color.RED)}
        with pytest.raises(TaskFailure, match=r"testapp\.Entry \d+ is gone"):
            missing.get(timeout=20)
    assert story(missing) == ["PENDING", "STARTED", "FAILURE"]


def test_row_under_an_old_name_is_claimed_and_run() -> None:
    args = serialize_with("tagged")([Entry.objects.create(text="old")], "args")
    old = new_task(name="tests.app.tasks.told_of")._replace(args=args)
    transitions.enqueue([old])
    with worker():
        wait_until(lambda: row(old.task_id).state == "SUCCESS")


def test_settings_of_the_worker_are_followed() -> None:
    value = {datetime(2026, 1, 1, tzinfo=UTC): Decimal("1.50")}
    settings = {"task_serializer": "tagged", "worker_pool": "threads", "worker_concurrency": 3}
    with override_settings(TASKTRACK={"task_serializer": "tagged"}):
        given = tasks.echo.delay(value)
    with worker(tasktrack=settings) as running:
        assert given.get(timeout=20) == value
        wait_until(lambda: running.row is not None)
        found = Worker.objects.get(pid=running.pid)
        assert (found.pool, found.concurrency) == ("threads", 3)


def test_ignored_result_leaves_state_and_history(settings: LazySettings) -> None:
    ignoring = {"task_ignore_result": True, "STORE_ERRORS_EVEN_IF_IGNORED": False}
    settings.TASKTRACK = {**settings.TASKTRACK, **ignoring}
    done, failed = tasks.echo.delay("secret"), tasks.fails.delay()
    with worker(tasktrack=ignoring):
        assert done.get(timeout=20) is None
        with pytest.raises(TaskFailure):
            failed.get(timeout=20)
    assert (story(done), story(failed)) == (
        ["PENDING", "STARTED", "SUCCESS"],
        ["PENDING", "STARTED", "FAILURE"],
    )
    assert (row(failed.id).error_message, row(failed.id).traceback) == ("", "")
    assert row(failed.id).error_type
