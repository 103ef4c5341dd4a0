"""Pages follow a unique key: each row once, whatever happens between two of them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.signing import Signer
from django.urls import reverse
from rest_framework.test import APIClient

from django_tasktrack import transitions
from django_tasktrack.models import TrackedTask
from django_tasktrack.rest_framework.urls import app_name
from tests.factories import make_goal, make_task, make_worker, new_task

TASKS = f"{app_name}:task-list"


def make_many(count: int) -> None:
    """Rows of one statement, so all of one timestamp."""
    transitions.enqueue([new_task() for _ in range(count)])


def walk(client: APIClient, start: str, link: str = "next") -> Iterator[dict[str, Any]]:
    """The pages from ``start`` along one kind of link."""
    following = start
    for _ in range(100):
        page = client.get(following).json()
        yield page
        following = page[link]
        if following is None:
            return
    pytest.fail("The links lead round in a circle.")


def ids(pages: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for page in pages for row in page["results"]]


def cursor_in(link: str) -> str:
    return parse_qs(urlsplit(link).query)["cursor"][0]


@pytest.mark.parametrize("page_size", [1, 37, 100])
def test_each_row_of_one_timestamp_comes_exactly_once(
    page_size: int, viewer_client: APIClient
) -> None:
    count = 30 if page_size == 1 else 500
    make_many(count)
    assert TrackedTask.objects.values("created_at").distinct().count() == 1
    pages = list(walk(viewer_client, f"{reverse(TASKS)}?page_size={page_size}"))
    assert len(pages) == -(-count // page_size)
    newest_first = TrackedTask.objects.order_by("-pk").values_list("pk", flat=True)
    assert ids(pages) == [str(pk) for pk in newest_first]


def test_rows_inserted_meanwhile_neither_repeat_nor_hide_others(viewer_client: APIClient) -> None:
    make_many(500)
    there = {str(pk) for pk in TrackedTask.objects.values_list("pk", flat=True)}
    pages = []
    for page in walk(viewer_client, f"{reverse(TASKS)}?page_size=60"):
        pages.append(page)
        make_many(70)  # more than a page
    assert len(ids(pages)) == len(set(ids(pages)))
    assert set(ids(pages)) == there


def test_previous_leads_back_over_the_same_rows(viewer_client: APIClient) -> None:
    make_many(95)
    forth = list(walk(viewer_client, f"{reverse(TASKS)}?page_size=10"))
    assert forth[0]["previous"] is None
    back = list(walk(viewer_client, forth[-1]["previous"], "previous"))
    back.reverse()
    assert ids(back) == ids(forth[:-1])
    assert back[0]["previous"] is None


def test_links_keep_the_filters(viewer_client: APIClient) -> None:
    transitions.enqueue([new_task(queue=queue) for queue in ("mail", "other") * 12])
    pages = list(walk(viewer_client, f"{reverse(TASKS)}?queue=mail&page_size=5"))
    assert [len(page["results"]) for page in pages] == [5, 5, 2]
    assert {row["queue"] for page in pages for row in page["results"]} == {"mail"}


@pytest.mark.parametrize("asked", ["100", "101", "1000000000", "9" * 900])
def test_page_size_is_capped(asked: str, viewer_client: APIClient) -> None:
    make_many(120)
    page = viewer_client.get(reverse(TASKS), {"page_size": asked}).json()
    assert len(page["results"]) == 100


def test_goals_workers_histories_and_attempts_have_pages_too(viewer_client: APIClient) -> None:
    goals = [make_goal(key=str(number)) for number in range(3)]
    tasks = [make_task("FAILURE", goal=goals[0]) for _ in range(3)]
    make_worker()
    expected = {
        reverse(f"{app_name}:goal-list"): [goal.pk for goal in reversed(goals)],
        reverse(f"{app_name}:goal-attempts", args=[goals[0].pk]): [1, 2, 3],
        reverse(f"{app_name}:task-history", args=[tasks[0].pk]): [1, 2, 3],
    }
    for path, keys in expected.items():
        pages = list(walk(viewer_client, f"{path}?page_size=2"))
        rows = [row for page in pages for row in page["results"]]
        assert [row.get("id", row.get("seq", row.get("number"))) for row in rows] == keys
        assert len(pages) == 2
    workers = list(walk(viewer_client, f"{reverse(f'{app_name}:worker-list')}?page_size=1"))
    assert [len(page["results"]) for page in workers] == [1] * 4


# Cursors


def _signed(value: object, salt: str = "x") -> str:
    return Signer(salt=salt).sign_object(value)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        ":",
        "a:b",
        "\x00",
        "☃",
        "9" * 3000,
        base64.b64encode(b"p=1").decode(),
        base64.b64encode(b"p=%00&o=99999999999&r=x").decode(),
        base64.b64encode(b"\xff\xfe").decode(),
        _signed(["018f0000-0000-7000-8000-000000000000", False]),
        _signed("no list at all"),
    ],
)
@pytest.mark.parametrize("endpoint", ["task-list", "goal-list", "worker-list"])
def test_a_cursor_that_was_not_issued_here_is_refused(
    endpoint: str, cursor: str, viewer_client: APIClient
) -> None:
    answer = viewer_client.get(reverse(f"{app_name}:{endpoint}"), {"cursor": cursor})
    assert answer.status_code == 400
    assert list(answer.json()) == ["cursor"]


def test_a_cursor_that_was_changed_is_refused(viewer_client: APIClient) -> None:
    make_many(3)
    page = viewer_client.get(reverse(TASKS), {"page_size": 1}).json()
    cursor = cursor_in(page["next"])
    for place in range(len(cursor)):
        other = "A" if cursor[place] != "A" else "B"
        changed = cursor[:place] + other + cursor[place + 1 :]
        assert viewer_client.get(reverse(TASKS), {"cursor": changed}).status_code == 400


def test_a_cursor_of_another_list_is_refused(viewer_client: APIClient) -> None:
    make_many(3)
    page = viewer_client.get(reverse(TASKS), {"page_size": 1}).json()
    goals = reverse(f"{app_name}:goal-list")
    assert viewer_client.get(goals, {"cursor": cursor_in(page["next"])}).status_code == 400
