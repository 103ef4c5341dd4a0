"""Revoke, terminate and retry: what the confirmation says, what is done, what is told."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.test import Client

from django_tasktrack import transitions
from django_tasktrack.admin import verbs
from django_tasktrack.models import TrackedTask
from django_tasktrack.states import Stage, State
from tests.factories import make_task, make_worker

from .pages import TASKS, confirm, confirmation, page, text

pytestmark = pytest.mark.django_db


def told(response: object) -> str:
    request = response.wsgi_request  # type: ignore[attr-defined]
    return " ".join(str(message) for message in get_messages(request))


def test_the_action_of_the_list_asks_first(operator: Client) -> None:
    task = make_task()
    data = {"action": "revoke", "_selected_action": str(task.pk), "index": "0"}
    response = operator.post(TASKS, data)
    assert response.status_code == 200
    assert "revoked at once" in text(response)
    assert TrackedTask.objects.get(pk=task.pk).state == State.PENDING


def test_the_confirmation_counts_by_state_and_names_what_is_skipped(operator: Client) -> None:
    tasks = [make_task(), make_task(), make_task(State.SUCCESS), make_task(State.STARTED)]
    response = operator.get(confirmation("revoke", *tasks))
    shown = {
        (group.state, len(group.tasks), group.fate.skipped) for group in response.context["groups"]
    }
    assert shown == {("PENDING", 2, False), ("SUCCESS", 1, True), ("STARTED", 1, False)}
    html = text(response)
    assert "has ended already" in html
    assert "asked to stop it" in html
    assert "Revoke: 3 tasks" in html


def test_revoke_is_done_told_and_kept_with_actor_and_reason(operator: Client) -> None:
    waiting, running, done = make_task(), make_task(State.STARTED), make_task(State.SUCCESS)
    response = confirm(operator, "revoke", waiting, running, done, reason="wrong month")
    assert "1 task was revoked" in told(response)
    assert "has not ended yet" in told(response)
    assert "1 task was skipped" in told(response)
    last = waiting.history.get(seq=2)
    assert (last.state, last.actor, last.reason) == (State.REVOKED, "user:ada", "wrong month")
    running.refresh_from_db()
    assert running.revoke_request == {
        "signal": None,
        "actor": "user:ada",
        "reason": "wrong month",
        "ran_under": running.lease,
    }
    logged = LogEntry.objects.values_list("object_id", flat=True)
    assert set(logged) == {str(waiting.pk), str(running.pk)}
    assert "wrong month" in LogEntry.objects.get(object_id=waiting.pk).change_message
    assert operator.get(f"{TASKS}{waiting.pk}/history/").status_code == 200


def test_terminate_signals_where_the_pool_can_and_says_where_it_cannot(operator: Client) -> None:
    able = make_task(State.STARTED, worker=make_worker(name="forks"))
    unable = make_task(State.STARTED, worker=make_worker(name="threads", can_terminate=False))
    html = text(operator.get(confirmation("terminate", able, unable)))
    assert "SIGTERM" in html
    assert "cannot end a process" in html
    response = confirm(operator, "terminate", able, unable)
    able.refresh_from_db()
    assert able.revoke_request is not None
    assert able.revoke_request["signal"] == "SIGTERM"
    assert "1 running task was told" in told(response)
    assert "1 task is held by a worker" in told(response)
    assert "by SIGTERM" in text(operator.get(page(able)))
    assert "asked for it to stop" in text(operator.get(page(unable)))


def test_retry_puts_back_what_failed(operator: Client) -> None:
    failed, done = make_task(State.FAILURE), make_task(State.SUCCESS)
    response = confirm(operator, "retry", failed, done)
    failed.refresh_from_db()
    assert (failed.state, failed.stage, failed.attempt) == (State.PENDING, Stage.DUE, 0)
    assert "1 task was put back" in told(response)
    assert "1 task was skipped" in told(response)


def test_a_task_that_changed_meanwhile_is_told_truthfully(operator: Client) -> None:
    task = make_task()
    assert "Revoke: 1 task" in text(operator.get(confirmation("revoke", task)))
    transitions.revoke([task.pk])
    response = confirm(operator, "revoke", task)
    assert "1 task was skipped" in told(response)
    assert not LogEntry.objects.exists()


def test_no_button_where_nothing_would_change(operator: Client) -> None:
    html = text(operator.get(confirmation("retry", make_task())))
    assert "nothing would be changed" in html
    assert 'type="submit" class="tt-button' not in html


def test_one_task_leads_back_to_its_page_and_a_list_to_its_filters(operator: Client) -> None:
    task = make_task()
    assert confirm(operator, "revoke", task)["Location"] == page(task)
    other = make_task()
    back = confirm(operator, "revoke", other, back="?state=PENDING")["Location"]
    assert back == f"{TASKS}?state=PENDING"


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "/admin/logout/"])
def test_no_way_leads_out_of_the_list(operator: Client, back: str) -> None:
    task = make_task()
    assert confirm(operator, "revoke", task, back=back)["Location"] == page(task)


def test_more_than_one_confirmation_covers_is_said(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("tasks", "confirmation"):
        monkeypatch.setattr(f"django_tasktrack.admin.{module}.MOST", 2)
    tasks = [make_task() for _ in range(3)]
    data = {
        "action": "revoke",
        "_selected_action": str(tasks[0].pk),
        "select_across": "1",
        "index": "0",
    }
    response = operator.post(TASKS, data)
    assert "These are the newest 2" in text(response)
    assert response.context["affected"] == 2
    confirm(operator, "revoke", *tasks)  # three ids by hand: more than one may cover
    assert not TrackedTask.objects.filter(state=State.REVOKED).exists()


def test_a_thousand_tasks_go_through_in_few_statements(
    operator: Client, django_assert_max_num_queries: object
) -> None:
    ids = [make_task().pk for _ in range(60)]
    with django_assert_max_num_queries(40):  # type: ignore[operator]
        operator.post(f"{TASKS}revoke/", {"ids": ",".join(map(str, ids))})
    assert TrackedTask.objects.filter(state=State.REVOKED).count() == 60


@pytest.mark.parametrize("ids", ["", "x", "1,2,3", "\x00", ",,,", "💥"])
@pytest.mark.parametrize("verb", sorted(verbs.VERBS))
def test_malformed_ids_are_no_error(operator: Client, verb: str, ids: str) -> None:
    assert operator.get(f"{TASKS}{verb}/", {"ids": ids}).status_code == 302
    assert operator.post(f"{TASKS}{verb}/", {"ids": ids}).status_code == 302


def test_unknown_ids_are_told(operator: Client) -> None:
    response = operator.post(f"{TASKS}revoke/", {"ids": "00000000-0000-7000-8000-000000000000"})
    assert "does not exist any more" in told(response)
