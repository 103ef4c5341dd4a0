"""Hot statements use the index that was made for them, whatever lies in the table (PostgreSQL)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from django_tasktrack import doctor, purge, states, transitions
from django_tasktrack.agenda import Behind
from django_tasktrack.changes import Change
from django_tasktrack.ids import new_id
from django_tasktrack.management.tasktrack import selection
from django_tasktrack.models import StateChange, TrackedTask
from django_tasktrack.overview import queues
from django_tasktrack.overview.lately import lately
from django_tasktrack.overview.queues import queue_figures
from django_tasktrack.retention import Retention, Rule, RuleBook
from django_tasktrack.states import State
from django_tasktrack.vendors import base, glance, postgresql

from .factories import NAME, make_worker
from .inline import enqueue, the_vendor

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(
        connection.vendor != "postgresql", reason="plans are read from PostgreSQL's EXPLAIN"
    ),
]

TABLE = TrackedTask._meta.db_table
COLUMNS = [str(field.column) for field in TrackedTask._meta.concrete_fields]
# Copies of one task: finished, far in the future, due, held, claimed, and gated: before all others, if they were
# due, half of them under a few keys.
_KINDS = """
    SELECT n, 'SUCCESS' AS state, 4 AS stage, 0 AS run, now() - n * interval '1 minute' AS ended
    FROM generate_series(1, 30000) n
    UNION ALL SELECT n, 'PENDING', 0, n, NULL FROM generate_series(1, 10000) n
    UNION ALL SELECT n, 'PENDING', 1, 0, NULL FROM generate_series(1, 5000) n
    UNION ALL SELECT n, 'PENDING', 2, 0, NULL FROM generate_series(1, 5000) n
    UNION ALL SELECT n, 'STARTED', 3, 0, NULL FROM generate_series(1, 200) n
    UNION ALL SELECT n, 'PENDING', -2, 0, NULL FROM generate_series(1, 5000) n
"""
_VALUES = {
    "id": "gen_random_uuid()",
    "name": "CASE WHEN made.stage = 2 THEN 'nobody.knows' ELSE task.name END",
    "queue": "'q' || n %% 5",
    "priority": "CASE WHEN made.stage = -2 THEN 100 ELSE n %% 7 END",
    "concurrency_key": "CASE WHEN made.stage = -2 AND n %% 2 = 0 THEN 'k' || n %% 20 END",
    "concurrency_limit": "CASE WHEN made.stage = -2 AND n %% 2 = 0 THEN 1 END",
    "state": "made.state",
    "stage": "made.stage",
    "worker_id": "CASE WHEN made.stage = 3 THEN %s END",
    "created_at": "now() - n * interval '1 minute'",
    "run_after": "now() + run * interval '1 day'",
    "expires_at": "CASE WHEN n %% 50 = 0 THEN now() + n * interval '1 second' END",
    "finished_at": "ended",
    "owner": "CASE WHEN n %% 100 = 0 THEN 'user-' || n %% 1000 ELSE '' END",
}
_COPY = f"""
INSERT INTO {TABLE} ({", ".join(COLUMNS)})
SELECT {", ".join(_VALUES.get(column, f"task.{column}") for column in COLUMNS)}
FROM {TABLE} task CROSS JOIN ({_KINDS}) made WHERE task.id = %s
"""


@pytest.fixture(scope="module")
def _full_table(django_db_setup: None, django_db_blocker: Any) -> Iterator[int]:
    """Some fifty thousand rows with statistics, for all tests of the module."""
    with django_db_blocker.unblock(), transaction.atomic():
        worker, task = make_worker(), enqueue(delay=1e9)
        with connection.cursor() as cursor:
            cursor.execute(_COPY, [worker.pk, task.task_id])
            cursor.execute(f"ANALYZE {TABLE}")
        yield worker.pk
        transaction.set_rollback(True)


@pytest.fixture
def worker_id(_full_table: int, db: None) -> int:
    return _full_table


class Plans:
    """Explains every statement that is executed meanwhile, and executes it."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if TABLE in sql and not sql.startswith("EXPLAIN"):
            cursor: CursorWrapper = context["cursor"]
            execute(f"EXPLAIN (FORMAT JSON) {sql}", params, many, context)
            told = cursor.fetchone()[0]
            plan = told if isinstance(told, list) else json.loads(told)
            self._collect(plan[0]["Plan"])
        return execute(sql, params, many, context)

    def _collect(self, node: dict[str, Any]) -> None:
        self.nodes.append(node)
        for below in node.get("Plans", []):
            self._collect(below)

    @property
    def indexes(self) -> set[str]:
        return {node["Index Name"] for node in self.nodes if "Index Name" in node}

    @property
    def scanned(self) -> set[str]:
        """Tables that are read from end to end."""
        return {n["Relation Name"] for n in self.nodes if n["Node Type"] == "Seq Scan"}


@pytest.fixture
def plans() -> Iterator[Plans]:
    plans = Plans()
    with connection.execute_wrapper(plans):
        yield plans


def uses(plans: Plans, *indexes: str) -> bool:
    assert plans.nodes, "nothing was explained"
    assert TABLE not in plans.scanned
    assert set(indexes) <= plans.indexes
    return True


def test_claim_of_all_queues(worker_id: int, plans: Plans) -> None:
    claims = transitions.claim(the_vendor(), worker_id, [], [NAME], 10)
    assert [claim.priority for claim in claims] == [6] * 10
    assert uses(plans, "tasktrack_due")


def test_claim_of_named_queues(worker_id: int, plans: Plans) -> None:
    assert len(transitions.claim(the_vendor(), worker_id, ["q1", "q2"], [NAME], 10)) == 10
    assert uses(plans, "tasktrack_due")


def test_claim_behind_the_frontier_reads_one_stretch_of_the_index(
    worker_id: int, plans: Plans
) -> None:
    due = TrackedTask.objects.due().filter(queue="q1", priority=6).order_by("-pk")
    latest = set(due.values_list("pk", flat=True)[:10])
    after = min(latest)
    plans.nodes.clear()
    claims = the_vendor().claim(worker_id, [], [NAME], 10, behind=Behind(after, (("q1", 6),)))
    assert {claim.task_id for claim in claims} == latest
    assert uses(plans, "tasktrack_due")
    (scan,) = [node for node in plans.nodes if node.get("Index Name") == "tasktrack_due"]
    for column in ("queue", "priority", "id"):
        assert column in scan["Index Cond"]


@pytest.mark.parametrize("excluded", [[], ["q0", "q3"]], ids=["all queues", "all but some"])
def test_claim_reads_no_more_than_it_takes(worker_id: int, excluded: list[str]) -> None:
    """The head of each queue, not all that is due in it, or in those that are left out."""
    sql = glance.queues_of([], excluded) + postgresql._CLAIM
    asked: dict[str, Any] = {
        "worker": worker_id,
        "queues": [],
        "excluded": excluded,
        "names": [NAME],
        "limit": 10,
    }
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", asked)
        told = cursor.fetchone()[0]
    plans = Plans()
    plans._collect((told if isinstance(told, list) else json.loads(told))[0]["Plan"])
    read = sum(
        node["Actual Rows"] * node["Actual Loops"]
        for node in plans.nodes
        if node.get("Index Name") == "tasktrack_due"
    )
    assert 0 < read <= 5 * 10 + 20
    assert TABLE not in plans.scanned


@pytest.mark.parametrize("queues", [[], ["q1", "q2"]], ids=["all queues", "some"])
def test_agenda(worker_id: int, plans: Plans, queues: list[str]) -> None:
    told = the_vendor().agenda(worker_id, queues, [NAME], 3600.0)
    assert told
    assert (told.due, told.unknown, told.held, told.claimed) == (True, False, True, True)
    names = ("due", "scheduled", "claimed", "expiring", "held")
    assert uses(plans, *(f"tasktrack_{name}" for name in names))


def test_look_for_limited_names_in_the_look_around(worker_id: int, plans: Plans) -> None:
    told = the_vendor().agenda(worker_id, [], [NAME], 3600.0, [NAME])
    assert told
    assert not told.due, "only limited ones are"
    assert (told.gates.gated, told.gates.gateable) == (True, True)
    assert uses(plans, "tasktrack_gated", "tasktrack_concurrency_key", "tasktrack_due")


def test_what_there_is_of_limits(worker_id: int, plans: Plans) -> None:
    assert the_vendor().gates().gated
    assert uses(plans, "tasktrack_gated", "tasktrack_concurrency_key")


def test_claim_of_gated_tasks(worker_id: int, plans: Plans) -> None:
    found = transitions.claim_gated(
        the_vendor(), worker_id, [], [NAME], rates={NAME: 1e6}, limit=20
    )
    assert len(found.claims) == 0, "nobody holds the row of their tokens"
    assert found.empty
    found = transitions.claim_gated(the_vendor(), worker_id, [], [NAME], rates={}, limit=20)
    assert len(found.claims) == 10, "one of each key"
    assert uses(plans, "tasktrack_gated", "tasktrack_concurrency_key")


def test_gate_and_ungate(worker_id: int, plans: Plans) -> None:
    assert transitions.gate(the_vendor(), ["q1"], [NAME]) == 1000
    plans.nodes.clear()
    assert transitions.ungate(the_vendor(), ["no.such.name"]) == 3500
    assert uses(plans, "tasktrack_gated")


def test_keys_are_walked_by_their_index_and_not_read(worker_id: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "EXPLAIN (ANALYZE, FORMAT JSON) " + base._WALKS["concurrency_key"], ["", 200]
        )
        told = cursor.fetchone()[0]
    plans = Plans()
    plans._collect((told if isinstance(told, list) else json.loads(told))[0]["Plan"])
    read = sum(
        node["Actual Rows"] * node["Actual Loops"]
        for node in plans.nodes
        if node.get("Index Name") == "tasktrack_concurrency_key"
    )
    assert 0 < read <= 20, "ten keys, of 2,500 rows"


def test_promote(worker_id: int, plans: Plans) -> None:
    assert the_vendor().promote()[0] == 0
    assert uses(plans, "tasktrack_scheduled")
    (ripe,) = [node for node in plans.nodes if node["Node Type"] == "LockRows"]
    assert "run_after <= " in ripe["Plans"][0]["Index Cond"]


def test_rescue(worker_id: int, plans: Plans) -> None:
    assert not transitions.rescue(the_vendor(), 3600.0).applied
    assert uses(plans, "tasktrack_claimed")


def test_expire(worker_id: int, plans: Plans) -> None:
    assert not transitions.expire(the_vendor()).applied
    assert uses(plans, "tasktrack_expiring")


def test_purge(worker_id: int, plans: Plans) -> None:
    assert sum(item.tasks for item in purge.purge(older_than=29_990 * 60)) == 11
    assert uses(plans, "tasktrack_done", f"{TABLE}_pkey")
    assert StateChange._meta.db_table not in plans.scanned


def test_value_of_a_result(worker_id: int, plans: Plans) -> None:
    """The next batch goes on where the last one ended, whatever is kept before and behind it."""
    vendor, day = the_vendor(), 86_400
    book = RuleBook(Retention(day, 30 * day, None, None))
    rule, now = book.rules()[-1], vendor.now()
    first = purge.follow(vendor, book, rule, now, limit=200)
    assert (rule.values, first.gone, first.more) == (True, 0, True)
    second = purge.follow(vendor, book, rule, now, after=first.place, limit=200)
    assert first.place
    assert second.place
    assert second.place > first.place
    assert uses(plans, "tasktrack_done", f"{TABLE}_pkey")
    read = [node for node in plans.nodes if node.get("Index Name") == "tasktrack_done"]
    assert all("finished_at" in node["Index Cond"] for node in read)


def test_look_for_what_retention_asks_for(worker_id: int, plans: Plans) -> None:
    vendor, day = the_vendor(), 86_400
    rule, now = Rule(20 * day, State.SUCCESS), vendor.now()
    assert purge.ended(vendor, rule, now).values("pk").first()
    assert uses(plans, "tasktrack_done")
    assert {node["Node Type"] for node in plans.nodes}.isdisjoint({"Sort"})


def test_tasks_of_an_owner(worker_id: int, plans: Plans) -> None:
    assert list(TrackedTask.objects.owned_by("user-100").order_by("-pk")[:50])
    assert uses(plans, "tasktrack_owner")


@pytest.mark.parametrize("state", ["FAILURE", "REVOKED"])
def test_tasks_of_a_rare_state(worker_id: int, plans: Plans, state: str) -> None:
    """As lists in the API and the admin ask for them: the newest first."""
    assert list(TrackedTask.objects.filter(state=state).order_by("-pk")[:50]) == []
    assert uses(plans, "tasktrack_unsuccessful")


def test_wishes_of_a_worker(worker_id: int, plans: Plans) -> None:
    assert transitions.revoke_requests(the_vendor(), worker_id) == []
    assert uses(plans, "tasktrack_claimed")


def test_held_tasks(worker_id: int, plans: Plans) -> None:
    assert transitions.unhold(the_vendor(), [NAME]) == 0
    assert uses(plans, "tasktrack_held")


def test_head_of_the_queue_for_unknown_names(worker_id: int, plans: Plans) -> None:
    assert transitions.hold_unknown(the_vendor(), ["q1"], [NAME]) == {}
    assert uses(plans, "tasktrack_due")


def test_finish_is_driven_by_the_primary_key(worker_id: int, plans: Plans) -> None:
    claims = transitions.claim(the_vendor(), worker_id, [], [NAME], 100)
    plans.nodes.clear()
    changes = [Change(c.task_id, states.SUCCEED, c.lease, worker_id, began=0.0) for c in claims]
    assert len(transitions.settle(the_vendor(), changes).applied) == 100
    assert uses(plans, f"{TABLE}_pkey")
    assert plans.indexes == {f"{TABLE}_pkey"}


def test_finish_compares_no_task_with_every_other(worker_id: int) -> None:
    """Two lists without an index, joined, cost as much as the square of their length."""
    claims = transitions.claim(the_vendor(), worker_id, [], [NAME], 200)
    changes = [Change(c.task_id, states.SUCCEED, c.lease, worker_id, began=0.0) for c in claims]
    asked = postgresql._columns(changes)
    write = postgresql._WRITE.format(asked=asked.sql, lock="SKIP LOCKED")
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {write}", asked.params)
        told = cursor.fetchone()[0]
    plans = Plans()
    plans._collect((told if isinstance(told, list) else json.loads(told))[0]["Plan"])
    removed = sum(node.get("Rows Removed by Join Filter", 0) for node in plans.nodes)
    read = sum(node["Actual Rows"] * node["Actual Loops"] for node in plans.nodes)
    assert removed == 0
    assert read < 20 * len(changes)


# What operators ask, now and then


def test_stats(worker_id: int, plans: Plans) -> None:
    """A count over what has ended reads the window alone, and of it no more than is counted."""
    now = the_vendor().now()
    found = {queue.name: queue for queue in queue_figures(the_vendor(), now)}
    assert found["q0"].due > 0
    assert lately(the_vendor(), now - timedelta(hours=1)).ended[State.SUCCESS] > 0
    names = ("due", "scheduled", "claimed", "done", "held", "gated")
    assert uses(plans, *(f"tasktrack_{name}" for name in names))


def test_stats_of_full_queues_read_their_heads(
    worker_id: int, plans: Plans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "LOOK", 50)
    found = queue_figures(the_vendor(), the_vendor().now())
    assert {queue.due for queue in found} == {50}
    assert uses(plans, "tasktrack_due")


def test_place_in_the_queue(worker_id: int, plans: Plans) -> None:
    task = TrackedTask.objects.due().for_queue("q1").order_by("priority", "-pk")[0]
    plans.nodes.clear()
    assert queues.ahead_in_queue(the_vendor(), task)[0] > 0
    assert uses(plans, "tasktrack_due")


@pytest.mark.parametrize("state", ["STARTED", "RETRY", "FAILURE"])
def test_list_of_a_rare_state(worker_id: int, plans: Plans, state: str) -> None:
    assert len(selection.newest(TrackedTask.objects.all(), [state], 10)) <= 10
    assert uses(plans)


def test_doctor_of_the_whole(worker_id: int, plans: Plans) -> None:
    assert doctor.examine(the_vendor())
    assert uses(plans, "tasktrack_done", "tasktrack_held")


def test_ids_of_many_results(worker_id: int, plans: Plans) -> None:
    assert not list(TrackedTask.objects.many([new_id() for _ in range(20)]))
    assert uses(plans, f"{TABLE}_pkey")


def test_reader_of_plans_sees_a_scan(worker_id: int, plans: Plans) -> None:
    old = timezone.now() - timedelta(days=1)
    list(TrackedTask.objects.filter(created_at__lt=old, label="x"))
    assert plans.scanned == {TABLE}
