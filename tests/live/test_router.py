"""The tasks in one database by a router, the business data in another: all of it, with real workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import transaction
from django.test import Client
from django.urls import reverse

from django_tasktrack import AsyncResult, enqueue_many, goals
from django_tasktrack.models import GoalAttempt, TrackedTask
from django_tasktrack.rest_framework.urls import app_name
from django_tasktrack.transitions import Answer
from tests import invariants, ledger, routed
from tests.admin import pages
from tests.app import tasks
from tests.app.models import Entry
from tests.live.test_main_job import story
from tests.workers import wait_until, worker

pytestmark = [routed.both, pytest.mark.usefixtures("tasks_apart")]

KIND = "invoice.delivered"
APART: dict[str, Any] = {"settings": routed.SETTINGS}


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "asyncio"])
def test_tasks_run_report_and_retry(pool: str, book: Path) -> None:
    counting = tasks.counts.delay(20)
    many = enqueue_many(tasks.add, [((number, 1), {}) for number in range(5)])
    flaky, failing, writing = (
        tasks.flaky.delay(2),
        tasks.fails.delay(),
        tasks.writes_slowly.delay(0),
    )
    with worker("-P", pool, "-c", "2", **APART):
        wait_until(lambda: counting.progress.current)
        assert [result.get(timeout=20) for result in many] == [1, 2, 3, 4, 5]
        assert flaky.get(timeout=20) == 2
        with pytest.raises(ValueError, match="no"):
            failing.get(timeout=20)
        writing.get(timeout=20)
        assert counting.get(timeout=20) == 20
    assert counting.progress.percent == 100
    assert story(flaky) == ["PENDING", "STARTED", "RETRY", "STARTED", "SUCCESS"]
    assert Entry.objects.get().text == "slow"
    invariants.check([t.id for t in (counting, *many, flaky, failing, writing)], book)


def test_a_worker_starts_what_has_been_committed_and_nothing_else(book: Path) -> None:
    with worker("-c", "1", **APART):
        with transaction.atomic():
            Entry.objects.create(text="business")
            kept = tasks.noted.delay(1)
            assert kept.state == "UNKNOWN"
        assert kept.get(timeout=20) == 1
        with transaction.atomic():
            never = tasks.noted.delay(2)
            transaction.set_rollback(True)
        by_body = tasks.enqueues_in_a_transaction.delay(3, commit=True)
        not_by_body = tasks.enqueues_in_a_transaction.delay(4, commit=False)
        assert AsyncResult(by_body.get(timeout=20)).get(timeout=20) == 3
        assert AsyncResult(not_by_body.get(timeout=20)).state == "UNKNOWN"
    assert never.state == "UNKNOWN"
    assert sorted(Entry.objects.values_list("text", flat=True)) == ["3", "business"]
    assert {entry.note for entry in ledger.read(book)} == {1, 3}
    invariants.check(ledger_path=book)


def test_waiting_and_running_tasks_are_revoked(book: Path) -> None:
    waiting, running = tasks.noted.delay(1), tasks.counts.delay(1000)
    assert waiting.revoke(actor="ann") is Answer.REVOKED
    with worker("-c", "2", **APART):
        stubborn = tasks.counts.delay(1000, quiet=True)
        wait_until(lambda: {running.state, stubborn.state} == {"STARTED"})
        assert running.revoke(actor="ann", wait=True, timeout=10) is Answer.REQUESTED
        assert stubborn.revoke(terminate=True, wait=True, timeout=10) is Answer.TERMINATING
    assert story(waiting) == ["PENDING", "REVOKED"]
    assert story(running) == story(stubborn) == ["PENDING", "STARTED", "REVOKED"]
    invariants.check(ledger_path=book)


def test_a_killed_worker_s_task_runs_again(book: Path) -> None:
    task = tasks.noted.delay(1, seconds=1)
    with worker(**APART) as first:
        wait_until(lambda: task.state == "STARTED")
        first.kill_tree()
    with worker(**APART):
        assert task.get(timeout=20) == 1
    assert task.history()[-1].attempt == 2
    invariants.check([task.id], book)


def test_goals_are_achieved_by_bodies_and_by_success(book: Path) -> None:
    by_body = goals.pursue(KIND, key=1, task=tasks.achieves, args=[KIND, 1], kwargs={"evidence": 7})
    by_success = goals.pursue(KIND, key=2, task=tasks.add, args=[1, 2], achieve_on_success=True)
    at_last = goals.pursue(
        KIND, key=3, task=tasks.succeeds_at_last, args=[3], achieve_on_success=True
    )
    with worker(**APART, tasktrack={"GOAL_BACKOFF": 0.2}):
        wait_until(lambda: by_body.refresh().state == "ACHIEVED")
        wait_until(lambda: by_success.refresh().state == "ACHIEVED")
        wait_until(lambda: at_last.refresh().state == "ACHIEVED")
    assert by_body.evidence == 7
    assert [attempt.state for attempt in at_last.attempts()] == ["FAILURE", "FAILURE", "SUCCESS"]
    assert at_last.status().task_state == "SUCCESS"
    invariants.check()


def test_a_goal_is_no_part_of_the_body_s_transaction() -> None:
    """What the warning tasktrack.W004 is about."""
    goal = goals.pursue(
        KIND, key=1, task=tasks.achieves, args=[KIND, 1], kwargs={"then_fail": True}
    )
    with worker(**APART):
        wait_until(lambda: goal.attempts()[0].state == "FAILURE")
    assert goal.refresh().state == "ACHIEVED"
    with transaction.atomic():
        goals.pursue(KIND, key=2, task=tasks.add, args=[1, 2])
        transaction.set_rollback(True)
    assert goals.get(KIND, 2).state == "ACTIVE"


def test_purge_takes_tasks_and_leaves_goals() -> None:
    goal = goals.pursue(KIND, key=1, task=tasks.add, args=[1, 2], achieve_on_success=True)
    with worker(**APART):
        wait_until(lambda: goal.refresh().state == "ACHIEVED")
    task_id = goal.attempts()[0].task_id
    call_command("tasktrack", "purge", "--older-than", "0s")
    assert not TrackedTask.objects.exists()
    assert GoalAttempt.objects.get().state == "SUCCESS"
    assert AsyncResult(task_id).state == "EXPIRED"


def test_admin_and_rest_show_and_revoke(client: Client) -> None:
    client.force_login(User.objects.create_superuser("ann"))
    goal = goals.pursue(KIND, key=1, task=tasks.add, args=[1, 2])
    done, by_admin, by_rest = (
        tasks.counts.delay(2),
        tasks.counts.delay(900),
        tasks.counts.delay(901),
    )
    with worker("-c", "2", **APART) as running:
        done.get(timeout=20)
        wait_until(lambda: by_rest.state == "STARTED")
        for row in (*TrackedTask.objects.all(), goal.row, running.row):
            assert client.get(pages.page(row)).status_code == 200
        assert done.id in client.get(pages.TASKS).content.decode()
        assert client.get(pages.GOALS).status_code == 200
        assert client.get(pages.WORKERS).status_code == 200
        pages.confirm(client, "revoke", TrackedTask.objects.get(pk=by_admin.id))
        wait_until(by_admin.revoked)
        assert rest(client, "task-list")["results"]
        assert rest(client, "goal-list")["results"]
        assert rest(client, "worker-list")["results"]
        assert rest(client, "task-detail", done.id)["state"] == "SUCCESS"
        assert rest(client, "task-history", done.id)["results"]
        path = reverse(f"{app_name}:task-revoke", args=[by_rest.id])
        revoking = client.post(path, {}, content_type="application/json")
        assert revoking.json()["answer"] == "requested"
        wait_until(by_rest.revoked)
    assert by_admin.history()[-1].actor == by_rest.history()[-1].actor == "user:ann"
    invariants.check()


def rest(client: Client, name: str, *args: str) -> Any:
    response = client.get(reverse(f"{app_name}:{name}", args=args))
    assert response.status_code == 200
    return response.json()


def test_a_copy_that_lags_behind_decides_nothing(book: Path) -> None:
    """Whatever a router says of reads: what the work depends on is read where it is written."""
    with routed.using(routed.Lagging), routed.unreachable("replica"):
        task, late = tasks.noted.delay(1), tasks.counts.delay(1000)
        goal = goals.pursue(KIND, key=1, task=tasks.achieves, args=[KIND, 1])
        with worker(
            "-c", "2", settings="tests.lagging_settings", wait=False
        ):  # nor can the test see its row
            assert task.get(timeout=20) == 1
            wait_until(lambda: late.state == "STARTED")
            late.revoke(wait=True, timeout=10)
            wait_until(lambda: goal.status().state == "ACHIEVED")
            assert story(task) == ["PENDING", "STARTED", "SUCCESS"]
            assert goals.get(KIND, 1).attempts()
        assert late.rerun() is Answer.QUEUED
        assert late.revoke() is Answer.REVOKED
        call_command("tasktrack", "purge", "--older-than", "0s")
        assert AsyncResult(task.id).state == "EXPIRED"
