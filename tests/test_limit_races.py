"""Two workers at one limit: who comes second takes nothing, whatever it saw before."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from django_tasktrack import limits, transitions
from django_tasktrack.models import TaskLimits, TrackedTask
from django_tasktrack.outcomes import succeeded
from django_tasktrack.states import Stage
from django_tasktrack.transitions import Started, gating
from tests.factories import NAME, make_worker
from tests.holding import held, needs_row_locks
from tests.inline import enqueue, finish, the_vendor
from tests.test_races import together

pytestmark = pytest.mark.django_db(transaction=True)
on_a_server = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="SQLite has one writer: nothing can interleave"
)


def claim(limit: int = 10) -> Started:
    rates = limits.read(the_vendor()).rates
    worker_id = make_worker().pk
    return transitions.claim_gated(the_vendor(), worker_id, [], [NAME], rates=rates, limit=limit)


def between(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do this once, after a look at what may start and before it is taken."""
    take = gating._Taking.take

    def take_later(self: Any, *args: Any) -> Any:
        monkeypatch.setattr(gating._Taking, "take", take)
        if connection.vendor == "sqlite":  # whose writer's lock would be in the way
            act()
        else:
            together(act)
        return take(self, *args)

    monkeypatch.setattr(gating._Taking, "take", take_later)


def claimed() -> int:
    return TrackedTask.objects.filter(stage=Stage.CLAIMED).count()


def test_place_that_was_taken_since_the_look_is_not_taken_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(3):
        enqueue(concurrency_key="k", concurrency_limit=1)

    def claim_another() -> None:
        enqueue(concurrency_key="k", concurrency_limit=1, priority=9)
        claim(1)

    between(monkeypatch, claim_another)
    seen = claim()
    assert (seen.claims, seen.raced) == ([], False)
    assert claimed() == 1


def test_number_of_the_task_holds_whatever_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        enqueue(concurrency_key="k", concurrency_limit=3)
    first, *_ = claim().claims
    finish(first, succeeded(None))
    enqueue(concurrency_key="k", concurrency_limit=2)
    monkeypatch.setattr(gating, "_places_taken", lambda *_: defaultdict(set))
    assert claim().claims == [], "the first place is free, and two others run"
    assert claimed() == 2


def test_constraint_holds_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        enqueue(concurrency_key="k", concurrency_limit=1)
    assert len(claim().claims) == 1
    with monkeypatch.context() as blind:
        blind.setattr(gating, "_places", lambda _: ())
        seen = claim()
    assert (seen.raced, seen.claims) == (True, [])
    assert claimed() == 1
    assert not claim().raced


def test_token_that_was_taken_since_the_look_is_not_taken_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits.set_rate_limit(NAME, "1/h")
    for _ in range(3):
        enqueue()
    transitions.gate(the_vendor(), [], [NAME])
    between(monkeypatch, claim)
    seen = claim()
    assert seen.claims == []
    assert seen.empty[NAME] > 3000
    assert claimed() == 1


def test_queue_that_was_paused_since_the_look_gives_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    enqueue(concurrency_key="k", concurrency_limit=1)
    between(monkeypatch, lambda: limits.pause_queue("default"))
    assert claim().claims == []
    assert claimed() == 0


@on_a_server
def test_many_workers_at_one_key_and_one_bucket() -> None:
    limits.set_rate_limit("a.b", "2/h")
    for _ in range(20):
        enqueue(concurrency_key="k", concurrency_limit=3)
        enqueue(name="a.b")
    transitions.gate(the_vendor(), [], ["a.b"])
    rates = limits.read(the_vendor()).rates

    def claim_some() -> int:
        worker_id, taken = make_worker(started_at=timezone.now()).pk, 0
        for _ in range(5):
            found = transitions.claim_gated(
                the_vendor(), worker_id, [], [NAME, "a.b"], rates=rates, limit=2
            )
            taken += len(found.claims)
        return taken

    assert sum(together(*[claim_some] * 6)) == 4
    by_name = TrackedTask.objects.filter(stage=Stage.CLAIMED).values_list("name", flat=True)
    assert sorted(by_name) == sorted([NAME] * 3 + ["a.b"])


@needs_row_locks
def test_bucket_that_another_worker_holds_is_not_waited_for() -> None:
    limits.set_rate_limit(NAME, "1/h")
    enqueue()
    transitions.gate(the_vendor(), [], [NAME])
    with held(TaskLimits.objects.get()):
        began = time.monotonic()
        seen = claim()
    assert (seen.claims, seen.empty) == ([], {NAME: gating._SOON})
    assert time.monotonic() - began < 10
