"""Lists over large tables: bounded statements, keyset pages, filters and search."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_tasktrack.admin import changelists, tasks
from django_tasktrack.admin.search import Term, parse
from django_tasktrack.ids import first_id
from django_tasktrack.models import PurgeHorizon, TrackedTask
from django_tasktrack.states import State
from tests.factories import make_goal, make_task, make_worker

from .pages import GOALS, TASKS, WORKERS, page, text

pytestmark = pytest.mark.django_db

STATES = list(State)


def fill(n: int) -> None:
    worker = make_worker()
    for i in range(n):
        state = STATES[i % len(STATES)]
        progress = (1.0, 2.0, "half") if state == State.STARTED else None
        make_task(state, worker=worker, progress=progress, queue=f"q{i % 3}")


def statements(client: Client, address: str) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200
    return [query["sql"] for query in queries]


def shown(response: Any) -> list[TrackedTask]:
    rows: list[TrackedTask] = list(response.context["cl"].result_list)
    return rows


def test_the_list_takes_as_many_statements_for_many_rows(operator: Client) -> None:
    fill(5)
    few = len(statements(operator, TASKS))
    fill(45)
    assert len(statements(operator, TASKS)) <= few + 1  # the count, once there is a second page


@pytest.mark.parametrize("query", ["", "?state=FAILURE", "?q=work", "?created=24h&queue=q1"])
def test_no_count_without_a_limit_and_no_distinct(
    operator: Client, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    fill(12)
    monkeypatch.setattr(tasks.TrackedTaskAdmin, "list_per_page", 3)
    for sql in statements(operator, TASKS + query):
        assert "DISTINCT" not in sql
        if "COUNT(" in sql and "trackedtask" in sql:
            assert re.search(r"LIMIT \d+\) subquery", sql), sql
        table = connection.ops.quote_name("tasktrack_trackedtask")
        if f"FROM {table}" in sql and "COUNT(" not in sql:
            assert "LIMIT" in sql, sql


def test_big_columns_are_not_read(operator: Client) -> None:
    fill(3)
    big = re.compile(r"trackedtask\W+(args|kwargs|result|traceback|error_message)\b")
    assert not [sql for sql in statements(operator, TASKS) if big.search(sql)]


def test_counts_are_capped(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(8)
    monkeypatch.setattr(tasks.TrackedTaskAdmin, "list_per_page", 3)
    assert "8 tasks" in text(operator.get(TASKS))
    monkeypatch.setattr(changelists.capped_count, "__defaults__", (5,))
    assert "5+ tasks" in text(operator.get(TASKS))
    assert str(changelists.CappedCount(10_001)) == "10,000+"


def test_pages_go_by_key_and_lose_no_row(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(8)
    monkeypatch.setattr(tasks.TrackedTaskAdmin, "list_per_page", 3)
    newest_first = list(TrackedTask.objects.order_by("-pk").values_list("pk", flat=True))
    response = operator.get(TASKS)
    seen = [task.pk for task in shown(response)]
    for _page in range(2):
        response = operator.get(TASKS + response.context["cl"].older_url)
        seen += [task.pk for task in shown(response)]
    assert seen == newest_first
    assert response.context["cl"].older_url is None
    newer = operator.get(TASKS + response.context["cl"].newer_url)
    assert [task.pk for task in shown(newer)] == newest_first[3:6]
    top = operator.get(TASKS + newer.context["cl"].newer_url)
    assert [task.pk for task in shown(top)] == newest_first[:3]
    assert top.context["cl"].newer_url is None


def test_filters_narrow_and_keep_each_other(operator: Client) -> None:
    mine = make_task(State.FAILURE, queue="mail", name="a.b.send")
    make_task(State.SUCCESS, queue="mail", name="a.b.send")
    make_task(State.FAILURE, queue="other", name="a.b.send")
    response = operator.get(TASKS, {"state": "FAILURE", "queue": "mail", "name": "a.b.send"})
    assert shown(response) == [mine]
    assert "?name=a.b.send&amp;queue=mail&amp;state=SUCCESS" in text(response)
    by_worker = operator.get(TASKS, {"worker": str(mine.worker_id)})
    assert shown(by_worker) == [mine]


def test_a_changed_filter_begins_at_the_newest_page(operator: Client) -> None:
    task = make_task()
    html = text(operator.get(TASKS, {"before": str(task.pk)}))
    assert "state=FAILURE" in html
    assert f"before={task.pk}&amp;state" not in html


def test_choices_come_from_workers_and_the_newest_rows(operator: Client) -> None:
    make_worker(queues=["served"], known_tasks=["known.task"])
    make_task(queue="seen", name="seen.task")
    html = text(operator.get(TASKS))
    for value in ("served", "known.task", "seen", "seen.task"):
        assert f'<option value="{value}">' in html


def test_created_presets_find_by_age(operator: Client) -> None:
    old, new = make_task(), make_task()
    then = timezone.now() - timedelta(hours=2)
    TrackedTask.objects.filter(pk=old.pk).update(created_at=then)
    assert shown(operator.get(TASKS, {"created": "1h"})) == [new]
    assert set(shown(operator.get(TASKS, {"created": "24h"}))) == {old, new}
    assert first_id(timezone.now() - timedelta(seconds=60)) < new.pk
    assert first_id(timezone.now() + timedelta(seconds=60)) > new.pk


def test_search_terms(operator: Client) -> None:
    worker = make_worker(name="w7@far")
    task = make_task(State.STARTED, name="mail.send", queue="mail", owner="u:1", worker=worker)
    make_task(name="cities.import", queue="cities")
    for term in (
        str(task.pk),
        task.pk.hex,
        f"id:{task.pk}",
        f"id:{str(task.pk)[:23]}",
        "task:send",
        "queue:mail",
        "worker:w7",
        "owner:u:1",
        "state:STARTED",
        "state:started mail",
        "SEND",
        "queue:mail send",
    ):
        assert shown(operator.get(TASKS, {"q": term})) == [task], term
    for term in (
        "queue:mai",
        "owner:u",
        "queue:mail cities",
        "state:DONE",
        "id:zz",
        "worker:nobody",
        "x:y",
    ):
        assert shown(operator.get(TASKS, {"q": term})) == [], term


def test_parse_gives_each_word_its_meaning() -> None:
    assert parse("Queue:mail foo:bar send id:") == [
        Term("queue", "mail"),
        Term("task", "foo:bar"),
        Term("task", "send"),
    ]


def test_a_word_that_means_nothing_is_told_with_the_known_ones(operator: Client) -> None:
    odd = make_task(name="mail:send")
    assert shown(operator.get(TASKS, {"q": "mail:send"})) == [odd]
    html = text(operator.get(TASKS, {"q": "foo:bar"}))
    assert "Unknown word “foo:”. Known: id: task: queue: state: worker: owner:" in html
    assert "“DONE” is no state. Known: PENDING, STARTED," in text(
        operator.get(TASKS, {"q": "state:DONE"})
    )


def test_what_the_search_takes_stands_beside_it_and_not_cut_off_within(operator: Client) -> None:
    for address in (TASKS, WORKERS, GOALS):
        html = text(operator.get(address))
        assert "placeholder" not in html[html.index('role="search"') :].partition("</form>")[0]
        assert re.search(r"<span>Search: an? ", html)


def test_workers_that_live_are_shown_unless_others_are_asked_for(operator: Client) -> None:
    now = timezone.now()
    alive = make_worker(name="alive@h")
    stopped, lost = make_worker(name="stopped@h", stopped_at=now), make_worker(lost_at=now)

    def found(**query: str) -> set[Any]:
        return set(operator.get(WORKERS, query).context["cl"].result_list)

    assert found() == found(condition="") == found(condition="alive") == {alive}
    assert found(condition="all") == {alive, stopped, lost}
    assert found(condition="stopped") == found(q="stopped") == {stopped}
    assert found(condition="nope") == set()
    html = text(operator.get(WORKERS))
    assert 'name="condition"' not in html  # a search looks at all of them
    assert '<a href="?condition=all"' in html


def test_goals_have_their_states_in_capitals_as_tasks_do(operator: Client) -> None:
    goal = make_goal()
    for html in (text(operator.get(GOALS)), text(operator.get(page(goal)))):
        assert "<span>OPEN</span>" in html
    assert ">ACHIEVED</a>" in text(operator.get(GOALS)).replace("</svg>", ">")


def test_a_search_for_an_id_without_a_row_says_what_became_of_it(operator: Client) -> None:
    task = make_task()
    issued, foreign = task.pk, "00000000-0000-7000-8000-000000000000"
    with connection.cursor() as cursor:  # as purge does
        cursor.execute("DELETE FROM tasktrack_trackedtask")
    assert "UNKNOWN" in text(operator.get(TASKS, {"q": str(issued)}))
    PurgeHorizon.objects.create(task_id=issued)
    assert "EXPIRED" in text(operator.get(TASKS, {"q": str(issued)}))
    assert "UNKNOWN" in text(operator.get(TASKS, {"q": foreign}))


MALFORMED = [
    "p=99999", "p=-1", "p=x", "p=99999&e=1", "before=x", "after=x", "before=&after=", "before=1",
    "state=NOPE", "state=", "queue=%00", "name=%00", "worker=x", "worker=99999999999999999999999",
    "worker=-1", "worker=%C2%B2", "created=never", "condition=x", "kind=%00", "o=1.2.x", "all=", "q=%00", "q=id:%00",
    "q=" + "a" * 5000, "q=worker:%25", "nope=1", "error_message__icontains=x", "e=1", "_popup=1",
    "worker__name=w", "nope=1&e=1", "_facets=True", "refresh=x", "state=a&state=b",
    "before=99999999999999999999999999999999999999999999", "_changelist_filters=x",
]  # fmt: skip


@pytest.mark.parametrize("query", MALFORMED)
@pytest.mark.parametrize("listed", [TASKS, WORKERS, GOALS])
def test_malformed_parameters_are_no_server_error(
    operator: Client, listed: str, query: str
) -> None:
    make_task()
    make_goal()
    assert operator.get(f"{listed}?{query}").status_code < 500
    assert operator.post(f"{listed}?{query}", {"index": "0"}).status_code < 500


@pytest.mark.parametrize(
    "data",
    [
        {"action": "revoke", "_selected_action": "nonsense", "index": "0"},
        {"action": "revoke", "_selected_action": "nonsense"},
        {"action": "nope", "_selected_action": "1", "index": "x"},
        {"action": "revoke", "index": "7"},
        {"_save": "1", "form-TOTAL_FORMS": "x"},
    ],
)
def test_malformed_actions_are_no_server_error(operator: Client, data: dict[str, str]) -> None:
    make_task()
    assert operator.post(TASKS, data).status_code < 500


def test_goals_are_found_by_kind_and_key(operator: Client) -> None:
    goal = make_goal(kind="invoice.delivered", key="INV-7")
    make_goal(kind="city.imported", key="Paris")
    for term in ("INV-7", "kind:invoice.delivered", "key:INV-7", "Invoice inv"):
        assert list(operator.get(GOALS, {"q": term}).context["cl"].result_list) == [goal]
    assert list(operator.get(GOALS, {"kind": "invoice.delivered"}).context["cl"].result_list) == [
        goal
    ]
