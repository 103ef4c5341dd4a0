"""What is somebody else's does not exist, and what is shown is what the role may see."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from rest_framework.test import APIClient

from django_tasktrack.ids import new_id
from django_tasktrack.models import PurgeHorizon, StateChange, TrackedTask
from django_tasktrack.rest_framework.urls import app_name
from tests.factories import make_goal, make_task

from .conftest import client_of, make_user

ROW = {
    "id", "task", "queue", "state", "label", "attempt", "created_at", "run_after", "started_at",
    "finished_at", "revoke_requested_at", "progress", "error",
}  # fmt: skip
RESULT = {"result", "result_expired_at"}
STAFF_ROW = ROW | {
    "owner", "worker", "priority", "max_attempts", "losses", "crashes", "expires_at", "goal",
}  # fmt: skip
CHANGE = {"seq", "state", "label", "attempt", "at", "error"}
STAFF_CHANGE = CHANGE | {"worker", "actor", "reason"}


def url(name: str, *args: object) -> str:
    return reverse(f"{app_name}:{name}", args=args)


@pytest.fixture
def foreign(db: None) -> TrackedTask:
    return make_task("FAILURE", owner=str(make_user("somebody").pk), queue="theirs")


# Somebody else's


def test_lists_have_only_own_tasks(
    owner: User, owner_client: APIClient, foreign: TrackedTask
) -> None:
    make_task()  # nobody's
    mine = make_task(owner=str(owner.pk))
    for query in ({}, {"id__in": f"{foreign.pk},{mine.pk}"}, {"queue": mine.queue}):
        answer = owner_client.get(url("task-list"), query).json()
        assert [row["id"] for row in answer["results"]] == [str(mine.pk)]
        assert answer["next"] is answer["previous"] is None


@pytest.mark.parametrize("query", ["queue=theirs", "state=FAILURE", "id__in={pk}", "task={name}"])
def test_no_filter_reaches_a_foreign_task(
    query: str, owner_client: APIClient, foreign: TrackedTask
) -> None:
    asked = query.format(pk=foreign.pk, name=foreign.name)
    assert owner_client.get(f"{url('task-list')}?{asked}").json()["results"] == []


@pytest.mark.parametrize("parameter", ["owner", "worker"])
def test_owners_cannot_ask_about_what_they_are_not_shown(
    parameter: str, owner_client: APIClient, foreign: TrackedTask
) -> None:
    answer = owner_client.get(url("task-list"), {parameter: "1"})
    assert answer.status_code == 400
    assert parameter in answer.json()


@pytest.mark.parametrize("endpoint", ["task-detail", "task-history"])
def test_a_foreign_task_is_as_unknown_as_one_that_never_was(
    endpoint: str, owner_client: APIClient, foreign: TrackedTask
) -> None:
    seen, never = (owner_client.get(url(endpoint, pk)) for pk in (foreign.pk, new_id()))
    assert seen.status_code == never.status_code == 404
    assert seen.content == never.content
    assert owner_client.get(url(endpoint, foreign.pk), {"expand": "x"}).status_code == (
        owner_client.get(url(endpoint, new_id()), {"expand": "x"}).status_code
    )


@pytest.mark.parametrize("action", ["task-revoke", "task-retry"])
def test_a_foreign_task_cannot_be_acted_on(
    action: str, owner_client: APIClient, foreign: TrackedTask
) -> None:
    permitted = client_of(make_user("clerk", "revoke_trackedtask", "retry_trackedtask"))
    for client in (owner_client, permitted):
        assert client.post(url(action, foreign.pk)).status_code == 404
    assert StateChange.objects.filter(task=foreign).count() == foreign.seq


@pytest.mark.parametrize("purged_up_to_it", [False, True])
def test_status_tells_a_foreign_task_like_an_absent_one(
    purged_up_to_it: bool, owner_client: APIClient, foreign: TrackedTask
) -> None:
    absent = new_id()
    if purged_up_to_it:
        PurgeHorizon.objects.create(task_id=absent)
    rows = owner_client.get(url("task-status"), {"id": [str(foreign.pk), str(absent)]}).json()[
        "results"
    ]
    theirs, nobodys = ({**row, "id": None} for row in rows)
    assert theirs == nobodys
    assert theirs["state"] == ("EXPIRED" if purged_up_to_it else "UNKNOWN")


def test_goals_and_attempts_of_own_tasks_are_for_staff(
    owner: User, owner_client: APIClient, viewer_client: APIClient
) -> None:
    goal = make_goal()
    make_task(owner=str(owner.pk), goal=goal)
    for endpoint, args in (("list", ()), ("detail", (goal.pk,)), ("attempts", (goal.pk,))):
        assert owner_client.get(url(f"goal-{endpoint}", *args)).status_code == 403
        assert viewer_client.get(url(f"goal-{endpoint}", *args)).status_code == 200


def test_view_permission_without_staff_is_not_enough(foreign: TrackedTask) -> None:
    client = client_of(make_user("temp", "view_trackedtask", "view_goal", "view_worker"))
    assert client.get(url("task-list")).json()["results"] == []
    assert client.get(url("task-detail", foreign.pk)).status_code == 404
    assert client.get(url("goal-list")).status_code == 403
    assert client.get(url("worker-list")).status_code == 403


def test_staff_without_permission_see_their_own_only(foreign: TrackedTask) -> None:
    staff = make_user("staff", "view_trackedtask_payload", is_staff=True)
    mine = make_task(owner=str(staff.pk))
    client = client_of(staff)
    assert [row["id"] for row in client.get(url("task-list")).json()["results"]] == [str(mine.pk)]
    assert set(client.get(url("task-detail", mine.pk)).json()) == ROW | RESULT
    assert client.get(url("goal-list")).status_code == 403


def test_tasks_without_an_owner_belong_to_nobody(user_client: APIClient) -> None:
    task = make_task(owner="")
    assert user_client.get(url("task-list")).json()["results"] == []
    assert user_client.get(url("task-detail", task.pk)).status_code == 404


class TokenUser:
    """An authenticated user without a row, as token authentication of some projects makes it."""

    pk = None
    is_authenticated = is_active = True
    is_staff = False


def test_a_user_without_a_key_owns_nothing(db: None) -> None:
    task = make_task(owner="")
    client = APIClient()
    client.force_authenticate(cast("User", TokenUser()))
    assert client.get(url("task-list")).json()["results"] == []
    assert client.get(url("task-detail", task.pk)).status_code == 404
    assert client.get(url("goal-list")).status_code == 403


# What is shown


class Leak(Exception):
    """An error whose traceback would tell more than its message."""


def _raised() -> Leak:
    try:
        secret_of_the_traceback = 1
        raise Leak("told to owners") from KeyError(f"SECRET-TRACE {secret_of_the_traceback}")
    except Leak as error:
        return error


@pytest.mark.parametrize(
    ("role", "shown"),
    [
        ("owner", (ROW, ROW | RESULT, CHANGE)),
        ("viewer", (STAFF_ROW, STAFF_ROW, STAFF_CHANGE)),
        (
            "operator",
            (
                STAFF_ROW,
                STAFF_ROW | RESULT | {"args", "kwargs", "traceback"},
                STAFF_CHANGE | {"traceback"},
            ),
        ),
    ],
)
def test_each_role_is_shown_exactly_its_fields(
    role: str,
    shown: tuple[set[str], set[str], set[str]],
    owner: User,
    client_for: Callable[[str], APIClient],
) -> None:
    row, detail, change = shown
    client = client_for(role)
    task = make_task(
        "FAILURE",
        owner=str(owner.pk),
        args=["SECRET-ARG"],
        kwargs={"key": "SECRET-KWARG"},
        error=_raised(),
    )
    answers = [
        client.get(url("task-list")),
        client.get(url("task-detail", task.pk), {"expand": "history"}),
        client.get(url("task-history", task.pk)),
        client.get(url("task-status"), {"id": str(task.pk)}),
    ]
    listed, whole, history, _status = (answer.json() for answer in answers)
    assert set(listed["results"][0]) == row
    assert set(whole) == detail | {"history"}
    assert all(set(shown) == change for shown in history["results"])
    assert whole["history"] == history["results"]
    assert whole["error"]["message"] == "told to owners"
    assert whole["error"]["type"].endswith("Leak")
    told = b"".join(answer.content for answer in answers)
    secrets = (b"SECRET-ARG", b"SECRET-KWARG", b"SECRET-TRACE")
    assert [secret in told for secret in secrets] == [role == "operator"] * 3


def test_results_are_for_owners_and_for_staff_with_the_payload_permission(
    owner: User, owner_client: APIClient, viewer_client: APIClient, operator_client: APIClient
) -> None:
    task = make_task("SUCCESS", owner=str(owner.pk), result={"pages": 3})
    path = url("task-detail", task.pk)
    assert owner_client.get(path).json()["result"] == {"pages": 3}
    assert operator_client.get(path).json()["result"] == {"pages": 3}
    assert not RESULT & viewer_client.get(path).json().keys()


def test_arguments_and_evidence_of_goals_need_the_payload_permission(
    viewer_client: APIClient, operator_client: APIClient
) -> None:
    goal = make_goal(task_args=["SECRET"], evidence={"by": "SECRET"})
    path = url("goal-detail", goal.pk)
    assert b"SECRET" not in viewer_client.get(path).content
    assert operator_client.get(path).json()["task_args"] == ["SECRET"]
    assert operator_client.get(path).json()["evidence"] == {"by": "SECRET"}
    assert b"SECRET" not in operator_client.get(url("goal-list")).content


def test_goal_attempts_tell_of_each_task(viewer_client: APIClient) -> None:
    goal = make_goal()
    tasks = [make_task("FAILURE", goal=goal), make_task(goal=goal)]
    rows = viewer_client.get(url("goal-attempts", goal.pk)).json()["results"]
    assert [row["task_id"] for row in rows] == [str(task.pk) for task in tasks]
    assert [row["state"] for row in rows] == ["FAILURE", "PENDING"]
    assert rows[0]["error"] == "ValueError: no such invoice"
