"""One look at everything: what it says, and what a worker does with it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from django_tasktrack import limits, maintenance, pursuit, transitions
from django_tasktrack.agenda import Agenda, Gates
from django_tasktrack.engines.strays import Strays
from django_tasktrack.models import TrackedTask, Worker
from django_tasktrack.states import Stage
from tests.engines.test_upkeep import Engine, Registered
from tests.factories import NAME, make_goal, make_schedule, make_task, make_worker
from tests.inline import claimed, enqueue, the_vendor

pytestmark = pytest.mark.django_db

NOTHING = Agenda(
    due=False,
    scheduled_in=None,
    claimed=False,
    gone=False,
    expired=False,
    unknown=False,
    held=False,
    goals=False,
)
on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="there each thing is looked for by itself"
)


@pytest.fixture
def worker() -> Worker:
    return make_worker()


def agenda(worker: Worker, queues: Sequence[str] = ()) -> Agenda:
    told = the_vendor().agenda(worker.pk, queues, [NAME], lease=30.0)
    assert told is not None
    return told


def hold() -> None:
    enqueue()
    TrackedTask.objects.update(stage=Stage.HELD)


def leave_a_claim_without_worker() -> None:
    claimed(make_worker(stopped_at=timezone.now()).pk)


MINUTE = timedelta(minutes=1)


@on_postgresql
@pytest.mark.parametrize(
    ("happens", "seen"),
    [
        (lambda: None, {}),
        (enqueue, {"due": True}),
        (partial(enqueue, name="nobody.knows"), {"unknown": True}),
        (partial(enqueue, expires_in=-60.0), {"expired": True}),
        (partial(enqueue, concurrency_key="k", concurrency_limit=1), {"gates": Gates(gated=True)}),
        (partial(limits.set_rate_limit, "a.b", "1/s"), {"gates": Gates(limits=2)}),
        (partial(limits.pause_queue, "q"), {"gates": Gates(limits=2)}),
        (hold, {"held": True}),
        (leave_a_claim_without_worker, {"gone": True}),
        (lambda: make_worker(heartbeat_at=timezone.now() - MINUTE), {"gone": True}),
        (lambda: make_worker(heartbeat_at=timezone.now() - MINUTE / 4), {}),
        (lambda: claimed(make_worker().pk), {}),
        (partial(make_task, "SUCCESS"), {}),
        (lambda: make_goal(deadline=timezone.now() - MINUTE), {"goals": True}),
        (lambda: make_goal(next_attempt_at=timezone.now() - MINUTE), {"goals": True}),
        (lambda: make_goal(next_attempt_at=timezone.now() + MINUTE), {}),
        (lambda: make_goal(state="ACHIEVED", deadline=timezone.now() - MINUTE), {}),
    ],
)  # fmt: skip
def test_it_says_what_there_is_and_nothing_else(
    worker: Worker, happens: Callable[[], object], seen: dict[str, Any]
) -> None:
    happens()
    assert agenda(worker) == NOTHING._replace(**seen)


@on_postgresql
def test_it_says_nothing_of_excluded_queues(worker: Worker) -> None:
    enqueue(queue="slow")
    enqueue(queue="slow", name="nobody.knows")
    told = the_vendor().agenda(worker.pk, [], [NAME], lease=30.0, excluded=["slow"])
    assert told == NOTHING
    enqueue(queue="mail")
    told = the_vendor().agenda(worker.pk, [], [NAME], lease=30.0, excluded=["slow"])
    assert told == NOTHING._replace(due=True)


@on_postgresql
def test_it_says_what_the_worker_has(worker: Worker) -> None:
    claimed(worker.pk)
    assert agenda(worker) == NOTHING._replace(claimed=True)


@on_postgresql
def test_it_says_when_the_next_one_is_due(worker: Worker) -> None:
    for delay in (3600.0, 60.0):
        enqueue(delay=delay)
    told = agenda(worker)
    assert told.scheduled_in == pytest.approx(60.0, abs=5)
    assert told._replace(scheduled_in=None) == NOTHING


@on_postgresql
def test_it_says_when_the_next_slot_of_a_schedule_comes(worker: Worker) -> None:
    now = timezone.now()
    make_schedule(name="soon", task=NAME, next_at=now + MINUTE)
    make_schedule(name="later", task=NAME, next_at=now + 2 * MINUTE)
    make_schedule(name="theirs", task="nobody.knows", next_at=now)
    make_schedule(name="off", task=NAME, next_at=now, enabled=False)
    make_schedule(name="gone", task=NAME, next_at=now, withdrawn_at=now)
    make_schedule(name="over", task=NAME, next_at=None)
    told = agenda(worker)
    assert told.slot_in == pytest.approx(60.0, abs=5)
    assert told._replace(slot_in=None) == NOTHING


@on_postgresql
def test_other_queues_are_others_business(worker: Worker) -> None:
    enqueue(queue="theirs")
    enqueue(queue="theirs", name="nobody.knows")
    assert agenda(worker, ["mine"]) == NOTHING
    assert agenda(worker, ["mine", "theirs"]) == NOTHING._replace(due=True, unknown=True)


# What is done with it


def test_claims_are_looked_for_when_there_are_any(worker: Worker) -> None:
    claiming = Engine(the_vendor(), worker).claiming
    claiming.run()
    for _ in range(6):
        claiming.heed(NOTHING)
    assert claiming.due_at() > time.monotonic() + 0.9, (
        "each look that finds nothing is a reason to rest"
    )
    claiming.heed(NOTHING._replace(scheduled_in=0.3))
    assert 0.2 < claiming.due_at() - time.monotonic() < 0.4
    claiming.heed(NOTHING._replace(due=True))
    assert claiming.due_at() <= time.monotonic()


def test_what_somebody_has_said_meanwhile_counts_more(worker: Worker) -> None:
    """The notification came after the look, and before its answer was heard."""
    claiming = Engine(the_vendor(), worker).claiming
    claiming.run()
    new = enqueue()
    claiming.look_now()
    claiming.heed(NOTHING)
    assert [claim.task_id for claim in claiming.run()] == [new.task_id]


def test_a_round_does_what_the_agenda_says_once(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    for module, name in (
        (transitions, "rescue"), (transitions, "expire"), (transitions, "hold_unknown"),
        (transitions, "unhold"), (pursuit, "reconcile"), (pursuit, "adopt_orphans"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, partial(_note, done, name, getattr(module, name)))
    upkeep = maintenance.Maintenance(the_vendor(), 1.0, 30.0, [], [NAME])
    now = time.monotonic()
    upkeep.run(now)
    everything = ["rescue", "expire", "hold_unknown", "unhold", "reconcile", "adopt_orphans"]
    assert done == everything, "without an agenda"
    done.clear()
    upkeep.heed(NOTHING)
    upkeep.run(now + 1.9)
    assert not done
    upkeep.heed(NOTHING._replace(expired=True, goals=True))
    upkeep.run(now + 1.9)
    assert done == ["expire", "reconcile"]
    done.clear()
    upkeep.run(now + 3.2)
    assert done == everything[:-1], "an old agenda says nothing"
    done.clear()
    upkeep.heed(NOTHING)
    upkeep.run(now + 40)
    assert done[-1] == "adopt_orphans", "now and then, whatever an agenda says"


def _note(done: list[str], name: str, real: Callable[..., object], *args: object) -> object:
    done.append(name)
    return real(*args)


def test_without_a_claim_there_is_no_stray(worker: Worker) -> None:
    engine = Engine(the_vendor(), worker)
    strays = Strays(
        the_vendor(), Registered(worker), engine.outbox, engine.revoking, lambda _: False
    )
    strays.run()
    before = strays.due_at
    strays.heed(NOTHING._replace(claimed=True))
    assert strays.due_at == before
    strays.heed(NOTHING)
    assert before < strays.due_at < math.inf
