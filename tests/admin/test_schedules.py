"""Schedules in the admin: what is shown, what can be changed, and by whom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from django_tasktrack import registry, schedules
from django_tasktrack.models import Schedule, ScheduleSlot, StateChange, TrackedTask
from django_tasktrack.schedules import firing
from tests.app.tasks import add, echo
from tests.factories import make_schedule
from tests.inline import the_vendor

from .conftest import PAYLOAD, ClientFor
from .pages import breaches, page, text

pytestmark = pytest.mark.django_db

LIST = "/admin/tasktrack/schedule/"
ADD = f"{LIST}add/"
RIGHTS = ("view_schedule", "add_schedule", "change_schedule", "delete_schedule", "run_schedule")

FORM = {
    "name": "nightly",
    "task": echo.name,
    "timing": "30 7 * * mon-fri",
    "timezone": "Europe/Berlin",
    "catch_up": "1",
    "enabled": "on",
    "args": "[]",
    "kwargs": "{}",
    "queue": "",
    "priority": "",
    "expires": "",
    "unique_key": "",
}


@pytest.fixture
def planner(client_for: ClientFor) -> Client:
    return client_for(*RIGHTS, PAYLOAD, "view_trackedtask", name="planner")


@pytest.fixture
def looker(client_for: ClientFor) -> Client:
    return client_for("view_schedule", name="looker")


def act(client: Client, action: str, *rows: Schedule) -> None:
    chosen = [str(row.pk) for row in rows]
    client.post(LIST, {"action": action, "_selected_action": chosen, "index": "0"})


def form_of(row: Schedule, **values: str) -> dict[str, str]:
    """What the page of a row sends back, with some of it changed."""
    shown = {
        name: "" if (value := getattr(row, name)) is None else str(value)
        for name in FORM
        if name not in ("args", "kwargs", "enabled")
    }
    enabled = {"enabled": "on"} if row.enabled else {}
    return {**shown, **enabled, "args": "[]", "kwargs": "{}", **values}


def errors(response: Any) -> str:
    assert response.status_code == 200, "it was saved"
    form = response.context["adminform"].form
    return " ".join(str(error) for found in form.errors.values() for error in found)


def test_the_list_tells_when_each_runs_and_why_not(planner: Client) -> None:
    make_schedule(name="soon", timing="every 90 s")
    make_schedule(name="off", enabled=False)
    make_schedule(name="old", declaration={}, withdrawn_at=timezone.now(), next_at=None)
    make_schedule(name="wrong", timing="now and then")
    html = text(planner.get(LIST))
    for words in ("every 90 s", "in 1 min", "disabled", "not declared any more", "has 3 fields"):
        assert words in html
    assert breaches(html) == []
    assert ADD in html


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", {"a", "b", "c", "d"}),
        ("?condition=enabled", {"a", "d"}),
        ("?condition=disabled", {"b"}),
        ("?condition=withdrawn", {"c"}),
        ("?condition=problem", {"d"}),
        ("?condition=nonsense", set()),
        ("?q=b", {"b"}),
        ("?name=a", {"a", "b", "c", "d"}),  # not offered: back to the plain list
    ],
)
def test_filters(planner: Client, query: str, names: set[str]) -> None:
    make_schedule(name="a", task=add.name, args=[1, 2])
    make_schedule(name="b", enabled=False, task=add.name)
    make_schedule(name="c", withdrawn_at=timezone.now(), next_at=None, task=add.name)
    make_schedule(name="d", problem="odd", next_at=timezone.now(), task=add.name)
    response: Any = planner.get(LIST + query, follow=True)
    assert {row.name for row in response.context["cl"].result_list} == names


def test_the_list_takes_as_many_statements_for_many_rows(planner: Client) -> None:
    make_schedule(name="first")

    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            planner.get(LIST)
        return len(queries)

    few = count()
    for number in range(20):
        make_schedule(name=f"n{number}")
    assert count() == few


def test_a_person_adds_a_schedule_and_a_worker_runs_it(planner: Client) -> None:
    assert planner.get(ADD).status_code == 200
    response = planner.post(ADD, {**FORM, "timing": "every 60 s", "args": "[5]"})
    assert response.status_code == 302
    row = Schedule.objects.get()
    assert row.declaration is None
    assert row.next_at
    fired = firing.fire_due(the_vendor(), registry.names(), now=row.next_at)
    assert TrackedTask.objects.get(pk=fired[0].task_id).args == [5]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"timing": "soon"}, "1 fields"),
        ({"timing": "0 0 30 2 *"}, "bad day-of-month"),
        ({"timing": "at 2020-01-01 00:00"}, "lies in the past"),
        ({"timezone": "Mars"}, "is unknown"),
        ({"task": "os.system"}, "not one of the available choices"),
        ({"args": "[1, 2, 3]"}, "too many positional"),
        ({"args": '"text"'}, "is no list"),
        ({"args": "[1"}, "valid JSON"),
        ({"kwargs": "[1]"}, "is no dict"),
        ({"queue": "a,b"}, "without commas"),
        ({"priority": "101"}, "out of range"),
        ({"catch_up": "-1"}, "greater than or equal"),
        ({"catch_up": "1001"}, "At most 1000"),
        ({"name": ""}, "required"),
    ],
)
def test_what_could_not_be_run_is_not_saved(
    planner: Client, values: dict[str, str], problem: str
) -> None:
    assert problem in errors(planner.post(ADD, {**FORM, **values}))
    assert not Schedule.objects.exists()


def test_two_of_one_name_are_refused(planner: Client) -> None:
    make_schedule()
    assert "already exists" in errors(planner.post(ADD, FORM))


def test_the_page_tells_the_next_times_in_its_own_zone_and_the_last_tasks(planner: Client) -> None:
    row = make_schedule(
        timing="30 2 * * *", timezone="Europe/Berlin",
        next_at=datetime(2026, 3, 29, 1, tzinfo=UTC),
    )  # fmt: skip
    first = firing.run_now(the_vendor(), row, "user:ann")
    html = text(planner.get(page(row)))
    assert "2026-03-29 03:00:00 CEST" in html, "right after the gap"
    assert "2026-03-30 02:30:00 CEST" in html
    assert reverse("admin:tasktrack_trackedtask_change", args=[first.task_id]) in html
    assert "run by hand" in html
    assert breaches(html) == []


@pytest.mark.parametrize("timing", ["every now and then", "at 2020-01-01 00:00"])
def test_the_page_of_one_that_has_no_next_time(planner: Client, timing: str) -> None:
    assert planner.get(page(make_schedule(timing=timing))).status_code == 200
    unplanned = make_schedule(name="x", timing="odd", next_at=timezone.now())
    assert "1 fields" in text(planner.get(page(unplanned)))


def test_what_says_when_begins_anew_and_nothing_else_does(planner: Client) -> None:
    missed = timezone.now() - timedelta(hours=1)
    row = make_schedule(timing="every 60 s", next_at=missed)
    planner.post(page(row), form_of(row, queue="slow"))
    row.refresh_from_db()
    assert (row.queue, row.next_at) == ("slow", missed)
    planner.post(page(row), form_of(row, timing="every 120 s"))
    row.refresh_from_db()
    assert row.next_at
    assert row.next_at > timezone.now()
    assert row.timing == "every 120 s"


def test_one_that_has_run_its_one_time_can_still_be_changed(planner: Client) -> None:
    row = make_schedule(timing="at 2020-01-01 00:00")
    assert planner.post(page(row), form_of(row, queue="slow")).status_code == 302


def test_what_the_code_declares_keeps_its_name_and_cannot_be_deleted(planner: Client) -> None:
    said = {"timing": "every 60 s", "queue": "", "args": ["secret"]}
    row = make_schedule(declaration=said)
    planner.post(page(row), form_of(row, name="other", timing="every 90 s"))
    row.refresh_from_db()
    assert (row.name, row.timing, row.declaration) == ("nightly", "every 90 s", said)
    html = text(planner.get(page(row)))
    assert "changed here: timing" in html
    assert planner.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    Schedule.objects.update(withdrawn_at=timezone.now())
    assert planner.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Schedule.objects.exists()


def test_slots_outlive_their_schedule(planner: Client) -> None:
    row = make_schedule()
    fired = firing.run_now(the_vendor(), row, "user:ann")
    assert planner.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 302
    told = schedules.slot_of(fired.task_id)
    assert told
    assert told.name == "nightly"


def test_enable_and_disable(planner: Client) -> None:
    rows = [make_schedule(name=name, enabled=name != "off") for name in ("on", "off")]
    act(planner, "disable", *rows)
    assert list(Schedule.objects.values_list("enabled", "next_at")) == [(False, None)] * 2
    act(planner, "enable", *rows)
    assert all(Schedule.objects.values_list("next_at", flat=True))
    said = LogEntry.objects.order_by("pk").values_list("object_repr", "change_message")
    assert list(said) == [("on", "disabled"), ("off", "enabled"), ("on", "enabled")]


def test_run_now_says_who_it_was(planner: Client) -> None:
    row = make_schedule(enabled=False, args=[1])
    act(planner, "run_now", row)
    slot = ScheduleSlot.objects.get()
    assert StateChange.objects.get(task_id=slot.task_id).actor == "user:planner"
    assert LogEntry.objects.get().change_message == f"run_now: {slot.task_id}"
    row.refresh_from_db()
    assert row.next_at is None


def test_run_now_of_what_cannot_be_run_says_so(planner: Client) -> None:
    response: Any = planner.post(
        LIST,
        {
            "action": "run_now",
            "_selected_action": [str(make_schedule(queue="a,b").pk)],
            "index": "0",
        },
        follow=True,
    )
    assert "cannot be served" in text(response)
    assert not TrackedTask.objects.exists()


# Who may


def test_who_may_only_look_changes_nothing(looker: Client) -> None:
    row = make_schedule()
    html = text(looker.get(LIST))
    assert ADD not in html
    assert 'name="action"' not in html
    assert looker.get(page(row)).status_code == 200
    for action in ("enable", "disable", "run_now", "delete_selected"):
        act(looker, action, row)
    assert looker.get(ADD).status_code == 403
    assert looker.post(page(row), form_of(row, queue="slow")).status_code == 403
    assert looker.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    now = Schedule.objects.get()
    assert (now.enabled, now.queue, now.next_at) == (True, "", row.next_at)
    assert not TrackedTask.objects.exists()


@pytest.mark.parametrize(
    ("right", "action"), [("run_schedule", "run_now"), ("change_schedule", "disable")]
)
def test_each_action_needs_its_own_permission(
    client_for: ClientFor, right: str, action: str
) -> None:
    client, row = client_for("view_schedule", right), make_schedule()
    other = {"run_now": "disable", "disable": "run_now"}[action]
    act(client, other, row)
    assert Schedule.objects.get().enabled
    assert not TrackedTask.objects.exists()
    act(client, action, row)
    assert TrackedTask.objects.exists() is (action == "run_now")
    assert Schedule.objects.get().enabled is (action == "run_now")


@pytest.mark.parametrize("method", ["get", "post"])
def test_others_see_nothing(client_for: ClientFor, method: str) -> None:
    client, row = client_for("view_trackedtask"), make_schedule()
    for address in (LIST, ADD, page(row), f"{LIST}{row.pk}/delete/"):
        assert getattr(client, method)(address).status_code == 403
    assert Client().get(LIST).status_code == 302


def test_arguments_are_hidden_and_kept_without_the_right_to_see_payloads(
    client_for: ClientFor,
) -> None:
    client = client_for("view_schedule", "change_schedule")
    row = make_schedule(args=["arg-secret"], declaration={"args": ["other-secret"]})
    assert "-secret" not in text(client.get(page(row))) + text(client.get(LIST))
    given = form_of(row, queue="slow", args='["forged"]')
    assert client.post(page(row), given).status_code == 302
    row.refresh_from_db()
    assert (row.queue, row.args) == ("slow", ["arg-secret"])


def test_get_writes_nothing(planner: Client) -> None:
    row = make_schedule(next_at=timezone.now())
    before = Schedule.objects.values().get()
    for address in (LIST, ADD, page(row), f"{LIST}{row.pk}/delete/", f"{LIST}{row.pk}/history/"):
        assert planner.get(address).status_code == 200
    assert Schedule.objects.values().get() == before
    assert not TrackedTask.objects.exists()


def test_actions_need_the_csrf_token(planner: Client) -> None:
    row = make_schedule()
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = planner.cookies
    act(strict, "disable", row)
    assert Schedule.objects.get().enabled
