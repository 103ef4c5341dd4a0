"""Every endpoint × method × role has exactly the answer that stands here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import URLPattern, reverse
from rest_framework.test import APIClient

from django_tasktrack.rest_framework.urls import app_name, urlpatterns
from tests.factories import make_goal, make_task, make_worker

from .conftest import ROLES

Answers = Mapping[str, tuple[int, ...]]

METHODS = ("GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "POST")

# In the order of ROLES:  anonymous, user, owner, viewer, operator
EVERYONE = (403, 200, 200, 200, 200)
IF_VISIBLE = (403, 404, 200, 200, 200)
STAFF = (403, 403, 403, 200, 200)
NOBODY = (403, 405, 405, 405, 405)
NOT_EVEN_STAFF = (403, 403, 403, 405, 405)


def _read(get: tuple[int, ...]) -> Answers:
    return dict.fromkeys(METHODS, NOBODY) | {"GET": get, "HEAD": get, "OPTIONS": EVERYONE}


def _read_by_staff() -> Answers:
    read = dict.fromkeys(("GET", "HEAD", "OPTIONS"), STAFF)
    return dict.fromkeys(METHODS, NOT_EVEN_STAFF) | read


def _write(post: tuple[int, ...]) -> Answers:
    return dict.fromkeys(METHODS, NOBODY) | {"OPTIONS": EVERYONE, "POST": post}


TABLE: dict[str, Answers] = {
    "task-list": _read(EVERYONE),
    "task-status": _read(EVERYONE),
    "task-detail": _read(IF_VISIBLE),
    "task-history": _read(IF_VISIBLE),
    "task-revoke": _write((403, 404, 202, 403, 202)),
    "task-retry": _write((403, 404, 403, 403, 202)),
    "goal-list": _read_by_staff(),
    "goal-detail": _read_by_staff(),
    "goal-attempts": _read_by_staff(),
    "worker-list": _read_by_staff(),
    "worker-detail": _read_by_staff(),
}


@pytest.fixture
def url(owner: User) -> Callable[[str], str]:
    """The address of an endpoint, for rows whose state allows what it does."""

    def url(endpoint: str) -> str:
        state = "FAILURE" if endpoint == "task-retry" else "PENDING"
        task = make_task(state, owner=str(owner.pk))
        rows: dict[str, Any] = {"task": task, "goal": make_goal(), "worker": make_worker()}
        row = rows[endpoint.partition("-")[0]]
        whole = endpoint.endswith(("-list", "-status"))
        path = reverse(f"{app_name}:{endpoint}", args=[] if whole else [row.pk])
        return f"{path}?id={task.pk}" if endpoint == "task-status" else path

    return url


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("endpoint", TABLE)
def test_answers_are_exactly_those_of_the_table(
    endpoint: str,
    role: str,
    url: Callable[[str], str],
    client_for: Callable[[str], APIClient],
) -> None:
    address, client = url(endpoint), client_for(role)
    got = {method: client.generic(method, address).status_code for method in METHODS}
    assert got == {method: TABLE[endpoint][method][ROLES.index(role)] for method in METHODS}


def _endpoints(patterns: list[Any]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            yield str(pattern.name)
        else:
            yield from _endpoints(pattern.url_patterns)


def test_every_endpoint_stands_in_the_table() -> None:
    assert sorted(_endpoints(urlpatterns)) == sorted([*TABLE, "nowhere"])  # test_nowhere.py


@pytest.mark.parametrize("action", ["revoke", "retry"])
def test_a_session_without_its_csrf_token_cannot_write(
    action: str, operator_client: APIClient
) -> None:
    operator_client.handler.enforce_csrf_checks = True
    task = make_task("FAILURE")
    path = reverse(f"{app_name}:task-{action}", args=[task.pk])
    assert operator_client.post(path).status_code == 403


@pytest.mark.parametrize("pk", ["1", "x", "%00", "018f0000-0000-7000-8000-00000000000g", "../1"])
def test_a_malformed_id_in_the_path_is_not_found(pk: str, operator_client: APIClient) -> None:
    list_url = reverse(f"{app_name}:task-list")
    for rest in ("", "history/", "revoke/"):
        method = operator_client.post if rest == "revoke/" else operator_client.get
        assert method(f"{list_url}{pk}/{rest}").status_code == 404


@pytest.mark.parametrize("pk", ["0", "9" * 30, "9" * 5000, "-1", "x", "%00"])
@pytest.mark.parametrize("kind", ["goal", "worker"])
def test_a_number_that_no_row_has_is_not_found(
    kind: str, pk: str, operator_client: APIClient
) -> None:
    path = reverse(f"{app_name}:{kind}-list")
    assert operator_client.get(f"{path}{pk}/").status_code == 404
