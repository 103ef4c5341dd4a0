"""One poll for many progress bars: small rows, and 304 while there is no news."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from rest_framework.test import APIClient

from django_tasktrack import transitions
from django_tasktrack.ids import new_id
from django_tasktrack.models import Progress, PurgeHorizon, TrackedTask
from django_tasktrack.rest_framework.urls import app_name
from tests.factories import make_task, make_worker


def poll(client: APIClient, *tasks: Any, etag: str = "") -> HttpResponse:
    ids = [getattr(task, "pk", task) for task in tasks]
    headers = {"If-None-Match": etag} if etag else {}
    response: HttpResponse = client.get(
        reverse(f"{app_name}:task-status"), {"id": ids}, headers=headers
    )
    return response


def rows(response: Any) -> list[dict[str, Any]]:
    assert response.status_code == 200
    results: list[dict[str, Any]] = response.json()["results"]
    return results


def test_a_row_says_state_label_progress_and_whether_it_is_over(
    owner: User, owner_client: APIClient
) -> None:
    task = make_task("STARTED", owner=str(owner.pk), progress=(1, 4, "first page"))
    (row,) = rows(poll(owner_client, task))
    assert row == {
        "id": str(task.pk),
        "state": "STARTED",
        "label": "",
        "progress": {
            "current": 1.0,
            "total": 4.0,
            "percent": 25.0,
            "message": "first page",
            "eta": None,
        },
        "finished": False,
    }


def test_rows_come_once_each_in_the_order_asked_for(owner: User, owner_client: APIClient) -> None:
    tasks = [make_task(owner=str(owner.pk)) for _ in range(4)]
    mixed = [tasks[2], tasks[0], new_id(), tasks[3], tasks[0], tasks[1]]
    told = [row["id"] for row in rows(poll(owner_client, *mixed))]
    assert told == list(dict.fromkeys(str(getattr(task, "pk", task)) for task in mixed))


def test_a_hundred_ids_in_one_query_and_two_where_some_are_missing(
    owner: User, owner_client: APIClient
) -> None:
    worker = make_worker()
    tasks = [
        make_task("STARTED", owner=str(owner.pk), worker=worker, progress=(1, 2, ""))
        for _ in range(5)
    ]
    poll(owner_client, *tasks)  # warm

    def queries(*ids: Any) -> list[str]:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            rows(poll(owner_client, *ids))
        table = connection.ops.quote_name("tasktrack_")[:-1]
        return [query["sql"] for query in captured if f"FROM {table}" in query["sql"]]

    assert len(queries(*tasks)) == 1
    assert len(queries(*tasks, *(new_id() for _ in range(95)))) == 2


def test_missing_ids_are_unknown_or_expired(owner_client: APIClient) -> None:
    purged, younger = new_id(), new_id()
    PurgeHorizon.objects.create(task_id=purged)
    foreign = "018f0000-0000-7000-8000-000000000000"
    told = rows(poll(owner_client, purged, younger, foreign))
    assert [(row["state"], row["finished"]) for row in told] == [
        ("EXPIRED", True),
        ("UNKNOWN", False),
        ("UNKNOWN", False),
    ]
    assert all(row["progress"] is None for row in told)


# ETags


def test_no_news_is_304_without_a_body(owner: User, owner_client: APIClient) -> None:
    task = make_task("STARTED", owner=str(owner.pk), progress=(1, 4, ""))
    first = poll(owner_client, task)
    assert first["ETag"].startswith('W/"')
    assert "private" in first["Cache-Control"]
    again = poll(owner_client, task, etag=first["ETag"])
    assert (again.status_code, again.content) == (304, b"")
    assert again["ETag"] == first["ETag"]
    assert poll(owner_client, task, etag='W/"other"').status_code == 200


def test_the_time_left_is_no_news_by_itself(owner: User, owner_client: APIClient) -> None:
    task = make_task("STARTED", owner=str(owner.pk), progress=(1, 100, ""))
    progress = Progress.objects.get(task=task)
    before = progress.updated_at - timedelta(seconds=60)
    Progress.objects.filter(task=task).update(began_at=before)
    first = poll(owner_client, task)
    assert rows(first)[0]["progress"]["eta"] > 5000
    earlier = {"began_at": before - timedelta(hours=1), "updated_at": before}
    Progress.objects.filter(task=task).update(**earlier)
    assert poll(owner_client, task, etag=first["ETag"]).status_code == 304


def test_progress_label_state_and_company_are_news(owner: User, owner_client: APIClient) -> None:
    task = make_task("STARTED", owner=str(owner.pk), progress=(1, 4, ""))
    other = make_task(owner=str(owner.pk))
    seen = {poll(owner_client, task)["ETag"]}
    for change in ({"current": 2}, {"message": "hello"}, {"total": 5}):
        Progress.objects.filter(task=task).update(**change)
        seen.add(poll(owner_client, task)["ETag"])
    seen.add(poll(owner_client, task, other)["ETag"])
    transitions.revoke([other.pk])
    seen.add(poll(owner_client, task, other)["ETag"])
    assert len(seen) == 6


# Progress that is not what it was


def test_progress_of_an_attempt_that_was_replaced_is_not_shown(
    owner: User, owner_client: APIClient
) -> None:
    task = make_task("FAILURE", owner=str(owner.pk), progress=(3, 4, ""))
    assert rows(poll(owner_client, task))[0]["progress"]["percent"] == 75.0
    transitions.rerun([task.pk])
    assert rows(poll(owner_client, task))[0]["progress"] is None


def test_progress_stays_while_a_task_is_being_terminated(
    owner: User, owner_client: APIClient
) -> None:
    task = make_task("STARTED", owner=str(owner.pk), progress=(3, 4, ""))
    transitions.revoke([task.pk], signal="SIGTERM")
    assert TrackedTask.objects.get(pk=task.pk).lease == task.lease + 1
    assert rows(poll(owner_client, task))[0]["progress"]["percent"] == 75.0


@pytest.mark.parametrize("total", [0, 1e300, -5, 1e-300])
@pytest.mark.parametrize("current", [0, 1, 1e-300, 1e300, -1])
def test_absurd_numbers_are_shown_not_stumbled_over(
    current: float, total: float, owner: User, owner_client: APIClient
) -> None:
    task = make_task("STARTED", owner=str(owner.pk), progress=(current, total, ""))
    began = Progress.objects.get(task=task).began_at - timedelta(days=3)
    Progress.objects.filter(task=task).update(began_at=began)
    (row,) = rows(poll(owner_client, task))
    assert (row["progress"]["current"], row["progress"]["total"]) == (current, total)


def test_infinite_numbers_are_null(owner: User, owner_client: APIClient) -> None:
    if not connection.features.supports_json_field or connection.vendor == "mysql":
        pytest.skip("this database has no infinities")
    task = make_task("STARTED", owner=str(owner.pk), progress=(math.inf, math.inf, ""))
    (row,) = rows(poll(owner_client, task))
    assert row["progress"]["current"] is row["progress"]["total"] is None
