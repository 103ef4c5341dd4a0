"""``self.request``: all that Celery code looks for in it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from django_tasktrack.models import TrackedTask
from django_tasktrack.request import Request, related
from django_tasktrack.transitions import publishing
from tests.test_declaration import make_claim

_SOON = datetime(2100, 1, 1, tzinfo=UTC)


def test_a_claim_is_told_under_celery_s_names() -> None:
    claim = make_claim(
        attempt=3, losses=1, queue="mail", priority=5, owner="7", eta=_SOON, expires_at=_SOON,
        time_limit=9.0, soft_time_limit=8.0,
    )  # fmt: skip
    request = Request.of_claim(claim, (1,), {"k": 2}, "w1@host")
    task_id = str(claim.task_id)
    assert (request.id, request.correlation_id, request.root_id) == (task_id, task_id, task_id)
    assert (request.parent_id, request.group, request.reply_to, request.origin) == (None,) * 4
    assert (request.args, request.kwargs, request.retries, request.attempt) == (
        (1,),
        {"k": 2},
        1,
        3,
    )
    assert (request.eta, request.expires, request.timelimit) == (_SOON, _SOON, (9.0, 8.0))
    assert request.delivery_info == {
        "exchange": "", "routing_key": "mail", "priority": 5, "redelivered": True,
    }  # fmt: skip
    assert (request.utc, request.is_eager, request.called_directly) == (True, False, False)
    assert (request.argsrepr, request.kwargsrepr) == ("(1,)", "{'k': 2}")
    assert (request.hostname, request.owner, dict(request.headers)) == ("w1@host", "7", {})


def test_what_a_row_says_of_others_is_told() -> None:
    ids = {name: uuid4() for name in ("root_id", "parent_id", "group_id")}
    claim = make_claim(**ids, headers='{"trace": 1, "origin": "web@host"}', ignore_result=True)
    for one in (
        claim,
        TrackedTask(**ids, headers=json.loads(claim.headers or ""), ignore_result=True),
    ):
        request = Request(id="x", **related(one, "x"))
        assert (request.root_id, request.parent_id, request.group) == tuple(map(str, ids.values()))
        assert (request.headers["trace"], request.origin) == (1, "web@host")
        assert request.ignore_result


def test_what_a_message_s_headers_would_be() -> None:
    claim = make_claim(headers='{"trace": "a b", "id": "mine"}', attempt=2, queue="mail")
    request = Request.of_claim(claim, (1,), {}, "w1@host")
    headers = request.request_dict
    assert (headers["trace"], headers["retries"], headers["argsrepr"]) == ("a b", 1, "(1,)")
    assert headers["id"] == str(claim.task_id), "not what somebody has put there"
    assert set(headers) - {"trace"} == publishing._MESSAGE - {"lang"}
    assert request._request_dict == headers


def test_it_is_asked_like_a_dict_too() -> None:
    request = Request(id="x")
    assert (request.get("id"), request.get("chord"), request.get("chord", 5)) == ("x", None, 5)


def test_long_arguments_are_cut_for_people() -> None:
    request = Request(args=("x" * 10_000,), kwargs={"k": list(range(1000))})
    assert len(request.argsrepr) < 500
    assert len(request.kwargsrepr) < 500


def test_outside_of_a_run_it_is_empty() -> None:
    request = Request()
    assert (request.id, request.root_id, request.args, request.called_directly) == (
        None, None, (), True,
    )  # fmt: skip


def test_it_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Request().id = "x"  # type: ignore[misc]
