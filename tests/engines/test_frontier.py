"""Looks for due tasks begin behind what was claimed, and come everywhere often enough."""

from __future__ import annotations

import time
from uuid import UUID, uuid4

import pytest

from django_tasktrack import transitions
from django_tasktrack.engines.frontier import EVERYWHERE_EVERY, SLACK, Frontier
from django_tasktrack.ids import new_id
from django_tasktrack.models import TrackedTask
from django_tasktrack.outcomes import Claim
from tests.engines.test_upkeep import Engine
from tests.factories import NAME, make_worker, new_task
from tests.inline import VENDORS, the_vendor


def made_at(seconds: float) -> UUID:
    """An id of that time since 1970."""
    return UUID(int=(int(seconds * 1000) << 80) | (7 << 76) | (2 << 62) | 5)


def test_the_first_look_is_everywhere_and_those_after_it_begin_behind_what_was_found() -> None:
    frontier, found = Frontier(), made_at(1000.0)
    assert frontier.start(0.0) is None
    assert frontier.start(0.0) is None, "nothing was found yet"
    frontier.learn([found, made_at(1002.0)], more=False)
    after = frontier.start(EVERYWHERE_EVERY / 2)
    assert after is not None
    assert made_at(1002.0 - SLACK - 0.1) < after <= made_at(1002.0 - SLACK)


def test_where_there_may_be_more_it_begins_behind_the_oldest() -> None:
    frontier = Frontier()
    frontier.start(0.0)
    frontier.learn([made_at(1000.0), made_at(1002.0)], more=True)
    after = frontier.start(0.01)
    assert after is not None
    assert after <= made_at(1000.0 - SLACK)


def test_a_look_everywhere_comes_often() -> None:
    frontier = Frontier()
    frontier.start(0.0)
    frontier.learn([made_at(1000.0)], more=False)
    assert frontier.start(EVERYWHERE_EVERY * 0.9) is not None
    assert frontier.everywhere_at() == EVERYWHERE_EVERY
    assert frontier.start(EVERYWHERE_EVERY) is None
    assert frontier.start(EVERYWHERE_EVERY * 1.5) is not None


def test_ids_that_tell_no_time_do_not_count() -> None:
    frontier = Frontier()
    frontier.start(0.0)
    frontier.learn([uuid4()], more=False)
    assert frontier.start(0.01) is None


def test_an_id_of_a_clock_that_is_ahead_does_not_hide_the_others() -> None:
    frontier = Frontier()
    frontier.start(0.0)
    frontier.learn([made_at(time.time() + 3600)], more=False)
    after = frontier.start(0.01)
    assert after is not None
    assert after < new_id()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", VENDORS)
def test_a_claim_begins_where_it_is_told_to(kind: str) -> None:
    vendor, worker = the_vendor(kind), make_worker()
    old, new = (new_task(task_id=made_at(time.time() - ago)) for ago in (60, 1))
    transitions.enqueue([old, new])
    after = made_at(time.time() - 30)
    for queues in ([], ["default"]):
        with_it = vendor.claim(worker.pk, queues, [NAME], 10, after=after)
        assert [claim.task_id for claim in with_it] == [new.task_id]
        vendor.unclaim(with_it)
    claims = vendor.claim(worker.pk, [], [NAME], 10)
    assert {claim.task_id for claim in claims} == {old.task_id, new.task_id}


@pytest.mark.django_db(transaction=True)
def test_what_is_due_before_the_frontier_is_found_soon() -> None:
    engine = Engine(the_vendor(), make_worker())
    transitions.enqueue([new_task()])
    assert len(engine.claiming.run()) == 1
    late = new_task(task_id=made_at(time.time() - 3600))
    transitions.enqueue([late])
    engine.claiming.look_now()
    deadline = time.monotonic() + 5
    found: list[Claim] = []
    while not found and time.monotonic() < deadline:
        time.sleep(max(0.0, min(engine.claiming.due_at() - time.monotonic(), 1.0)))
        found = list(engine.claiming.run())
    assert [claim.task_id for claim in found] == [late.task_id]
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
