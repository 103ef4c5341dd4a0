"""One suite over the portable vendor and the fast one, on the same database: they behave alike.

Where a database has no vendor of its own, the portable one is what runs, and there is no other.
"""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.utils import timezone

from django_tasktrack import states
from django_tasktrack.changes import Change, NewTask, ProgressWrite, Release, Written
from django_tasktrack.ids import new_id
from django_tasktrack.models import Link, Progress, StateChange, TrackedTask
from django_tasktrack.outcomes import Claim, Error
from django_tasktrack.payloads import decode, encode
from django_tasktrack.states import TRANSITIONS, Stage, State, Transition
from django_tasktrack.vendors import postgresql, vendor_for
from django_tasktrack.vendors.base import Vendor

from ..factories import NAME, make_worker, new_task
from ..holding import held, needs_row_locks

pytestmark = pytest.mark.django_db

FAST, BASE = "fast", "portable"
ERROR = Error("ValueError", "no such invoice", "Traceback ...")
HOUR = timedelta(hours=1)
#: Transitions that end or give back an attempt, and STARTED itself.
OF_CLAIMS = [t for t in TRANSITIONS if State.STARTED in t.stored_sources or t is states.START]


def the(kind: str) -> Vendor:
    return vendor_for("default") if kind == FAST else Vendor("default")


@pytest.fixture(params=[BASE] if type(vendor_for("default")) is Vendor else [FAST, BASE])
def vendor(request: pytest.FixtureRequest) -> Vendor:
    return the(request.param)


@pytest.fixture
def worker_id() -> int:
    return make_worker().pk


def put(vendor: Vendor, **values: Any) -> UUID:
    new = new_task(**values)
    vendor.insert([new])
    return new.task_id


def take(
    vendor: Vendor, worker_id: int, limit: int = 100, queues: tuple[str, ...] = ()
) -> list[Claim]:
    return vendor.claim(worker_id, queues, [NAME], limit)


def claimed(vendor: Vendor, worker_id: int, **values: Any) -> Claim:
    task_id = put(vendor, **values)
    # As if it had waited: what happens to it now is not earlier than what happened last.
    TrackedTask.objects.filter(pk=task_id).update(changed_at=F("changed_at") - HOUR)
    return {claim.task_id: claim for claim in take(vendor, worker_id)}[task_id]


def change(claim: Claim, transition: Transition, **values: Any) -> Change:
    return Change(claim.task_id, transition, claim.lease, claim.worker_id, **values)


def ago(seconds: float) -> float:
    """A moment on the monotonic clock."""
    return time.monotonic() - seconds


def row(task_id: UUID) -> TrackedTask:
    return TrackedTask.objects.get(pk=task_id)


def told(task_id: UUID) -> list[StateChange]:
    return list(StateChange.objects.filter(task_id=task_id).in_order())


def story(task_id: UUID) -> list[str]:
    return [change.state for change in told(task_id)]


def is_contiguous(task_id: UUID) -> bool:
    """Invariant I1: numbers from 1, legal pairs, and the last row is the state."""
    rows, task = told(task_id), row(task_id)
    pairs = zip([None, *(r.state for r in rows)], (r.state for r in rows), strict=False)
    return (
        [r.seq for r in rows] == list(range(1, task.seq + 1))
        and all(states.is_legal(source, target) for source, target in pairs)
        and rows[-1].state == task.state
        and rows[-1].label == task.label
    )


def offset(value: datetime | None, start: datetime) -> float | None:
    """A time as tens of seconds after ``start``, so that two runs compare."""
    return None if value is None else round((value - start).total_seconds() / 10)


def picture(task_id: UUID) -> dict[str, Any]:
    """The full row with its history, without ids, and with times as offsets."""
    task: dict[str, Any] = dict(TrackedTask.objects.filter(pk=task_id).values().get())
    changes = StateChange.objects.filter(task_id=task_id).order_by("seq").values()
    rows: list[dict[str, Any]] = [task, *map(dict, changes)]
    start = task["created_at"]
    for values in rows:
        for name, value in values.items():
            if isinstance(value, datetime):
                values[name] = offset(value, start)
            elif name in {"id", "task_id", "worker_id"}:
                values[name] = value is not None
    return {"row": task, "history": rows[1:]}


# Insert


def test_insert_writes_row_and_first_history(vendor: Vendor) -> None:
    new = new_task(args=[1, {"a": None}], kwargs={"k": "ä😀"}, queue="mail", priority=-7,
                   max_attempts=4, owner="7", actor="user:1", goal_id=12, time_limit=9.5,
                   soft_time_limit=8, rerun_if_lost=False)  # fmt: skip
    vendor.insert([new])
    task = row(new.task_id)
    assert (task.args, task.kwargs, task.queue, task.priority) == (
        [1, {"a": None}], {"k": "ä😀"}, "mail", -7,
    )  # fmt: skip
    assert (task.max_attempts, task.owner, task.goal_id) == (4, "7", 12)
    assert (task.time_limit, task.soft_time_limit, task.rerun_if_lost) == (9.5, 8, False)
    (first,) = told(new.task_id)
    assert (first.seq, first.state, first.actor, first.at) == (
        1,
        "PENDING",
        "user:1",
        task.created_at,
    )


def test_insert_of_many_keeps_each_apart(vendor: Vendor) -> None:
    tasks = [
        new_task(args=[number], priority=number % 3, expires_in=None) for number in range(1200)
    ]
    vendor.insert(tasks)
    stored = TrackedTask.objects.in_bulk([task.task_id for task in tasks])
    assert [stored[task.task_id].args for task in tasks] == [[number] for number in range(1200)]
    assert StateChange.objects.count() == 1200


def test_insert_of_mixed_options(vendor: Vendor) -> None:
    at = datetime(2100, 1, 1, tzinfo=UTC)
    tasks = [
        new_task(delay=30.0),
        new_task(run_after=at, expires_at=at),
        new_task(expires_in=60.0, max_attempts=1),
        new_task(goal_id=5, time_limit=5, soft_time_limit=2.5),
        new_task(time_limit=0.5, soft_time_limit=2),
    ]
    vendor.insert(tasks)
    stages = [row(task.task_id).stage for task in tasks]
    assert stages == [Stage.SCHEDULED, Stage.SCHEDULED, Stage.DUE, Stage.DUE, Stage.DUE]


def test_delays_are_added_to_the_database_s_clock(vendor: Vendor) -> None:
    task = row(put(vendor, delay=300.0, expires_in=600.0))
    assert (offset(task.run_after, task.created_at), offset(task.expires_at, task.created_at)) == (
        30,
        60,
    )
    assert abs(offset(vendor.now(), task.created_at) or 0) == 0


def test_clock_is_aware_and_moves(vendor: Vendor) -> None:
    first = vendor.now()
    assert timezone.is_aware(first)
    assert first < vendor.now() < first + timedelta(seconds=5)


# Claim


def test_claim_takes_larger_priority_then_age(vendor: Vendor, worker_id: int) -> None:
    ids = [put(vendor, priority=priority) for priority in (0, 5, -100, 5, 100, 0)]
    assert [claim.task_id for claim in take(vendor, worker_id)] == [
        ids[number] for number in (4, 1, 3, 0, 5, 2)
    ]


def test_claim_over_queues_keeps_one_order(vendor: Vendor, worker_id: int) -> None:
    ids = [put(vendor, queue=queue, priority=p) for queue, p in
           [("c", 0), ("a", 0), ("b", 9), ("a", 3), ("c", 9)]]  # fmt: skip
    assert [claim.task_id for claim in take(vendor, worker_id, limit=4)] == [
        ids[number] for number in (2, 4, 3, 0)
    ]


def test_claim_looks_at_named_queues_alone(vendor: Vendor, worker_id: int) -> None:
    put(vendor, queue="other")
    wanted = {put(vendor, queue="mail"), put(vendor, queue="sms")}
    found = take(vendor, worker_id, queues=("mail", "sms", "empty"))
    assert {claim.task_id for claim in found} == wanted


def test_claim_of_all_queues_but_some(vendor: Vendor, worker_id: int) -> None:
    for queue in ("a", "m", "z"):
        put(vendor, queue=queue, priority=100)
    wanted = {put(vendor, queue="mail"), put(vendor, queue="sms")}
    claims = vendor.claim(worker_id, [], [NAME], 100, excluded=["a", "m", "z", "empty"])
    assert {claim.task_id for claim in claims} == wanted


def test_unknown_names_in_excluded_queues_are_left_alone(vendor: Vendor) -> None:
    put(vendor, queue="slow", name="nobody.knows")
    found = put(vendor, queue="mail", name="nobody.knows")
    assert set(vendor.unknown([], {NAME}, excluded=["slow"])) == {found}


def test_claim_leaves_unknown_names_alone(vendor: Vendor, worker_id: int) -> None:
    unknown = put(vendor, name="nobody.knows", priority=100)
    known = put(vendor)
    assert [claim.task_id for claim in take(vendor, worker_id)] == [known]
    assert (row(unknown).stage, row(unknown).attempt, row(unknown).lease) == (Stage.DUE, 0, 0)


def test_claim_without_names_or_room_takes_nothing(vendor: Vendor, worker_id: int) -> None:
    put(vendor)
    assert vendor.claim(worker_id, [], [], 10) == []
    assert vendor.claim(worker_id, [], [NAME], 0) == []
    assert vendor.claim(worker_id, [], [NAME], -1) == []


def test_claim_passes_over_what_has_expired(vendor: Vendor, worker_id: int) -> None:
    put(vendor, expires_in=-1.0, priority=100)
    kept = put(vendor, expires_in=600.0)
    assert [claim.task_id for claim in take(vendor, worker_id)] == [kept]


def test_claim_takes_no_more_than_its_limit(vendor: Vendor, worker_id: int) -> None:
    for number in range(7):
        put(vendor, queue=f"q{number % 3}")
    assert [len(take(vendor, worker_id, limit=3)) for _ in range(4)] == [3, 3, 1, 0]


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.DUE])
def test_claim_takes_due_rows_alone(vendor: Vendor, worker_id: int, stage: Stage) -> None:
    TrackedTask.objects.filter(pk=put(vendor)).update(stage=stage)
    assert take(vendor, worker_id) == []


def test_claim_carries_all_that_running_needs(vendor: Vendor, worker_id: int) -> None:
    new = new_task(args=[1, 2.5], kwargs={"k": ["ä"]}, queue="mail", priority=3, max_attempts=4,
                   owner="7", goal_id=9, expires_in=600.0, time_limit=9.5, soft_time_limit=8.0,
                   rerun_if_lost=False)  # fmt: skip
    vendor.insert([new])
    (claim,) = take(vendor, worker_id)
    task = row(new.task_id)
    assert claim._replace(args="", kwargs="") == Claim(
        new.task_id, NAME, "", "", "mail", 3, 1, 0, 0, 1, worker_id, 4, None,
        task.expires_at, "7", 9, 9.5, 8.0, False,
    )  # fmt: skip
    assert (decode(claim.args), decode(claim.kwargs)) == ([1, 2.5], {"k": ["ä"]})


def test_each_claim_raises_the_lease(vendor: Vendor, worker_id: int) -> None:
    task_id = put(vendor)
    leases = []
    for _ in range(3):
        (claim,) = take(vendor, worker_id)
        leases.append((claim.lease, claim.attempt))
        vendor.unclaim([claim])
    assert leases == [(1, 1), (2, 1), (3, 1)]
    assert story(task_id) == ["PENDING"]


def test_unclaim_gives_back_what_did_not_start(vendor: Vendor, worker_id: int) -> None:
    waiting, started, revoked, taken = (claimed(vendor, worker_id) for _ in range(4))
    vendor.write([change(started, states.START)])
    TrackedTask.objects.filter(pk=revoked.task_id).update(revoke_requested_at=timezone.now())
    stale = taken._replace(lease=taken.lease - 1)
    assert vendor.unclaim([waiting, started, revoked, stale]) == 1
    task = row(waiting.task_id)
    assert (task.stage, task.worker_id, task.attempt, task.lease) == (Stage.DUE, None, 0, 1)
    assert [row(c.task_id).stage for c in (started, revoked, taken)] == [Stage.CLAIMED] * 3


def test_unclaim_of_another_worker_s_claim_changes_nothing(vendor: Vendor, worker_id: int) -> None:
    claim = claimed(vendor, worker_id)
    assert vendor.unclaim([claim._replace(worker_id=make_worker().pk)]) == 0
    assert vendor.unclaim([]) == 0


def test_unclaim_takes_many(vendor: Vendor, worker_id: int) -> None:
    vendor.insert([new_task() for _ in range(250)])
    assert vendor.unclaim(take(vendor, worker_id, limit=250)) == 250


# Write: the fence


def prepared(vendor: Vendor, worker_id: int, transition: Transition) -> Claim:
    """A claim in a state that the transition may leave."""
    claim = claimed(vendor, worker_id)
    if transition is not states.START:
        vendor.write([change(claim, states.START)])
    return claim


@pytest.mark.parametrize("transition", OF_CLAIMS, ids=lambda t: t.name)
def test_write_needs_the_lease_of_the_claim(
    vendor: Vendor, worker_id: int, transition: Transition
) -> None:
    claim = prepared(vendor, worker_id, transition)
    before = picture(claim.task_id)
    for wrong in (claim.lease - 1, claim.lease + 1):
        late = change(claim._replace(lease=wrong), transition)
        assert vendor.write([late]) == Written(stale=frozenset({claim.task_id}))
    assert picture(claim.task_id) == before
    assert vendor.write([change(claim, transition)]).applied == {claim.task_id}


@pytest.mark.parametrize("transition", OF_CLAIMS, ids=lambda t: t.name)
def test_write_needs_the_worker_of_the_claim(
    vendor: Vendor, worker_id: int, transition: Transition
) -> None:
    claim = prepared(vendor, worker_id, transition)
    before = picture(claim.task_id)
    for wrong in (None, worker_id + 1000):
        late = Change(claim.task_id, transition, claim.lease, wrong)
        assert vendor.write([late]).stale == {claim.task_id}
    assert picture(claim.task_id) == before


@pytest.mark.parametrize(
    "transition", [t for t in TRANSITIONS if t is not states.ENQUEUE], ids=lambda t: t.name
)
@pytest.mark.parametrize("state", State)
def test_write_needs_a_state_that_the_transition_may_leave(
    vendor: Vendor, worker_id: int, transition: Transition, state: State
) -> None:
    claim = claimed(vendor, worker_id)
    TrackedTask.objects.filter(pk=claim.task_id).update(state=state)
    before = picture(claim.task_id)
    written = vendor.write([change(claim, transition)])
    allowed = state in transition.stored_sources
    assert (written.applied, written.stale) == (
        (frozenset({claim.task_id}), frozenset())
        if allowed
        else (frozenset(), frozenset({claim.task_id}))
    )
    assert (picture(claim.task_id) == before) is not allowed


@pytest.mark.parametrize("transition", OF_CLAIMS, ids=lambda t: t.name)
def test_nothing_is_given_back_while_somebody_wants_it_to_end(
    vendor: Vendor, worker_id: int, transition: Transition
) -> None:
    claim = prepared(vendor, worker_id, transition)
    TrackedTask.objects.filter(pk=claim.task_id).update(revoke_requested_at=timezone.now())
    written = vendor.write([change(claim, transition)])
    assert bool(written.stale) is transition.yields
    assert bool(written.applied) is not transition.yields


def test_write_of_no_row_is_stale(vendor: Vendor, worker_id: int) -> None:
    ghost = Change(new_id(), states.SUCCEED, 1, worker_id)
    assert vendor.write([ghost]) == Written(stale=frozenset({ghost.task_id}))
    assert not StateChange.objects.exists()


def test_second_finish_changes_nothing(vendor: Vendor, worker_id: int) -> None:
    claim = claimed(vendor, worker_id)
    end = change(claim, states.SUCCEED, result="1", began=ago(1))
    assert vendor.write([end]).applied
    before = picture(claim.task_id)
    again = change(claim, states.FAIL, error=ERROR, began=ago(1))
    assert vendor.write([again]).stale == {claim.task_id}
    assert picture(claim.task_id) == before


def test_stale_ones_do_not_hold_up_the_others(vendor: Vendor, worker_id: int) -> None:
    claims = [claimed(vendor, worker_id) for _ in range(5)]
    wrong = claims[2]._replace(lease=99)
    batch = [change(c, states.SUCCEED, began=ago(1)) for c in [*claims[:2], wrong, *claims[3:]]]
    written = vendor.write(batch)
    assert written.stale == {wrong.task_id}
    assert written.applied == {c.task_id for c in claims} - {wrong.task_id}
    assert [change.task_id for change in written.of(batch)] == [
        c.task_id for c in claims if c.task_id != wrong.task_id
    ]


# Write: what is recorded


def test_started_is_recorded_with_the_finish_once_and_before_it(
    vendor: Vendor, worker_id: int
) -> None:
    claim = claimed(vendor, worker_id)
    vendor.write([change(claim, states.SUCCEED, result="5", began=ago(100), happened=ago(40))])
    assert story(claim.task_id) == ["PENDING", "STARTED", "SUCCESS"]
    _, started, ended = told(claim.task_id)
    assert offset(ended.at, started.at) == 6
    task = row(claim.task_id)
    assert (task.started_at, task.finished_at) == (started.at, ended.at)
    assert (started.lease, started.worker_id, started.attempt) == (1, worker_id, 1)


def test_started_that_was_seen_is_not_recorded_again(vendor: Vendor, worker_id: int) -> None:
    claim = claimed(vendor, worker_id)
    vendor.write([change(claim, states.START, happened=ago(100))])
    began = row(claim.task_id).started_at
    vendor.write([change(claim, states.RELABEL, label="PROGRESS", began=ago(100))])
    vendor.write([change(claim, states.SUCCEED, began=ago(100))])
    assert story(claim.task_id) == ["PENDING", "STARTED", "STARTED", "SUCCESS"]
    assert row(claim.task_id).started_at == began
    assert is_contiguous(claim.task_id)


def test_label_shows_while_it_runs_and_goes_with_the_end(vendor: Vendor, worker_id: int) -> None:
    claim = claimed(vendor, worker_id)
    vendor.write([change(claim, states.RELABEL, label="HALF WAY", began=ago(1))])
    assert (row(claim.task_id).label, row(claim.task_id).stage) == ("HALF WAY", Stage.CLAIMED)
    vendor.write([change(claim, states.SUCCEED, began=ago(1))])
    assert row(claim.task_id).label == ""
    assert [c.label for c in told(claim.task_id)] == ["", "", "HALF WAY", ""]


def test_times_come_from_the_database(vendor: Vendor, worker_id: int) -> None:
    claim = claimed(vendor, worker_id)
    before = vendor.now()
    vendor.write([change(claim, states.SUCCEED, began=ago(30), happened=ago(10))])
    task = row(claim.task_id)
    assert (offset(task.started_at, before), offset(task.finished_at, before)) == (-3, -1)


def test_retry_waits_for_its_delay(vendor: Vendor, worker_id: int) -> None:
    claim = claimed(vendor, worker_id)
    vendor.write([change(claim, states.RETRY, delay=300.0, error=ERROR, began=ago(1))])
    task = row(claim.task_id)
    assert (task.state, task.stage, task.worker_id) == ("RETRY", Stage.SCHEDULED, None)
    assert offset(task.run_after, vendor.now()) == 30
    assert task.error_message == told(claim.task_id)[-1].error_message == "no such invoice"


def test_retry_without_a_delay_is_due_at_once(vendor: Vendor, worker_id: int) -> None:
    claim = claimed(vendor, worker_id)
    vendor.write([change(claim, states.RETRY, delay=0.0, began=ago(1))])
    (again,) = take(vendor, worker_id)
    assert (again.task_id, again.lease, again.attempt) == (claim.task_id, 2, 2)


def test_each_attempt_s_error_stays_in_history(vendor: Vendor, worker_id: int) -> None:
    task_id = put(vendor)
    for number in range(3):
        (claim,) = take(vendor, worker_id)
        error = Error("E", f"error {number}", f"traceback {number}")
        vendor.write([change(claim, states.RETRY, delay=0.0, error=error, began=ago(1))])
    (claim,) = take(vendor, worker_id)
    vendor.write([change(claim, states.SUCCEED, result="1", began=ago(1))])
    assert [c.error_message for c in told(task_id) if c.error_message] == [
        "error 0",
        "error 1",
        "error 2",
    ]
    task = row(task_id)
    assert (task.error_type, task.error_message, task.traceback) == ("", "", "")
    assert is_contiguous(task_id)


def test_started_keeps_the_error_of_the_attempt_before(vendor: Vendor, worker_id: int) -> None:
    task_id = put(vendor)
    (claim,) = take(vendor, worker_id)
    vendor.write([change(claim, states.RETRY, delay=0.0, error=ERROR, began=ago(1))])
    (claim,) = take(vendor, worker_id)
    vendor.write([change(claim, states.START)])
    assert row(task_id).error_message == "no such invoice"
    assert told(task_id)[-1].error_message == ""


def test_rerun_begins_afresh(vendor: Vendor, worker_id: int) -> None:
    claim = claimed(vendor, worker_id)
    vendor.write([change(claim, states.FAIL, error=ERROR, began=ago(1), losses=2, crashes=1)])
    TrackedTask.objects.filter(pk=claim.task_id).update(
        revoke_requested_at=timezone.now(), revoke_request={"signal": None}
    )
    vendor.write([change(claim, states.RERUN, delay=0.0, bump=1, afresh=True, actor="user:1")])
    task = row(claim.task_id)
    assert (task.attempt, task.losses, task.crashes, task.lease) == (0, 0, 0, 2)
    assert (task.state, task.stage, task.worker_id) == ("PENDING", Stage.DUE, None)
    assert (task.revoke_requested_at, task.revoke_request) == (None, None)
    assert (task.started_at, task.finished_at, task.error_message) == (None, None, "")
    assert told(claim.task_id)[-1].actor == "user:1"
    (again,) = take(vendor, worker_id)
    assert (again.attempt, again.lease) == (1, 3)


def test_result_is_kept_with_success_alone(vendor: Vendor, worker_id: int) -> None:
    claim = claimed(vendor, worker_id)
    value = {"sum": [1, 2.5, None, "ä"]}
    vendor.write([change(claim, states.SUCCEED, result=encode(value, "x"), began=ago(1))])
    assert row(claim.task_id).result == value


def test_counts_are_added(vendor: Vendor, worker_id: int) -> None:
    claim = claimed(vendor, worker_id)
    vendor.write([change(claim, states.RETRY, delay=0.0, losses=1, crashes=1, began=ago(1))])
    (claim,) = take(vendor, worker_id)
    vendor.write([change(claim, states.RELEASE, attempt=-1, began=ago(1))])
    task = row(claim.task_id)
    assert (task.attempt, task.losses, task.crashes) == (1, 1, 1)


def test_words_that_are_too_long_are_cut(vendor: Vendor, worker_id: int) -> None:
    claim = claimed(vendor, worker_id)
    vendor.write([change(claim, states.FAIL, reason="r" * 999, actor="a" * 999, began=ago(1))])
    last = told(claim.task_id)[-1]
    assert (len(last.reason), len(last.actor)) == (255, 255)


def test_whole_and_broken_numbers_go_together(vendor: Vendor, worker_id: int) -> None:
    claims = [claimed(vendor, worker_id) for _ in range(3)]
    delays = [5, 0.25, 0]
    batch = [
        change(claim, states.RETRY, delay=delay, began=ago(1))
        for claim, delay in zip(claims, delays, strict=True)
    ]
    assert len(vendor.write(batch).applied) == 3
    again = [claimed(vendor, worker_id) for _ in range(2)]
    numbers = [1, 0.5]
    vendor.write_progress(
        [
            ProgressWrite(claim.task_id, claim.lease, number, 3, None, None)
            for claim, number in zip(again, numbers, strict=True)
        ]
    )
    assert [Progress.objects.get(pk=c.task_id).current for c in again] == [1, 0.5]


def test_history_is_contiguous_over_a_long_life(vendor: Vendor, worker_id: int) -> None:
    task_id = put(vendor)
    for transition in (states.RETRY, states.RELEASE, states.FAIL, states.STOP):
        (claim,) = take(vendor, worker_id)
        assert vendor.write([change(claim, transition, began=ago(1))]).applied
        assert is_contiguous(task_id)
        if transition is states.FAIL:
            assert vendor.write([change(claim, states.RERUN, afresh=True, bump=1)]).applied
            assert is_contiguous(task_id)
    leases = [c.lease for c in told(task_id)]
    assert leases == sorted(leases)


# Both vendors leave the same rows


SCENARIOS: dict[str, list[tuple[Transition, dict[str, Any]]]] = {
    "short success": [(states.SUCCEED, {"result": '{"a":1}', "began": 50, "happened": 20})],
    "null result": [(states.SUCCEED, {"result": "null", "began": 50})],
    "long success": [
        (states.START, {"happened": 90}),
        (states.RELABEL, {"label": "HALF", "began": 90, "happened": 60}),
        (states.RELABEL, {"label": "", "began": 90, "happened": 40}),
        (states.SUCCEED, {"result": "[]", "began": 90, "happened": 30}),
    ],
    "failure": [(states.FAIL, {"error": ERROR, "reason": "r", "began": 30})],
    "retry": [(states.RETRY, {"error": ERROR, "delay": 300.0, "began": 30, "reason": "retry 1"})],
    "retry at once": [(states.RETRY, {"delay": 0.0, "began": 30})],
    "release": [(states.RELEASE, {"attempt": -1, "reason": "stopped", "began": 30})],
    "release seen": [(states.START, {}), (states.RELEASE, {"attempt": -1, "began": 30})],
    "stop": [(states.STOP, {"actor": "user:1", "reason": "no", "began": 30})],
    "revoke": [(states.REVOKE, {"actor": "user:1", "reason": "no"})],
    "expire": [(states.EXPIRE, {"reason": "expired"})],
    "lost": [
        (states.RETRY, {"error": ERROR, "delay": 0.0, "began": 0, "began_reason": "presumed",
                        "losses": 1, "crashes": 0}),
    ],
    "crashed": [(states.START, {}), (states.FAIL, {"losses": 1, "crashes": 1, "error": ERROR})],
    "rerun": [
        (states.FAIL, {"error": ERROR, "began": 30, "losses": 1}),
        (states.RERUN, {"delay": 0.0, "bump": 1, "afresh": True, "actor": "u", "reason": "again"}),
    ],
}  # fmt: skip


def play(
    vendor: Vendor, steps: list[tuple[Transition, dict[str, Any]]], worker_id: int
) -> dict[str, Any]:
    claim = claimed(vendor, worker_id, args=[1], owner="7", max_attempts=3, expires_in=6000.0)
    for transition, values in steps:
        moments = {
            name: ago(value) if name in {"began", "happened"} else value
            for name, value in values.items()
        }
        assert vendor.write([change(claim, transition, **moments)]).applied
    assert is_contiguous(claim.task_id)
    return picture(claim.task_id)


@pytest.mark.skipif(
    type(vendor_for("default")) is Vendor,
    reason="this database has no vendor of its own to compare",
)
@pytest.mark.parametrize("name", SCENARIOS)
def test_both_vendors_leave_the_same_rows(name: str, worker_id: int) -> None:
    fast, base = (play(the(kind), SCENARIOS[name], worker_id) for kind in (FAST, BASE))
    assert fast == base


def test_every_transition_is_compared() -> None:
    compared = {transition.name for steps in SCENARIOS.values() for transition, _ in steps}
    assert compared == {t.name for t in TRANSITIONS} - {"enqueue"}


# Unique keys


def test_unique_insert_tells_who_has_the_key(vendor: Vendor) -> None:
    first, other = new_task(unique_key="a"), new_task(unique_key="b")
    assert vendor.insert_unique([first, other]) == {}
    late, free = new_task(unique_key="a"), new_task(unique_key="c")
    assert vendor.insert_unique([free, late]) == {late.task_id: first.task_id}
    assert not StateChange.objects.filter(task_id=late.task_id).exists()
    assert is_contiguous(free.task_id)
    rows = TrackedTask.objects.values_list("pk", "unique_key", "active_key")
    assert set(rows) == {(t.task_id, t.unique_key, t.unique_key) for t in (first, other, free)}


def test_unique_insert_of_two_with_one_key_takes_one(vendor: Vendor) -> None:
    two = [new_task(unique_key="a"), new_task(unique_key="a")]
    ((loser, holder),) = vendor.insert_unique(two).items()
    assert {loser, holder} == {task.task_id for task in two}
    assert row(holder).active_key == "a"


def test_unique_insert_with_an_id_that_exists_raises(vendor: Vendor) -> None:
    taken = put(vendor)
    with pytest.raises(IntegrityError), transaction.atomic():
        vendor.insert_unique([new_task(task_id=taken, unique_key="a")])


def test_key_that_an_ended_task_has_kept_is_free(vendor: Vendor, worker_id: int) -> None:
    """A worker of a version before unique keys ends a task, and leaves its key where it was."""
    ended, other = new_task(unique_key="a"), new_task(unique_key="b")
    vendor.insert_unique([ended, other])
    (claim,) = [claim for claim in take(vendor, worker_id) if claim.task_id == ended.task_id]
    vendor.write([change(claim, states.FAIL, began=ago(1.0))])
    TrackedTask.objects.filter(pk=ended.task_id).update(active_key="a")
    late, last = new_task(unique_key="a"), new_task(unique_key="b")
    assert vendor.insert_unique([late, last]) == {last.task_id: other.task_id}
    assert (row(ended.task_id).active_key, row(late.task_id).active_key) == (None, "a")
    assert vendor.insert_unique([third := new_task(unique_key="a")]) == {
        third.task_id: late.task_id
    }


def test_end_frees_the_key_and_a_rerun_takes_it_again(vendor: Vendor, worker_id: int) -> None:
    new = new_task(unique_key="a")
    vendor.insert_unique([new])
    (claim,) = take(vendor, worker_id)
    assert vendor.write([change(claim, states.FAIL, began=ago(1.0))]).applied
    assert row(new.task_id).active_key is None
    again = change(claim, states.RERUN, bump=1, afresh=True, delay=0.0)
    assert vendor.write([again]).applied
    assert row(new.task_id).active_key == "a"


# Promote


def test_promote_makes_due_what_is_ripe(vendor: Vendor, worker_id: int) -> None:
    ripe, unripe = put(vendor, delay=300.0), put(vendor, delay=600.0)
    TrackedTask.objects.filter(pk=ripe).update(run_after=vendor.now() - timedelta(seconds=1))
    promoted, following = vendor.promote()
    assert promoted == 1
    assert following == pytest.approx(600, abs=5)
    assert (row(ripe).stage, row(unripe).stage) == (Stage.DUE, Stage.SCHEDULED)
    assert [claim.task_id for claim in take(vendor, worker_id)] == [ripe]


def test_promote_of_nothing(vendor: Vendor) -> None:
    put(vendor)
    assert vendor.promote() == (0, None)


def test_promote_takes_the_oldest_first_up_to_its_limit(vendor: Vendor) -> None:
    ids = [put(vendor, delay=300.0) for _ in range(3)]
    for number, task_id in enumerate(ids):
        at = vendor.now() - timedelta(seconds=100 - 10 * number)
        TrackedTask.objects.filter(pk=task_id).update(run_after=at)
    assert vendor.promote(2) == (2, 0.0)
    assert [row(task_id).stage for task_id in ids] == [Stage.DUE, Stage.DUE, Stage.SCHEDULED]


# Progress


def said(vendor: Vendor, claim: Claim, **values: Any) -> Progress | None:
    given = {"current": None, "total": None, "message": None, "meta": None, **values}
    vendor.write_progress([ProgressWrite(claim.task_id, claim.lease, **given)])
    return Progress.objects.filter(pk=claim.task_id).first()


def test_progress_keeps_what_a_report_leaves_out(vendor: Vendor, worker_id: int) -> None:
    claim = claimed(vendor, worker_id)
    said(vendor, claim, current=1, total=10, message="one", meta='{"a":1}')
    progress = said(vendor, claim, current=2)
    assert progress
    assert (progress.current, progress.total, progress.message, progress.meta) == (
        2, 10, "one", {"a": 1},
    )  # fmt: skip


def test_progress_can_take_its_message_back(vendor: Vendor, worker_id: int) -> None:
    claim = claimed(vendor, worker_id)
    said(vendor, claim, message="one")
    progress = said(vendor, claim, message="")
    assert progress
    assert progress.message == ""


def test_progress_of_another_lease_is_left_out(vendor: Vendor, worker_id: int) -> None:
    claim = claimed(vendor, worker_id)
    assert said(vendor, claim._replace(lease=claim.lease - 1), current=5) is None
    assert said(vendor, claim._replace(lease=claim.lease + 1), current=5) is None
    said(vendor, claim, current=1)
    late = said(vendor, claim._replace(lease=claim.lease - 1), current=5)
    assert late
    assert late.current == 1


def test_new_lease_starts_over(vendor: Vendor, worker_id: int) -> None:
    first = claimed(vendor, worker_id)
    before = said(vendor, first, current=9, total=10, message="nine", meta="[9]")
    vendor.write([change(first, states.RETRY, delay=0.0, began=ago(1))])
    (second,) = take(vendor, worker_id)
    after = said(vendor, second, current=1)
    assert before
    assert after
    assert (after.lease, after.current, after.total, after.message, after.meta) == (
        2, 1, None, "", None,
    )  # fmt: skip
    assert after.began_at > before.began_at


def test_progress_after_the_end_is_left_out(vendor: Vendor, worker_id: int) -> None:
    claim = claimed(vendor, worker_id)
    vendor.write([change(claim, states.SUCCEED, began=ago(1))])
    assert said(vendor, claim, current=1) is None


def test_progress_of_many_tasks_at_once(vendor: Vendor, worker_id: int) -> None:
    claims = [claimed(vendor, worker_id) for _ in range(3)]
    ghost = ProgressWrite(new_id(), 1, 1, None, None, None)
    writes = [
        ProgressWrite(claim.task_id, claim.lease, number, None, f"m{number}" * 200, None)
        for number, claim in enumerate(claims)
    ]
    vendor.write_progress([writes[0], ghost, *writes[1:]])
    found = {p.pk: p for p in Progress.objects.all()}
    assert [found[claim.task_id].current for claim in claims] == [0, 1, 2]
    assert {len(p.message) for p in found.values()} == {255}


# Rows that somebody's transaction holds


@needs_row_locks
@pytest.mark.django_db(transaction=True)
def test_held_row_is_busy_and_the_others_are_written(vendor: Vendor, worker_id: int) -> None:
    free, busy = (claimed(vendor, worker_id) for _ in range(2))
    batch = [change(claim, states.SUCCEED, began=ago(1)) for claim in (free, busy)]
    with held(row(busy.task_id)):
        began = time.monotonic()
        written = vendor.write(batch)
        assert time.monotonic() - began < 5
    assert written == Written(frozenset({free.task_id}), frozenset({busy.task_id}), frozenset())
    assert story(busy.task_id) == ["PENDING"]
    assert vendor.write(batch) == Written(
        frozenset({busy.task_id}), frozenset(), frozenset({free.task_id})
    )


@needs_row_locks
@pytest.mark.django_db(transaction=True)
def test_busy_row_that_is_given_away_is_stale_in_the_end(vendor: Vendor, worker_id: int) -> None:
    claim = claimed(vendor, worker_id)
    end = [change(claim, states.SUCCEED, began=ago(1))]
    take_away = TrackedTask.objects.filter(pk=claim.task_id)
    with held(row(claim.task_id), then=lambda: take_away.update(lease=claim.lease + 1)):
        assert vendor.write(end).busy == {claim.task_id}
    assert vendor.write(end).stale == {claim.task_id}
    assert story(claim.task_id) == ["PENDING"]


@needs_row_locks
@pytest.mark.django_db(transaction=True)
def test_claim_and_promote_pass_over_held_rows(vendor: Vendor, worker_id: int) -> None:
    first, second = put(vendor), put(vendor)
    scheduled = put(vendor, delay=300.0)
    TrackedTask.objects.filter(pk=scheduled).update(run_after=vendor.now() - timedelta(seconds=5))
    with held(row(first)):
        assert [claim.task_id for claim in take(vendor, worker_id)] == [second]
    with held(row(scheduled)):
        assert vendor.promote()[0] == 0
    assert vendor.promote()[0] == 1


@needs_row_locks
@pytest.mark.django_db(transaction=True)
def test_write_that_waits_gets_the_row_once_it_is_free(vendor: Vendor, worker_id: int) -> None:
    claim = claimed(vendor, worker_id)
    wait = [change(claim, states.SUCCEED, began=ago(1))]
    written: list[Written] = []

    def write() -> None:
        try:
            written.append(vendor.write(wait, wait=True))
        finally:
            connection.close()

    thread = threading.Thread(target=write)
    with held(row(claim.task_id)):
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
    thread.join(10)
    assert written == [Written(applied=frozenset({claim.task_id}))]


@needs_row_locks
@pytest.mark.django_db(transaction=True)
def test_write_that_waited_in_vain_is_stale(vendor: Vendor, worker_id: int) -> None:
    claim = claimed(vendor, worker_id)
    written: list[Written] = []

    def write() -> None:
        try:
            written.append(vendor.write([change(claim, states.SUCCEED, began=ago(1))], wait=True))
        finally:
            connection.close()

    thread = threading.Thread(target=write)
    take_away = TrackedTask.objects.filter(pk=claim.task_id)
    with held(row(claim.task_id), then=lambda: take_away.update(lease=claim.lease + 1)):
        thread.start()
        thread.join(0.2)
    thread.join(10)
    assert written == [Written(stale=frozenset({claim.task_id}))]
    assert story(claim.task_id) == ["PENDING"]


def test_all_or_none(vendor: Vendor, worker_id: int) -> None:
    """A row that the database refuses takes the whole write back."""
    good, bad = (claimed(vendor, worker_id) for _ in range(2))
    before = picture(good.task_id), picture(bad.task_id)
    StateChange.objects.bulk_create(  # the number that the write would need
        [
            StateChange(
                task_id=bad.task_id, seq=2, state="STARTED", attempt=1, lease=1, at=vendor.now()
            )
        ]
    )
    batch = [change(claim, states.SUCCEED, began=ago(1)) for claim in (good, bad)]
    with pytest.raises(IntegrityError), transaction.atomic():
        vendor.write(batch)
    assert picture(good.task_id) == before[0]
    assert picture(bad.task_id)["row"] == before[1]["row"]


def test_new_task_is_what_enqueueing_asks_for() -> None:
    """The columns of the fast insert are the fields of ``NewTask`` in their order: none is forgotten."""
    columns = [*postgresql._NEW, *postgresql._RELATED]
    assert NewTask._fields == ("task_id", *columns[1:], "unique_key")


@pytest.mark.parametrize(
    "related",
    [
        {"root_id": new_id()}, {"parent_id": new_id()}, {"group_id": new_id()},
        {"headers": '{"a": 1}'}, {"ignore_result": True}, {"followed": True}, {"blocked": True},
    ],
    ids=lambda related: next(iter(related)),
)  # fmt: skip
def test_what_few_tasks_have_is_stored_too(vendor: Vendor, related: dict[str, Any]) -> None:
    plain, one = new_task(), new_task(**related)
    vendor.insert([plain])
    vendor.insert([one])
    mixed = [new_task(), new_task(**related)]
    vendor.insert(mixed)
    (name, value), *_ = related.items()
    for task, expected in ((one, value), (mixed[1], value)):
        stored = row(task.task_id)
        if name == "blocked":
            assert stored.stage == Stage.BLOCKED
        else:
            assert getattr(stored, name) == ({"a": 1} if name == "headers" else expected)
    for task in (plain, mixed[0]):
        assert row(task.task_id).stage == Stage.DUE
        assert not row(task.task_id).followed


def test_a_claim_tells_of_relations(vendor: Vendor, worker_id: int) -> None:
    ids = {name: new_id() for name in ("root_id", "parent_id", "group_id")}
    task = new_task(**ids, headers='{"a": 1}', ignore_result=True, followed=True)
    vendor.insert([task])
    (claim,) = take(vendor, worker_id)
    assert {name: getattr(claim, name) for name in ids} == ids
    assert json.loads(claim.headers or "") == {"a": 1}
    assert claim.ignore_result
    assert claim.followed


def test_a_release_hands_over_and_is_for_those_that_wait(vendor: Vendor) -> None:
    waiting, late, free = new_task(blocked=True), new_task(blocked=True, delay=3600), new_task()
    vendor.insert([waiting, late, free])
    before = row(waiting.task_id).run_after
    asked = [Release(task.task_id, '["x", [1]]') for task in (waiting, late, free)]
    assert set(vendor.release(asked)) == {waiting.task_id, late.task_id}
    assert row(waiting.task_id).args == ["x", [1]]
    assert row(waiting.task_id).stage == Stage.DUE
    assert row(waiting.task_id).run_after > before
    assert row(late.task_id).stage == Stage.SCHEDULED, "its own time has not come"
    assert row(free.task_id).args == []
    assert vendor.release(asked) == []


def test_a_release_with_a_delay(vendor: Vendor) -> None:
    task = new_task(blocked=True)
    vendor.insert([task])
    vendor.release([Release(task.task_id, "[]", 60.0)])
    assert row(task.task_id).stage == Stage.SCHEDULED


def test_all_that_waits_for_a_task_is_found(vendor: Vendor) -> None:
    first, *others = [new_task(blocked=number > 0) for number in range(5)]
    steps = [first, *others]
    vendor.insert(steps)
    Link.objects.bulk_create(
        Link(task_id=one.task_id, number=0, successor_id=two.task_id)
        for one, two in pairwise(steps[:4])
    )
    assert set(vendor.waiting_for(first.task_id, 10)) == {task.task_id for task in others[:3]}
    assert len(vendor.waiting_for(first.task_id, 2)) == 2
    Link.objects.filter(task_id=others[0].task_id).update(state=Link.State.HANDED)
    assert vendor.waiting_for(first.task_id, 10) == [others[0].task_id]
