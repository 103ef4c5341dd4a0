"""Who may see and do what."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from django_tasktrack.models import TrackedTask
from django_tasktrack.states import State
from tests.factories import make_goal, make_task, make_worker

from .conftest import VERBS, VIEW, ClientFor
from .pages import GOALS, TASKS, WORKERS, confirm, confirmation, page, text

pytestmark = pytest.mark.django_db

#: A state that each verb applies to, and the one that it leads to at once.
APPLIES = {
    "revoke": (State.PENDING, State.REVOKED),
    "terminate": (State.STARTED, State.STARTED),
    "retry": (State.FAILURE, State.PENDING),
}


def act(client: Client, verb: str, task: TrackedTask, **more: str) -> None:
    """Send what the list's action form would send, whether or not it offered the action."""
    data = {"action": verb, "_selected_action": str(task.pk), "index": "0", **more}
    client.post(TASKS, data)


def unchanged(task: TrackedTask) -> bool:
    now = TrackedTask.objects.get(pk=task.pk)
    return (now.state, now.seq, now.revoke_requested_at, now.lease) == (
        task.state,
        task.seq,
        task.revoke_requested_at,
        task.lease,
    )


def addresses() -> list[str]:
    task, worker, goal = make_task(), make_worker(), make_goal()
    return [TASKS, page(task), WORKERS, page(worker), GOALS, page(goal)]


def test_anonymous_is_sent_to_the_login(client: Client) -> None:
    for address in [*addresses(), f"{TASKS}revoke/?ids=1"]:
        response = client.get(address)
        assert response.status_code == 302
        assert "/login/" in response["Location"]


def test_a_plain_user_is_sent_to_the_login(client_for: ClientFor) -> None:
    client = client_for(*VIEW, is_staff=False)
    for address in addresses():
        assert client.get(address).status_code == 302


def test_staff_without_permission_sees_nothing(client_for: ClientFor) -> None:
    client = client_for()
    for address in addresses():
        assert client.get(address).status_code == 403


def test_view_only_staff_sees_every_page(viewer: Client) -> None:
    for address in addresses():
        assert viewer.get(address).status_code == 200


def test_view_only_staff_is_offered_nothing(viewer: Client) -> None:
    task = make_task(State.STARTED)
    assert 'name="action"' not in text(viewer.get(TASKS))
    assert "tt-button" not in text(viewer.get(page(task)))


@pytest.mark.parametrize("verb", VERBS)
def test_view_only_staff_cannot_act_by_forging_a_post(viewer: Client, verb: str) -> None:
    task = make_task(APPLIES[verb][0])
    act(viewer, verb, task)
    act(viewer, verb, task, select_across="1")
    assert viewer.get(confirmation(verb, task)).status_code == 403
    assert confirm(viewer, verb, task).status_code == 403
    assert unchanged(task)
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("held", VERBS)
def test_each_verb_needs_its_own_permission(client_for: ClientFor, held: str) -> None:
    client = client_for("view_trackedtask", f"{held}_trackedtask")
    for verb in VERBS:
        task = make_task(APPLIES[verb][0])
        offered = text(client.get(page(task))).count(f'{TASKS}{verb}/?ids={task.pk}"')
        assert offered == (verb == held)
        assert f'<option value="{held}">' in text(client.get(TASKS))
        status = confirm(client, verb, task).status_code
        assert status == (302 if verb == held else 403)
        assert unchanged(task) == (verb != held)


def test_a_verb_needs_the_right_to_see_tasks_too(client_for: ClientFor) -> None:
    client, task = client_for("revoke_trackedtask"), make_task()
    assert confirm(client, "revoke", task).status_code == 403
    assert unchanged(task)


def test_terminating_staff_cannot_end_waiting_tasks(client_for: ClientFor) -> None:
    client, task = client_for("view_trackedtask", "terminate_trackedtask"), make_task()
    confirm(client, "terminate", task)
    assert unchanged(task)


@pytest.mark.parametrize("verb", VERBS)
def test_buttons_follow_the_state(operator: Client, verb: str) -> None:
    done = make_task(State.SUCCESS)
    assert f"{TASKS}{verb}/" not in text(operator.get(page(done)))
    able = make_task(APPLIES[verb][0])
    assert f"{TASKS}{verb}/?ids={able.pk}" in text(operator.get(page(able)))


def test_nothing_can_be_added_changed_or_deleted(admin_client: Client) -> None:
    task, worker, goal = make_task(State.SUCCESS), make_worker(), make_goal()
    for listed, row in ((TASKS, task), (WORKERS, worker), (GOALS, goal)):
        assert admin_client.get(f"{listed}add/").status_code == 403
        assert admin_client.post(page(row), {"state": "PENDING"}).status_code == 405
        assert admin_client.post(f"{listed}{row.pk}/delete/", {"post": "yes"}).status_code == 403
        assert "delete_selected" not in text(admin_client.get(listed))
    assert unchanged(task)


def test_verbs_need_the_csrf_token(operator: Client) -> None:
    task = make_task()
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = operator.cookies
    assert confirm(strict, "revoke", task).status_code == 403
    assert unchanged(task)


def test_payload_is_hidden_without_its_permission(viewer: Client, operator: Client) -> None:
    secret = make_task(
        State.FAILURE, args=["arg-secret"], kwargs={"k": "kw-secret"}, error=KeyError("msg-secret")
    )
    result = make_task(State.SUCCESS, result={"r": "result-secret"})
    goal = make_goal(max_attempts=1, task_args=["goal-secret"], evidence={"e": "proof-secret"})
    make_task(State.FAILURE, goal=goal, error=KeyError("msg-secret"))
    goal.refresh_from_db()
    seen, hidden = "", ""
    for address in (TASKS, page(secret), page(result), GOALS, page(goal)):
        seen += text(operator.get(address))
        hidden += text(viewer.get(address))
    for word in ("arg", "kw", "msg", "result", "goal", "proof"):
        assert f"{word}-secret" in seen
    assert "KeyError" in seen
    assert "-secret" not in hidden
    assert "KeyError" not in hidden


def test_links_lead_only_where_one_may_go(client_for: ClientFor) -> None:
    goal = make_goal()
    task = make_task(State.STARTED, goal=goal)
    assert task.worker is not None
    html = text(client_for("view_trackedtask").get(page(task)))
    assert page(goal) not in html
    assert page(task.worker) not in html
