"""Addresses where nothing is: JSON, as everything of this API."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

ROOT = "/api/tasktrack/v1/"
PATHS = [
    "",
    "tasks/foo/",
    "tasks/foo/revoke/",
    "goals/x/",
    "workers/-1/",
    "tasks/1/2/3/",
    "goals/a\nb/",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["get", "options", "post", "put", "patch", "delete"])
def test_it_is_404_in_json(path: str, method: str, operator_client: APIClient) -> None:
    answer = getattr(operator_client, method)(ROOT + path)
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/json")
    assert answer.json() == {"detail": "Not found."}


@pytest.mark.parametrize("path", PATHS)
def test_who_may_not_ask_is_not_told_even_that(path: str, db: None) -> None:
    answer = APIClient().get(ROOT + path)
    assert (answer.status_code, answer["Content-Type"]) == (403, "application/json")


def test_missing_slash_is_still_added(operator_client: APIClient) -> None:
    answer = operator_client.get(f"{ROOT}tasks", follow=True)
    assert answer.redirect_chain == [(f"{ROOT}tasks/", 301)]
    assert answer.status_code == 200
