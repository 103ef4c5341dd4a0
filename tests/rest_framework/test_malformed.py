"""Malformed input is answered with 400 that says what is wrong, never with 500."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from django.conf import LazySettings
from django.urls import reverse
from rest_framework.test import APIClient

from django_tasktrack.models import StateChange, TrackedTask
from django_tasktrack.rest_framework.filters import MomentField
from django_tasktrack.rest_framework.parsers import MAX_BODY_BYTES
from django_tasktrack.rest_framework.urls import app_name
from tests.factories import make_task

LIST, STATUS = f"{app_name}:task-list", f"{app_name}:task-status"
ANY = "018f0000-0000-7000-8000-000000000000"


# Query strings


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("colour=red", "colour"),
        ("state__in=PENDING", "state__in"),
        ("state[0]=PENDING", "state[0]"),
        ("args__path=1", "args__path"),
        ("worker__name=x", "worker__name"),
        ("name=x", "name"),
        ("ordering=args", "ordering"),
        ("%00=1", "\\x00"),
        ("state=DONE", "state"),
        ("state=", "state"),
        ("state=PENDING&state=pending", "state"),
        ("state=%00", "state"),
        ("task=%00", "task"),
        ("task=" + "x" * 256, "task"),
        ("task=a&task=b", "task"),
        ("queue=", "queue"),
        ("queue=a%00b", "queue"),
        ("owner=%00", "owner"),
        ("owner=", "owner"),
        ("worker=x", "worker"),
        ("worker=1.5", "worker"),
        ("worker=0", "worker"),
        ("worker=" + "9" * 30, "worker"),
        ("worker=" + "9" * 5000, "worker"),
        ("id__in=", "id__in"),
        ("id__in=1", "id__in"),
        (f"id__in={ANY},", "id__in"),
        ("id__in=%00", "id__in"),
        ("id__in=" + ",".join([ANY] * 101), "id__in"),
        ("created_at__gte=yesterday", "created_at__gte"),
        ("created_at__gte=2026-05-01", "created_at__gte"),
        ("created_at__gte=2026-05-01T12:00:00", "created_at__gte"),
        ("created_at__gte=2026-05-01T12:00:00+00:00", "created_at__gte"),  # "+" is a space here
        ("created_at__gte=2026-13-01T00:00:00Z", "created_at__gte"),
        ("created_at__gte=0001-01-01T00:00:00%2B14:00", "created_at__gte"),
        ("created_at__lt=9999-12-31T23:59:59-14:00", "created_at__lt"),
        ("created_at__lt=%00", "created_at__lt"),
        ("created_at__lt=99999999999999", "created_at__lt"),
        ("page_size=abc", "page_size"),
        ("page_size=0", "page_size"),
        ("page_size=-1", "page_size"),
        ("page_size=1.5", "page_size"),
        ("page_size=", "page_size"),
        ("page_size=%00", "page_size"),
        ("page_size=" + "9" * 5000, "page_size"),
        ("cursor=%00", "cursor"),
    ],
)
def test_a_bad_parameter_is_named(query: str, parameter: str, operator_client: APIClient) -> None:
    answer = operator_client.get(f"{reverse(LIST)}?{query}")
    assert answer.status_code == 400
    assert list(answer.json()) == [parameter]


def test_a_time_is_told_as_the_database_holds_it(settings: LazySettings) -> None:
    settings.TIME_ZONE = "Asia/Taipei"
    for use_tz, held in (
        (True, datetime(2026, 5, 1, 12, tzinfo=UTC)),
        (False, datetime(2026, 5, 1, 20)),
    ):
        settings.USE_TZ = use_tz
        assert MomentField().run_validation("2026-05-01T14:00:00+02:00") == held


def test_an_unknown_parameter_is_answered_with_the_known_ones(viewer_client: APIClient) -> None:
    answer = viewer_client.get(reverse(LIST), {"colour": "red"}).json()
    known = "created_at__gte, created_at__lt, cursor, id__in, owner, page_size, queue, state, task"
    assert answer == {"colour": [f"Unknown parameter. Known: {known}, worker."]}


def test_an_unknown_state_is_answered_with_the_known_ones(viewer_client: APIClient) -> None:
    (message,) = viewer_client.get(reverse(LIST), {"state": "DONE"}).json()["state"]
    assert "PENDING, STARTED, RETRY, SUCCESS, FAILURE, REVOKED" in message


@pytest.mark.parametrize("query", ["task=%ff", "queue=%c3%28", "%ff=1", "cursor=%ed%a0%80"])
def test_a_query_that_is_not_utf8_is_refused(query: str, viewer_client: APIClient) -> None:
    assert viewer_client.get(f"{reverse(LIST)}?{query}").status_code == 400


@pytest.mark.parametrize("charset", ["utf-16", "no-such"])
def test_the_charset_of_a_body_does_not_change_the_query(
    charset: str, viewer_client: APIClient
) -> None:
    # Charsets that are no text encodings ("zip") are refused by Django before any view is asked.
    task = make_task(queue="grün")
    kind = f"application/json; charset={charset}"
    answer = viewer_client.generic("GET", f"{reverse(LIST)}?queue=gr%C3%BCn", content_type=kind)
    assert [row["id"] for row in answer.json()["results"]] == [str(task.pk)]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "id=",
        "id=1",
        "id=%00",
        f"id={ANY}&id=x",
        f"ids={ANY}",
        f"id={ANY}&state=PENDING",
        "&".join([f"id={ANY}"] * 101),
    ],
)
def test_bad_ids_of_a_status_poll_are_refused(query: str, owner_client: APIClient) -> None:
    assert owner_client.get(f"{reverse(STATUS)}?{query}").status_code == 400


@pytest.mark.parametrize("query", ["expand=args", "expand=history&expand=history", "fields=args"])
def test_bad_parameters_of_the_detail_are_refused(query: str, operator_client: APIClient) -> None:
    path = reverse(f"{app_name}:task-detail", args=[make_task().pk])
    assert operator_client.get(f"{path}?{query}").status_code == 400


def test_more_parameters_than_django_reads_are_refused(viewer_client: APIClient) -> None:
    assert viewer_client.get(f"{reverse(LIST)}?{'a=1&' * 1001}").status_code == 400


# Bodies


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nonsense",
        b"null",
        b"[]",
        b"1",
        b'"terminate"',
        b"\xff\xfe",
        b"\x00",
        b"[" * 30_000,
        b'{"a":' * 10_000,
        b'{"terminate": NaN}',
        b'{"terminate": "maybe"}',
        b'{"terminate": null}',
        b'{"terminate": []}',
        b'{"terminate": 1' + b"0" * 5000 + b"}",
        b'{"terminate": true, "signal": "SIGSEGV"}',
        b'{"terminate": true, "signal": "\\ud800"}',
        b'{"terminate": true, "signal": {"a": 1}}',
        b'{"terminate": true, "signal": null}',
        b'{"signal": "SIGTERM"}',
        b'{"reason": 1.5e999}',
        b'{"reason": ["x"]}',
        b'{"reason": 1}',
        b'{"reason": null}',
        b'{"reason": "a\\u0000b"}',
        b'{"reason": "\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"\\u0000": 1}',
        b'{"reason": "' + b"x" * 256 + b'"}',
        b'{"ids": []}',
        '{"reason": "x"}'.encode("utf-16"),
    ],
)
def test_a_bad_body_is_refused_and_nothing_happens(body: bytes, operator_client: APIClient) -> None:
    task = make_task()
    path = reverse(f"{app_name}:task-revoke", args=[task.pk])
    answer = operator_client.post(path, body, content_type="application/json")
    assert answer.status_code == 400
    json.loads(answer.content)
    assert TrackedTask.objects.get(pk=task.pk).state == "PENDING"
    assert StateChange.objects.filter(task=task).count() == 1


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 2_000_000])
def test_a_long_body_is_refused_unparsed(size: int, operator_client: APIClient) -> None:
    path = reverse(f"{app_name}:task-revoke", args=[make_task().pk])
    answer = operator_client.post(path, b"[" * size, content_type="application/json")
    assert answer.status_code == 413


@pytest.mark.parametrize("charset", ["zip", "bz2", "hex", "utf-16", "no-such"])
def test_bodies_are_utf8_whatever_their_charset_says(
    charset: str, operator_client: APIClient
) -> None:
    path = reverse(f"{app_name}:task-revoke", args=[make_task().pk])
    kind = f"application/json; charset={charset}"
    assert operator_client.post(path, b'{"reason": "x"}', content_type=kind).status_code == 202


@pytest.mark.parametrize(
    "kind",
    [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "application/x-yaml",
        "application/python-pickle",
        "application/octet-stream",
        "nonsense",
        "",
    ],
)
@pytest.mark.parametrize("action", ["revoke", "retry"])
def test_only_json_is_parsed(action: str, kind: str, operator_client: APIClient) -> None:
    path = reverse(f"{app_name}:task-{action}", args=[make_task("FAILURE").pk])
    answer = operator_client.generic("POST", path, "reason=x", content_type=kind)
    assert answer.status_code == 415


def test_parameters_of_a_post_belong_in_its_body(operator_client: APIClient) -> None:
    task = make_task()
    path = reverse(f"{app_name}:task-revoke", args=[task.pk])
    assert operator_client.post(f"{path}?terminate=true").status_code == 400
    assert TrackedTask.objects.get(pk=task.pk).state == "PENDING"


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "nonsense"])
def test_answers_are_json_or_none(accept: str, viewer_client: APIClient) -> None:
    assert viewer_client.get(reverse(LIST), headers={"Accept": accept}).status_code == 406


def test_the_format_may_be_said_in_the_query(viewer_client: APIClient) -> None:
    assert viewer_client.get(reverse(LIST), {"format": "json"}).status_code == 200
    assert viewer_client.get(reverse(LIST), {"format": "api"}).status_code == 404
