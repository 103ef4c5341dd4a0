"""Looks for due tasks begin behind what was claimed, and come everywhere often enough."""

from __future__ import annotations

import time
from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from django_tasktrack import transitions
from django_tasktrack.agenda import Behind
from django_tasktrack.engines.frontier import (
    EVERYWHERE_AT_LAST,
    EVERYWHERE_EVERY,
    LANES,
    SHARE,
    SLACK,
    Frontier,
)
from django_tasktrack.ids import new_id
from django_tasktrack.models import TrackedTask
from django_tasktrack.outcomes import Claim
from django_tasktrack.served import Served
from tests.engines.test_upkeep import Engine
from tests.factories import NAME, make_worker, new_task
from tests.inline import VENDORS, the_vendor
from tests.test_declaration import make_claim


def made_at(seconds: float) -> UUID:
    """An id of that time since 1970."""
    return UUID(int=(int(seconds * 1000) << 80) | (7 << 76) | (2 << 62) | 5)


def found(*ids: UUID, queue: str = "default", priority: int = 0) -> list[Claim]:
    """Claims as a look finds them."""
    return [make_claim(task_id=one, queue=queue, priority=priority) for one in ids]


def learn(
    frontier: Frontier,
    claims: Sequence[Claim],
    *,
    more: bool = False,
    behind: Behind | None = None,
    seconds: float = 0.0,
) -> None:
    frontier.learn(claims, more=more, behind=behind, seconds=seconds)


def behind(frontier: Frontier, now: float = 0.01) -> Behind:
    """Where the look of this moment is, which must not be everywhere."""
    where = frontier.start(now)
    assert where is not None
    return where


def test_the_first_look_is_everywhere_and_those_after_it_begin_behind_what_was_found() -> None:
    frontier = Frontier()
    assert frontier.start(0.0) is None
    assert frontier.start(0.0) is None, "nothing was found yet"
    learn(frontier, found(made_at(1000.0), made_at(1002.0)))
    after = behind(frontier).after
    assert made_at(1002.0 - SLACK - 0.1) < after <= made_at(1002.0 - SLACK)


def test_where_there_may_be_more_it_begins_behind_the_oldest() -> None:
    frontier = Frontier()
    frontier.start(0.0)
    learn(frontier, found(made_at(1000.0), made_at(1002.0)), more=True)
    assert behind(frontier).after <= made_at(1000.0 - SLACK)


def test_it_looks_in_the_lanes_where_something_was_found() -> None:
    frontier = Frontier()
    frontier.start(0.0)
    learn(frontier, found(made_at(1.0), queue="a") + found(made_at(1.0), queue="b", priority=5))
    learn(frontier, found(made_at(1.0), queue="a", priority=-1))
    assert set(behind(frontier).lanes) == {("a", 0), ("b", 5), ("a", -1)}


def test_of_too_many_lanes_the_latest_are_kept() -> None:
    frontier = Frontier()
    frontier.start(0.0)
    learn(frontier, found(made_at(1.0), queue="first"))
    for number in range(LANES - 1):
        learn(frontier, found(made_at(1.0), queue=f"q{number}"))
    learn(frontier, found(made_at(1.0), queue="first"))
    learn(frontier, found(made_at(1.0), queue="last"))
    lanes = behind(frontier).lanes
    assert len(lanes) == LANES
    assert {("first", 0), ("last", 0)} < set(lanes)


def test_a_look_everywhere_comes_often() -> None:
    frontier = Frontier()
    frontier.start(0.0)
    learn(frontier, found(made_at(1000.0)))
    assert frontier.start(EVERYWHERE_EVERY * 0.9) is not None
    assert frontier.everywhere_at() == EVERYWHERE_EVERY
    assert frontier.start(EVERYWHERE_EVERY) is None
    assert frontier.start(EVERYWHERE_EVERY * 1.5) is not None


def test_a_look_everywhere_that_reads_much_in_vain_comes_less_often_by_and_by() -> None:
    frontier, pauses = Frontier(), []
    for now in range(0, 100, 10):
        assert frontier.start(now) is None, "but it comes"
        learn(frontier, found(made_at(1000.0)), seconds=0.012)
        pauses.append(frontier.everywhere_at() - now)
    assert pauses[:4] == pytest.approx([0.2, 0.4, 0.8, 0.006 / SHARE])
    assert pauses[-1] == pytest.approx(0.006 / SHARE)
    for _ in range(10):
        learn(frontier, [], seconds=1.0)
    assert frontier.everywhere_at() == 90 + EVERYWHERE_AT_LAST
    learn(frontier, [], seconds=0.0)
    assert frontier.everywhere_at() == 90 + EVERYWHERE_EVERY


def test_a_look_everywhere_that_takes_as_long_as_others_comes_often() -> None:
    frontier = Frontier()
    frontier.start(0.0)
    learn(frontier, found(made_at(1000.0)))
    learn(frontier, [], behind=behind(frontier), seconds=0.05)
    assert frontier.start(EVERYWHERE_EVERY) is None
    learn(frontier, [], seconds=0.05)
    assert frontier.everywhere_at() == 2 * EVERYWHERE_EVERY, "so often as before"


def test_where_a_look_everywhere_has_left_something_the_next_one_comes_at_once() -> None:
    frontier = Frontier()
    frontier.start(0.0)
    learn(frontier, found(made_at(1000.0)), more=True)
    learn(frontier, found(made_at(1000.0)), more=True, behind=behind(frontier))
    assert frontier.start(0.02) is not None
    learn(frontier, [], behind=behind(frontier))
    assert frontier.start(0.03) is None


def test_ids_that_tell_no_time_do_not_count() -> None:
    frontier = Frontier()
    frontier.start(0.0)
    learn(frontier, found(uuid4()))
    assert frontier.start(0.01) is None


def test_an_id_of_a_clock_that_is_ahead_does_not_hide_the_others() -> None:
    frontier = Frontier()
    frontier.start(0.0)
    learn(frontier, found(made_at(time.time() + 3600)))
    assert behind(frontier).after < new_id()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", VENDORS)
def test_a_claim_begins_where_it_is_told_to(kind: str) -> None:
    vendor, worker = the_vendor(kind), make_worker()
    old, new = (new_task(task_id=made_at(time.time() - ago)) for ago in (60, 1))
    transitions.enqueue([old, new])
    behind = Behind(made_at(time.time() - 30), (("default", 0), ("other", 3)))
    for queues in ([], ["default"]):
        with_it = vendor.claim(worker.pk, queues, [NAME], 10, behind=behind)
        assert [claim.task_id for claim in with_it] == [new.task_id]
        vendor.unclaim(with_it)
    claims = vendor.claim(worker.pk, [], [NAME], 10)
    assert {claim.task_id for claim in claims} == {old.task_id, new.task_id}


@pytest.mark.django_db(transaction=True)
def test_a_claim_in_lanes_keeps_the_order_of_claims() -> None:
    vendor, worker = the_vendor(), make_worker()
    news = [new_task(priority=priority, queue=queue) for priority in (0, 7) for queue in "ab"]
    transitions.enqueue(news)
    behind = Behind(made_at(time.time() - 30), (("a", 0), ("b", 0), ("a", 7), ("b", 7)))
    claims = vendor.claim(worker.pk, [], [NAME], 3, behind=behind)
    assert [claim.task_id for claim in claims] == [
        news[2].task_id,
        news[3].task_id,
        news[0].task_id,
    ]


@pytest.mark.django_db(transaction=True)
def test_what_is_due_before_the_frontier_is_found_soon() -> None:
    engine = Engine(the_vendor(), make_worker())
    transitions.enqueue([new_task()])
    assert len(engine.claiming.run()) == 1
    late = new_task(task_id=made_at(time.time() - 3600))
    transitions.enqueue([late])
    engine.claiming.look_now()
    deadline = time.monotonic() + 5
    claims: list[Claim] = []
    while not claims and time.monotonic() < deadline:
        time.sleep(max(0.0, min(engine.claiming.due_at() - time.monotonic(), 1.0)))
        claims = list(engine.claiming.run())
    assert [claim.task_id for claim in claims] == [late.task_id]
    assert time.monotonic() < deadline - 4, "not only when the worker would have polled"


@pytest.mark.django_db(transaction=True)
def test_a_look_behind_the_frontier_alone_does_not_end_a_burst() -> None:
    engine = Engine(the_vendor(), make_worker(), burst=True)
    transitions.enqueue([new_task()])
    assert len(engine.claiming.run()) == 1
    transitions.enqueue([new_task(task_id=made_at(time.time() - 3600))])
    engine.claiming.look_now()
    assert len(engine.claiming.run()) == 1
    assert TrackedTask.objects.due().count() == 0


@pytest.mark.django_db(transaction=True)
def test_a_queue_that_is_served_no_more_is_not_looked_at() -> None:
    engine = Engine(the_vendor(), make_worker())
    transitions.enqueue([new_task(queue="a")])
    assert len(engine.claiming.run()) == 1
    engine.claiming.serve(Served(("b",)))
    transitions.enqueue([new_task(queue="a")])
    engine.claiming.look_now()
    assert not engine.claiming.run()
