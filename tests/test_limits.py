"""Limits: rates, concurrency keys, paused queues, time limits; as the tables and one worker's claims show them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_tasktrack import chain, enqueue_many, limits, registry, testing, transitions
from django_tasktrack.exceptions import InvalidTask
from django_tasktrack.limits import Limits
from django_tasktrack.models import Queue, TaskLimits, TrackedTask
from django_tasktrack.outcomes import Claim, succeeded
from django_tasktrack.states import Stage
from django_tasktrack.transitions import Started
from tests.app.limited import apart, printed
from tests.app.tasks import add
from tests.factories import NAME, make_worker
from tests.inline import claim_all, enqueue, finish, row, the_vendor

pytestmark = pytest.mark.django_db


def keyed(key: str = "k", at_once: int = 1, **values: Any) -> UUID:
    return enqueue(concurrency_key=key, concurrency_limit=at_once, **values).task_id


def look(
    worker_id: int, *, names: Sequence[str] = (NAME,), limit: int = 10, **values: Any
) -> Started:
    """As a worker looks: what has to wait is moved aside, what need not is claimed."""
    rates = limits.read(the_vendor()).rates
    transitions.gate(the_vendor(), [], [name for name in names if name in rates])
    return transitions.claim_gated(
        the_vendor(), worker_id, [], names, rates=rates, limit=limit, **values
    )


def ids(claims: Sequence[Claim]) -> list[UUID]:
    return [claim.task_id for claim in claims]


@pytest.fixture
def worker_id() -> int:
    return make_worker().pk


def stages(task_ids: Sequence[UUID]) -> list[Stage]:
    return [Stage(row(task_id).stage) for task_id in task_ids]


# Concurrency keys


def test_task_with_a_key_waits_in_a_stage_of_its_own_and_no_claim_takes_it(worker_id: int) -> None:
    task_id = keyed()
    assert row(task_id).stage == Stage.GATED
    TrackedTask.objects.update(
        stage=Stage.DUE
    )  # as a retry, or a worker of an older version, leaves it
    assert claim_all(worker_id, names=[NAME]) == []
    assert ids(look(worker_id).claims) == [task_id]


def test_so_many_of_a_key_run_at_once(worker_id: int) -> None:
    tasks = [keyed(at_once=2) for _ in range(4)]
    first = look(worker_id).claims
    assert ids(first) == tasks[:2]
    assert sorted(row(task_id).concurrency_slot or 0 for task_id in tasks[:2]) == [1, 2]
    seen = look(make_worker().pk)
    assert (seen.claims, seen.waiting) == ([], True), "it is looked for again"
    finish(first[0], succeeded(None))
    assert ids(look(worker_id).claims) == tasks[2:3]
    assert row(tasks[2]).concurrency_slot == 1, "the place of the one that has ended"


def test_claim_carries_what_an_ordinary_one_does(worker_id: int) -> None:
    keyed(args=[1], priority=3)
    (claim,) = look(worker_id).claims
    task = row(claim.task_id)
    assert (claim.worker_id, claim.lease, claim.attempt, claim.args) == (worker_id, 1, 1, "[1]")
    assert (task.worker_id, task.lease, task.attempt, task.stage) == (
        worker_id,
        1,
        1,
        Stage.CLAIMED,
    )


@pytest.mark.parametrize("leaves", ["ends", "is given back", "is rescued", "is revoked"])
def test_place_is_free_again_however_a_claim_ends(worker_id: int, leaves: str) -> None:
    first, second = keyed(), keyed()
    (claim,) = look(worker_id).claims
    assert claim.task_id == first
    if leaves == "ends":
        finish(claim, succeeded(None))
    elif leaves == "is given back":
        transitions.unclaim(the_vendor(), [claim])
        transitions.revoke([first])
    elif leaves == "is rescued":
        stopped = the_vendor().now()
        type(make_worker()).objects.filter(pk=worker_id).update(stopped_at=stopped)
        transitions.rescue(the_vendor(), 30.0)
        transitions.revoke([first])
    else:
        transitions.revoke([first])
        (wish,) = transitions.revoke_requests(the_vendor(), worker_id)
        transitions.settle(the_vendor(), [transitions.stopped(wish, worker_id, None)])
    assert ids(look(make_worker().pk).claims) == [second]
    assert row(first).concurrency_slot is None


def test_each_task_s_own_number_counts(worker_id: int) -> None:
    wide = [keyed(at_once=3) for _ in range(2)]
    assert ids(look(worker_id).claims) == wide
    narrow = keyed(at_once=2, priority=9)
    assert look(worker_id).claims == []
    more = keyed(at_once=3, priority=99)
    assert ids(look(worker_id).claims) == [more]
    assert row(narrow).stage == Stage.GATED


def test_full_key_hides_no_other(worker_id: int) -> None:
    hot = [keyed("hot", priority=9) for _ in range(30)]
    assert ids(look(worker_id).claims) == hot[:1]
    cold = keyed("zebra")
    assert ids(look(worker_id, limit=3).claims) == [cold]


def test_keys_take_turns(worker_id: int) -> None:
    for key in "abc":
        for _ in range(3):
            keyed(key, at_once=9)
    after, turns = "", []
    for _ in range(3):
        seen = look(worker_id, limit=1, after=after)
        after = seen.last_key
        turns.append(row(seen.claims[0].task_id).concurrency_key)
    assert turns == ["a", "b", "c"]


def test_tasks_that_cannot_start_are_left(worker_id: int) -> None:
    other = keyed("a", queue="other")
    past = keyed("b", expires_in=-1.0)
    unknown = keyed("c", name="nobody.knows")
    transitions.gate(the_vendor(), [], ())
    seen = transitions.claim_gated(the_vendor(), worker_id, ["default"], [NAME], rates={}, limit=10)
    assert (seen.claims, seen.waiting) == ([], False)
    assert stages([other, past, unknown]) == [Stage.GATED] * 3


def test_later_task_is_gated_when_its_time_has_come(worker_id: int) -> None:
    task_id = keyed(delay=60.0)
    assert row(task_id).stage == Stage.SCHEDULED
    TrackedTask.objects.update(run_after=the_vendor().now() - timedelta(seconds=1))
    the_vendor().promote()
    assert claim_all(worker_id, names=[NAME]) == []
    assert ids(look(worker_id).claims) == [task_id]


def test_gated_task_is_revoked_and_expires_as_others_do() -> None:
    gone, past = keyed(), keyed(expires_in=-1.0)
    transitions.revoke([gone])
    transitions.expire(the_vendor())
    assert [row(gone).state, row(past).state] == ["REVOKED", "REVOKED"]


def test_key_of_a_call_and_of_its_task() -> None:
    declared, given, free = (
        apart.delay("x"),
        add.apply_async((1, 2), concurrency=("k", 3)),
        add.delay(1, 2),
    )
    pairs = [
        (row(r.id).concurrency_key, row(r.id).concurrency_limit) for r in (declared, given, free)
    ]
    assert pairs == [("apart:x", 2), ("k", 3), (None, None)]
    assert row(apart.delay("").id).stage == Stage.DUE, "the function said None"
    assert row(printed.delay().id).concurrency_key == "printer"
    in_bulk = [row(r.id).concurrency_key for r in many(["a", "b"])]
    assert in_bulk == ["apart:a", "apart:b"]


def many(values: Sequence[str]) -> Sequence[Any]:
    return enqueue_many(apart, [((value,), {}) for value in values])


@pytest.mark.parametrize(
    "given", ["k", ("k",), ("k", 0), ("k", 40_000), ("k", True), (1, 1), ("", 1), ("a\n", 1)]
)
def test_what_is_no_concurrency_is_refused(given: Any) -> None:
    with pytest.raises(InvalidTask, match="concurrency"):
        add.apply_async((1, 2), concurrency=given)


def test_step_whose_key_is_not_known_yet_is_refused() -> None:
    with pytest.raises(InvalidTask, match="not known yet"):
        chain(add.s(1, 2), apart.s()).delay()
    chain(add.s(1, 2), apart.s().set(concurrency=("k", 1))).delay()


def test_run_tasks_runs_tasks_with_keys_and_rates() -> None:
    limits.set_rate_limit(add.name, "1/h")
    results = [apart.delay("x"), add.delay(1, 2), add.delay(1, 2), printed.delay()]
    testing.run_due()
    assert {result.state for result in results} == {"SUCCESS"}


# Rates


def test_limited_tasks_start_at_their_rate_over_all_workers(worker_id: int) -> None:
    tasks = [enqueue().task_id for _ in range(3)]
    limits.set_rate_limit(NAME, "1/m")
    seen = look(worker_id)
    assert ids(seen.claims) == tasks[:1]
    assert seen.empty[NAME] == pytest.approx(60.0, abs=1.0)
    again = look(make_worker().pk)
    assert again.claims == []
    assert again.empty[NAME] == pytest.approx(60.0, abs=1.0)
    assert stages(tasks[1:]) == [Stage.GATED] * 2
    minute_ago = the_vendor().now() - timedelta(seconds=61)
    TaskLimits.objects.update(refilled_at=minute_ago)
    assert ids(look(worker_id).claims) == tasks[1:2]


def test_rate_that_was_removed_gates_nothing(worker_id: int) -> None:
    tasks = [enqueue().task_id for _ in range(3)]
    limits.set_rate_limit(NAME, "1/m")
    look(worker_id)
    limits.set_rate_limit(NAME, 0)
    assert transitions.ungate(the_vendor(), limits.read(the_vendor()).rates.keys()) == 2
    assert ids(claim_all(worker_id, names=[NAME])) == tasks[1:]


def test_ungate_leaves_what_another_limit_holds() -> None:
    limits.set_rate_limit("other.name", "1/m")
    held = [keyed(), enqueue(name="other.name").task_id]
    transitions.gate(the_vendor(), [], ["other.name"])
    assert transitions.ungate(the_vendor(), ["other.name"]) == 0
    assert stages(held) == [Stage.GATED] * 2


def test_task_with_a_key_and_a_rate_needs_both(worker_id: int) -> None:
    limits.set_rate_limit(NAME, "1/m")
    keyed("a"), keyed("b")
    assert len(look(worker_id).claims) == 1
    TaskLimits.objects.update(refilled_at=the_vendor().now() - timedelta(hours=1))
    assert len(look(worker_id).claims) == 1
    TaskLimits.objects.update(refilled_at=the_vendor().now() - timedelta(hours=1))
    keyed("a")
    assert look(worker_id).claims == [], "there is a token, and no place"
    assert TaskLimits.objects.get().tokens == 0.0, "and the token stays"


def test_larger_priority_gets_the_token(worker_id: int) -> None:
    limits.set_rate_limit(NAME, "1/m")
    enqueue()
    urgent = enqueue(priority=9).task_id
    assert ids(look(worker_id).claims) == [urgent]


def test_declared_rates_count_until_one_is_set_and_again_when_that_is_taken_back() -> None:
    vendor = the_vendor()
    assert limits.declare(vendor) == 1
    assert limits.declare(vendor) == 0, "said once"
    declared = registry.get("tests.app.limited.sends")
    assert limits.read(vendor).rates == {declared.name: pytest.approx(10 / 60)}
    limits.set_rate_limit(declared.name, "2/s", actor="user:1")
    assert limits.declare(vendor) == 0
    assert limits.read(vendor).rates == {declared.name: 2.0}
    limits.set_rate_limit(declared.name, None)
    assert limits.read(vendor).rates == {}
    limits.unset_rate_limit(declared.name)
    assert limits.read(vendor).rates == {declared.name: pytest.approx(10 / 60)}


def test_rate_that_is_declared_no_more_counts_no_more() -> None:
    TaskLimits.objects.create(name=add.name, declared="5/m")
    limits.declare(the_vendor())
    assert add.name not in limits.read(the_vendor()).rates


def test_default_rate() -> None:
    with override_settings(TASKTRACK={"task_default_rate_limit": "3/m"}):
        limits.declare(the_vendor())
    rates = limits.read(the_vendor()).rates
    assert rates[add.name] == pytest.approx(0.05)
    assert rates["tests.app.limited.sends"] == pytest.approx(10 / 60), "its own goes first"
    assert "tests.app.limited.unlimited" not in rates, "it says so"


def test_version_rises_with_limits_and_not_with_tokens(worker_id: int) -> None:
    versions = [limits.read(the_vendor()).version]
    for change in (
        lambda: limits.set_rate_limit(NAME, "1/m"),
        lambda: limits.set_time_limit(NAME, hard=5),
        lambda: limits.pause_queue("q"),
        lambda: limits.resume_queue("q"),
        lambda: limits.unset_rate_limit(NAME),
    ):
        change()
        versions.append(limits.read(the_vendor()).version)
        assert the_vendor().gates().limits == versions[-1]
    assert versions == sorted(set(versions))
    limits.set_rate_limit(NAME, "1/m")
    before = limits.read(the_vendor()).version
    enqueue()
    assert look(worker_id).claims
    assert limits.read(the_vendor()).version == before


def test_time_limits_and_what_is_wrong_with_them() -> None:
    limits.set_time_limit(NAME, soft=1, hard=2)
    assert limits.read(the_vendor()).times == {NAME: (1.0, 2.0)}
    limits.unset_time_limit(NAME)
    assert limits.read(the_vendor()) == Limits(version=limits.read(the_vendor()).version)
    for soft, hard in ((3, 2), (None, 0), (-1, None)):
        with pytest.raises(InvalidTask):
            limits.set_time_limit(NAME, soft=soft, hard=hard)


# Queues


def test_claims_take_nothing_of_a_paused_queue(worker_id: int) -> None:
    tasks = [enqueue(queue="mail").task_id, keyed(queue="mail")]
    other = enqueue(queue="other").task_id
    assert limits.pause_queue("mail", actor="user:1")
    assert not limits.pause_queue("mail"), "it was paused before"
    assert Queue.objects.get().paused_by == "user:1"
    for queues in ([], ["mail", "other"]):
        claims = transitions.claim(the_vendor(), worker_id, queues, [NAME], 10)
        assert ids(claims) == [other]
        transitions.unclaim(the_vendor(), claims)
        assert look(worker_id).claims == []
    assert limits.resume_queue("mail")
    assert not limits.resume_queue("mail")
    claims = [
        *transitions.claim(the_vendor(), worker_id, ["mail"], [NAME], 10),
        *look(worker_id).claims,
    ]
    assert ids(claims) == tasks


@pytest.mark.skipif(
    connection.vendor != "postgresql", reason="there each thing is looked for by itself"
)
def test_look_around_sees_nothing_due_in_a_paused_queue(worker_id: int) -> None:
    enqueue(queue="mail")
    limits.pause_queue("mail")
    for queues in ([], ["mail"]):
        told = the_vendor().agenda(worker_id, queues, [NAME], 30.0)
        assert told
        assert not told.due


@pytest.mark.parametrize("name", ["", "a,b", " a", "x" * 101, None])
def test_queue_that_cannot_be_is_refused(name: Any) -> None:
    with pytest.raises(InvalidTask):
        limits.pause_queue(name)


# The cost where nothing is limited


def test_claim_without_limits_is_as_many_statements_as_ever(worker_id: int) -> None:
    for _ in range(3):
        enqueue()
    with CaptureQueriesContext(
        connection,
    ) as taken:
        assert len(claim_all(worker_id, names=[NAME])) == 3
    texts = Counter(query["sql"].split()[0] for query in taken.captured_queries)
    if connection.vendor == "postgresql":
        assert texts == {"WITH": 1}
    else:
        assert texts["SELECT"] <= 3
        assert texts["UPDATE"] == 1
