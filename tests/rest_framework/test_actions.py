"""Revoke and retry do what they say, say what they did, and can assign nothing."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from rest_framework.response import Response
from rest_framework.test import APIClient

from django_tasktrack.models import StateChange, TrackedTask
from django_tasktrack.rest_framework.urls import app_name
from tests.factories import make_task, make_worker

from .conftest import client_of, make_user


def act(client: APIClient, action: str, task: TrackedTask, **body: Any) -> Any:
    path = reverse(f"{app_name}:task-{action}", args=[task.pk])
    response: Response = client.post(path, body, format="json")
    return response


def last_change(task: TrackedTask) -> StateChange:
    return StateChange.objects.filter(task=task).latest("seq")


# Revoke


def test_a_waiting_task_is_revoked_at_once_with_actor_and_reason(
    operator_client: APIClient,
) -> None:
    task = make_task()
    answer = act(operator_client, "revoke", task, reason="a mistake")
    assert answer.status_code == 202
    assert answer.json() == {
        "id": str(task.pk),
        "answer": "revoked",
        "state": "REVOKED",
        "terminates": False,
    }
    change = last_change(task)
    assert (change.state, change.actor, change.reason) == ("REVOKED", "user:operator", "a mistake")


def test_a_running_task_is_asked_to_stop(owner: User, owner_client: APIClient) -> None:
    task = make_task("STARTED", owner=str(owner.pk))
    answer = act(owner_client, "revoke", task)
    assert answer.json() == {
        "id": str(task.pk),
        "answer": "requested",
        "state": "STARTED",
        "terminates": False,
    }
    wish = TrackedTask.objects.get(pk=task.pk).revoke_request
    assert wish == {
        "signal": None,
        "actor": "user:owner",
        "reason": "",
        "ran_under": task.lease,
    }


@pytest.mark.parametrize(("signal", "sent"), [({}, "SIGTERM"), ({"signal": "SIGKILL"}, "SIGKILL")])
def test_a_running_task_is_terminated(
    signal: dict[str, str], sent: str, operator_client: APIClient
) -> None:
    task = make_task("STARTED")
    answer = act(operator_client, "revoke", task, terminate=True, **signal)
    assert answer.json()["terminates"] is True
    wish = TrackedTask.objects.get(pk=task.pk).revoke_request
    assert wish is not None
    assert wish["signal"] == sent


def test_the_answer_says_where_a_worker_cannot_terminate(operator_client: APIClient) -> None:
    task = make_task("STARTED", worker=make_worker(pool="threads", can_terminate=False))
    answer = act(operator_client, "revoke", task, terminate=True).json()
    assert (answer["answer"], answer["terminates"]) == ("requested", False)


@pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "REVOKED"])
def test_a_task_that_has_ended_cannot_be_revoked(state: str, operator_client: APIClient) -> None:
    task = make_task(state)
    answer = act(operator_client, "revoke", task)
    assert answer.status_code == 409
    assert answer.json() == {"detail": f"A task in state {state} cannot be revoked."}
    assert StateChange.objects.filter(task=task).count() == task.seq


def test_owners_may_revoke_but_not_terminate(owner: User, owner_client: APIClient) -> None:
    task = make_task("STARTED", owner=str(owner.pk))
    assert act(owner_client, "revoke", task, terminate=True).status_code == 403
    assert TrackedTask.objects.get(pk=task.pk).revoke_requested_at is None
    assert act(owner_client, "revoke", task).status_code == 202


@pytest.mark.parametrize(
    ("permissions", "may_revoke", "may_terminate"),
    [
        ([], False, False),
        (["revoke_trackedtask"], True, False),
        (["terminate_trackedtask"], False, False),
        (["revoke_trackedtask", "terminate_trackedtask"], True, True),
    ],
)
def test_each_way_to_revoke_has_its_own_permission(
    permissions: list[str], may_revoke: bool, may_terminate: bool, db: None
) -> None:
    client = client_of(make_user("clerk", "view_trackedtask", *permissions, is_staff=True))
    for terminate, may in ((False, may_revoke), (True, may_terminate)):
        answer = act(client, "revoke", make_task("STARTED"), terminate=terminate)
        assert answer.status_code == (202 if may else 403)


def test_an_owner_needs_both_permissions_to_terminate(db: None) -> None:
    for permissions, status in (
        (["terminate_trackedtask"], 403),
        (["revoke_trackedtask"], 403),
        (["terminate_trackedtask", "revoke_trackedtask"], 202),
    ):
        user = make_user("-".join(permissions), *permissions)
        task = make_task("STARTED", owner=str(user.pk))
        answer = act(client_of(user), "revoke", task, terminate=True)
        assert answer.status_code == status


# Retry


@pytest.mark.parametrize("state", ["FAILURE", "REVOKED"])
def test_a_task_that_failed_or_was_revoked_runs_again(
    state: str, operator_client: APIClient
) -> None:
    task = make_task(state)
    answer = act(operator_client, "retry", task, reason="the printer is back")
    assert answer.status_code == 202
    assert answer.json() == {"id": str(task.pk), "answer": "queued", "state": "PENDING"}
    change = last_change(task)
    assert (change.state, change.actor) == ("PENDING", "user:operator")
    assert change.reason == "the printer is back"


@pytest.mark.parametrize("state", ["PENDING", "STARTED", "RETRY", "SUCCESS"])
def test_a_task_that_waits_runs_or_succeeded_is_not_run_again(
    state: str, operator_client: APIClient
) -> None:
    task = make_task(state)
    answer = act(operator_client, "retry", task)
    assert answer.status_code == 409
    assert state in answer.json()["detail"]
    assert StateChange.objects.filter(task=task).count() == task.seq


# Assignment


@pytest.mark.parametrize("action", ["revoke", "retry"])
@pytest.mark.parametrize(
    "field",
    sorted({field.attname for field in TrackedTask._meta.concrete_fields} | {"actor", "ids"}),
)
def test_no_column_can_be_assigned(field: str, action: str, operator_client: APIClient) -> None:
    task = make_task("FAILURE" if action == "retry" else "PENDING")
    before = TrackedTask.objects.filter(pk=task.pk).values().get()
    answer = act(operator_client, action, task, **{field: "1"})
    assert answer.status_code == 400
    assert list(answer.json()) == [field]
    assert TrackedTask.objects.filter(pk=task.pk).values().get() == before
