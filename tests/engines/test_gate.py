"""When a worker looks at tasks that wait for a limit, and what it asks where there is none."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from django_tasktrack import limits, transitions
from django_tasktrack.agenda import Gates
from django_tasktrack.engines.claiming import Claiming
from django_tasktrack.engines.plan import Plan
from django_tasktrack.models import TaskLimits, TrackedTask, Worker
from django_tasktrack.outcomes import Claim, succeeded
from django_tasktrack.pools.base import PoolOptions
from django_tasktrack.states import Stage
from tests.engines.test_upkeep import QuietPool, Registered
from tests.factories import NAME, make_worker
from tests.inline import enqueue, finish, the_vendor

pytestmark = pytest.mark.django_db


class Part:
    """A worker's claiming, with a pool that runs nothing."""

    def __init__(self, worker: Worker, *, burst: bool = False, keyed: bool = False) -> None:
        self.pool = QuietPool(PoolOptions(worker=worker.name, concurrency=4))
        plan = Plan([], [NAME, "a.b"], burst, poll_min=0.05, poll_max=1.0, lease=5.0, keyed=keyed)
        self.claiming = Claiming(the_vendor(), plan, self.pool, Registered(worker))
        self.gate = self.claiming.gate

    def run(self) -> list[Claim]:
        """Two turns: what is limited has one, and what is not."""
        return [*self.turn(), *self.turn()]

    def turn(self) -> list[Claim]:
        claims = list(self.claiming.run())
        self.pool.submit(claims)
        return claims

    def end(self, claim: Claim) -> None:
        self.pool.withdraw(claim.task_id)
        finish(claim, succeeded(None))
        self.gate.freed([claim.task_id])


@pytest.fixture
def part() -> Part:
    return Part(make_worker())


def keyed(**values: Any) -> None:
    enqueue(concurrency_key="k", concurrency_limit=1, **values)


def test_without_limits_nothing_is_asked_but_what_there_is(part: Part) -> None:
    part.run()
    before = part.gate.asks_at
    with CaptureQueriesContext(connection) as asked:
        for _ in range(5):
            part.claiming.look_now()
            part.run()
    limits_asked = [q["sql"] for q in asked if "tasktrack_tasklimits" in q["sql"]]
    assert limits_asked == []
    assert part.gate.asks_at == before
    assert part.gate.due_at == math.inf


def test_told_by_the_look_around_it_asks_nothing(part: Part) -> None:
    part.gate.heed(Gates())
    with CaptureQueriesContext(connection) as asked:
        assert not part.gate.keep_up()
    assert len(asked) == 0


def test_first_look_knows_the_limits_that_there_are(part: Part) -> None:
    limits.set_rate_limit(NAME, "1/h")
    for _ in range(3):
        enqueue()
    assert len(part.run()) == 1, "what the bucket gives, and nothing past it"
    assert NAME not in part.gate.names


def test_worker_wakes_for_the_next_token_and_not_before(part: Part) -> None:
    limits.set_rate_limit(NAME, "10/m")
    for _ in range(3):
        enqueue()
    # Where a look around tells of the rest; elsewhere a look comes a second.
    part.gate.heed(Gates(limits=limits.read(the_vendor()).version, gateable=True))
    part.end(*part.run())
    part.run()
    part.gate.heed(Gates(limits=limits.read(the_vendor()).version, gated=True))
    assert part.gate.due_at - time.monotonic() == pytest.approx(6.0, abs=0.5)
    with CaptureQueriesContext(connection) as asked:
        part.run()
    assert not [q["sql"] for q in asked if "tasktrack_tasklimits" in q["sql"]]


def test_changed_rate_counts_at_once_when_it_is_told(part: Part) -> None:
    limits.set_rate_limit(NAME, "1/h")
    for _ in range(3):
        enqueue()
    part.end(*part.run())
    assert part.run() == []
    limits.set_rate_limit(NAME, 0)
    part.gate.doubt()
    part.claiming.look_now()
    assert len(part.run()) == 2
    assert NAME in part.gate.names


def test_end_of_a_task_lets_the_next_one_of_its_key_start(part: Part) -> None:
    keyed()
    keyed()
    part.claiming._body_seconds = 0.001  # there is always room
    (first,) = part.run()
    part.gate.due_at = 0.0
    assert part.run() == []
    assert part.gate.due_at > time.monotonic()
    part.end(first)
    assert len(part.run()) == 1


def test_others_and_gated_tasks_take_turns(part: Part) -> None:
    for number in range(20):
        enqueue(concurrency_key=f"k{number}", concurrency_limit=1)
        enqueue()
    part.claiming._body_seconds = 10.0
    kinds = set()
    for _ in range(4):  # of four claims each
        part.claiming.look_now()
        part.gate.due_at = 0.0
        claims = part.run()
        rows = TrackedTask.objects.filter(pk__in=[c.task_id for c in claims])
        kinds |= {key is not None for key in rows.values_list("concurrency_key", flat=True)}
        for claim in claims:
            part.end(claim)
    assert kinds == {True, False}
    left = TrackedTask.objects.filter(state="PENDING")
    assert left.filter(concurrency_key=None).count() == 12
    assert left.exclude(concurrency_key=None).count() == 12


def test_gated_tasks_are_not_claimed_ahead_of_long_bodies(part: Part) -> None:
    for number in range(20):
        enqueue(concurrency_key=f"k{number}", concurrency_limit=1)
    part.claiming._body_seconds = 0.001
    assert len(part.run()) == 4


def test_paused_queue_gives_back_what_waits(part: Part) -> None:
    for _ in range(3):
        enqueue(queue="mail")
    assert len(part.run()) == 3
    limits.pause_queue("mail")
    part.gate.doubt()
    assert part.run() == []
    tasks = TrackedTask.objects.all()
    assert {(task.stage, task.attempt) for task in tasks} == {(Stage.DUE, 0)}
    assert part.pool.load() == (0, 0)
    limits.resume_queue("mail")
    part.gate.doubt()
    part.claiming.look_now()
    assert len(part.run()) == 3


def test_time_limits_of_run_time_go_with_the_claim(part: Part) -> None:
    limits.set_time_limit(NAME, soft=7, hard=9)
    enqueue(time_limit=100.0, soft_time_limit=50.0)
    keyed(time_limit=100.0)
    part.claiming._body_seconds = 0.001
    claims = part.run()
    assert [(c.soft_time_limit, c.time_limit) for c in claims] == [(7.0, 9.0)] * 2


def test_gated_rows_of_a_limit_that_is_gone_become_due_again(part: Part) -> None:
    limits.set_rate_limit(NAME, "1/h")
    enqueue()
    transitions.gate(the_vendor(), [], [NAME])
    TaskLimits.objects.update(rate_limit=None)  # by whom, no version tells
    part.run()
    assert TrackedTask.objects.get().stage in (Stage.DUE, Stage.CLAIMED)


def test_burst_runs_what_a_key_holds_back_and_waits_for_no_token() -> None:
    part = Part(make_worker(), burst=True)
    limits.set_rate_limit("a.b", "1/h")
    keyed()
    keyed()
    transitions.gate(the_vendor(), [], ())
    ran = 0
    for _ in range(10):
        for claim in part.run():
            part.end(claim)
            part.claiming.learn(0.01)
            ran += 1
        if part.claiming.is_exhausted():
            break
    assert (ran, part.claiming.is_exhausted()) == (2, True)


def test_burst_ends_although_a_task_waits_for_its_rate() -> None:
    part = Part(make_worker(), burst=True)
    limits.set_rate_limit(NAME, "1/h")
    enqueue(), enqueue()
    ran = 0
    for _ in range(20):
        for claim in part.run():
            part.end(claim)
            part.claiming.learn(0.01)
            ran += 1
        if part.claiming.is_exhausted():
            break
        time.sleep(0.02)
    assert (ran, part.claiming.is_exhausted()) == (1, True)


def test_burst_ends_although_a_known_task_is_limited() -> None:
    part = Part(make_worker(), burst=True)
    limits.set_rate_limit("a.b", "1/h")
    part.gate.heed(Gates(limits=limits.read(the_vendor()).version))
    enqueue()
    (claim,) = part.run()
    part.end(claim)
    part.claiming.learn(0.001)  # which may have enqueued others
    part.gate.heed(Gates(limits=limits.read(the_vendor()).version))
    assert not part.claiming.is_exhausted()
    assert part.gate.due_at < math.inf, "it looks once more"
    part.gate.due_at = 0.0
    part.run()
    assert part.claiming.is_exhausted()


def test_look_in_vain_that_took_long_is_not_repeated_at_once(part: Part) -> None:
    keyed()
    (claim,) = part.run()
    keyed()
    part.gate.due_at = 0.0
    part.run()
    part.gate._in_vain = 0.5
    part.gate.due_at = math.inf
    part.claiming.look_now()
    assert part.gate.due_at >= part.gate._looked_at + 4.5
    part.end(claim)
    assert part.gate.due_at == 0.0, "a place is free"


def test_claims_of_the_first_half_are_kept_where_the_second_one_fails(
    part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue()
    keyed()

    def fails(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("database is locked")

    part.claiming._body_seconds = 0.001
    monkeypatch.setattr(transitions, "claim", fails)
    assert len(part.turn()) == 1
    with pytest.raises(OperationalError):
        part.turn()
    assert TrackedTask.objects.filter(stage=Stage.CLAIMED).count() == part.pool.load()[0] == 1
