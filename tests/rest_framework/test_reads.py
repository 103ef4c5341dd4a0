"""Reads write nothing, ask the database a constant number of questions, and filter as they say."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from django_tasktrack.models import TrackedTask
from django_tasktrack.rest_framework.urls import app_name
from django_tasktrack.serializers import serialize_with
from tests.factories import make_goal, make_task, make_worker

BIG = ("args", "kwargs", "result", "traceback")


def url(name: str, *args: object) -> str:
    return reverse(f"{app_name}:{name}", args=args)


def make_rows(count: int) -> TrackedTask:
    """Running and failed tasks with everything that is joined to them; one that runs."""
    running = []
    for _ in range(count):
        goal = make_goal(key=str(TrackedTask.objects.count()))
        running.append(make_task("STARTED", goal=goal, progress=(1, 2, "")))
        make_task("FAILURE", goal=goal)
    return running[-1]


def reads(task: TrackedTask) -> list[str]:
    goal, worker = task.goal_id, task.worker_id
    ids = [f"id={pk}" for pk in TrackedTask.objects.values_list("pk", flat=True)]
    return [
        url("task-list"),
        url("task-detail", task.pk),
        url("task-detail", task.pk) + "?expand=history",
        url("task-history", task.pk),
        f"{url('task-status')}?{'&'.join(ids)}",
        url("goal-list"),
        url("goal-detail", goal),
        url("goal-attempts", goal),
        url("worker-list"),
        url("worker-detail", worker),
    ]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reads_only_select(method: str, operator_client: APIClient) -> None:
    task = make_rows(1)
    for path in [*reads(task), url("task-revoke", task.pk), url("task-retry", task.pk)]:
        with CaptureQueriesContext(connection) as captured:
            operator_client.generic(method, path)
        assert captured.captured_queries
        assert {query["sql"].split()[0] for query in captured} == {"SELECT"}


def test_the_number_of_queries_does_not_grow_with_the_rows(operator_client: APIClient) -> None:
    def counts(task: TrackedTask) -> list[int]:
        found = []
        for path in reads(task):
            with CaptureQueriesContext(connection) as captured:
                assert operator_client.get(path).status_code == 200
            found.append(len(captured))
        return found

    few = counts(make_rows(1))
    assert counts(make_rows(10)) == few
    # Two for the session's user and two for the permissions; then one or two for the rows.
    assert max(few) <= 6


def test_lists_and_polls_leave_big_columns_where_they_are(
    operator_client: APIClient, owner: User, owner_client: APIClient
) -> None:
    task = make_task("FAILURE", owner=str(owner.pk))
    polled = url("task-status") + f"?id={task.pk}"
    for client in (operator_client, owner_client):
        for path in (url("task-list"), polled):
            with CaptureQueriesContext(connection) as captured:
                assert client.get(path).status_code == 200
            sql = " ".join(query["sql"] for query in captured)
            assert [name for name in BIG if f'"{name}"' in sql] == []


def test_a_worker_whose_row_is_gone_is_told_by_its_number(operator_client: APIClient) -> None:
    worker = make_worker()
    task = make_task("STARTED", worker=worker)
    number = worker.pk
    worker.delete()
    told = operator_client.get(url("task-detail", task.pk)).json()["worker"]
    assert told == {"id": number, "name": None}


def test_the_times_of_a_task_come_in_the_order_of_its_life(operator_client: APIClient) -> None:
    path = url("task-detail", make_task("FAILURE").pk)
    task = operator_client.get(path, {"expand": "history"}).json()
    life = [datetime.fromisoformat(change["at"]) for change in task["history"]]
    assert life == sorted(life)
    times = [
        datetime.fromisoformat(task[f"{name}_at"]) for name in ("created", "started", "finished")
    ]
    assert times == life


# Filters


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("state=PENDING", {"waiting"}),
        ("state=PENDING&state=FAILURE", {"waiting", "failed"}),
        ("queue=mail", {"failed"}),
        ("task=tests.other", {"running"}),
        ("owner=7", {"waiting"}),
        ("worker={worker}", {"running"}),
        ("id__in={waiting},{failed}", {"waiting", "failed"}),
        ("id__in={waiting}&id__in={failed}", {"waiting", "failed"}),
        ("id__in={waiting}&state=FAILURE", set()),
        ("created_at__gte={past}", {"waiting", "failed", "running"}),
        ("created_at__lt={past}", set()),
        ("created_at__gte={past}&created_at__lt={future}", {"waiting", "failed", "running"}),
        ("created_at__gte={future}", set()),
        ("queue=no-such-queue", set()),
    ],
)
def test_filters(query: str, expected: set[str], viewer_client: APIClient) -> None:
    worker = make_worker()
    tasks = {
        "waiting": make_task(owner="7"),
        "failed": make_task("FAILURE", queue="mail"),
        "running": make_task("STARTED", name="tests.other", worker=worker),
    }
    now = tasks["waiting"].created_at
    hour = timedelta(hours=1)
    times = {"past": now - hour, "future": now + hour}
    asked = query.format(
        worker=worker.pk,
        **{name: task.pk for name, task in tasks.items()},
        **{name: at.isoformat().replace("+", "%2B") for name, at in times.items()},
    )
    found = viewer_client.get(f"{url('task-list')}?{asked}").json()["results"]
    assert {row["id"] for row in found} == {str(tasks[name].pk) for name in expected}


@pytest.mark.parametrize(
    ("query", "keys"),
    [("kind=a", ["2", "1"]), ("key=2", ["2"]), ("state=FAILED", ["3"]), ("kind=b&key=1", [])],
)
def test_goal_filters(query: str, keys: list[str], viewer_client: APIClient) -> None:
    make_goal(kind="a", key="1")
    make_goal(kind="a", key="2")
    make_goal(kind="b", key="3", state="FAILED")
    found = viewer_client.get(f"{url('goal-list')}?{query}").json()["results"]
    assert [goal["key"] for goal in found] == keys


def stored_user() -> User:
    """As if it had been saved, and is gone."""
    user = User(pk=7)
    user._state.adding = False
    return user


def test_value_that_has_expired_is_no_null_that_was_returned(operator_client: APIClient) -> None:
    tasks = make_task("SUCCESS", result=None), make_task("SUCCESS", result=1)
    at = timezone.now()
    TrackedTask.objects.filter(pk=tasks[1].pk).update(result=None, result_expired_at=at)
    shown = [operator_client.get(url("task-detail", task.pk)).json() for task in tasks]
    assert [one["result"] for one in shown] == [None, None]
    assert [one["result_expired_at"] for one in shown] == [
        None, at.isoformat().replace("+00:00", "Z"),
    ]  # fmt: skip


def test_tagged_payloads_are_shown_as_plain_json(operator_client: APIClient) -> None:
    tagged = serialize_with("tagged")
    values = {
        name: json.loads(tagged(value, name))
        for name, value in {
            "args": [date(2026, 5, 1), stored_user()],
            "kwargs": {"price": Decimal("9.90")},
            "result": {UUID(int=1)},
        }.items()
    }
    task = make_task("SUCCESS", **values)
    shown = operator_client.get(url("task-detail", task.pk)).json()
    assert shown["args"] == ["2026-05-01", {"model": "auth.user", "pk": 7}]
    assert shown["kwargs"] == {"price": "9.90"}
    assert shown["result"] == [str(UUID(int=1))]
    goal = make_goal(task_args=values["args"], task_kwargs=values["kwargs"])
    shown = operator_client.get(url("goal-detail", goal.pk)).json()
    assert shown["task_args"] == ["2026-05-01", {"model": "auth.user", "pk": 7}]
    assert shown["task_kwargs"] == {"price": "9.90"}


# PostgreSQL


def test_own_tasks_are_found_by_their_index(owner: User, owner_client: APIClient) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("reads a plan of PostgreSQL")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    with CaptureQueriesContext(connection) as captured:
        owner_client.get(url("task-list"))
    (sql,) = [query["sql"] for query in captured if 'FROM "tasktrack_trackedtask"' in query["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {sql}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "tasktrack_owner" in plan
    assert "Sort" not in plan
