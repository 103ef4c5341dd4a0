"""How an engine ends: everything that was claimed is given back, whoever holds its row meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from django.db import connections, transaction

from django_tasktrack import maintenance, transitions
from django_tasktrack.engines.database import DatabaseEngine
from django_tasktrack.engines.plan import Plan
from django_tasktrack.models import StateChange, TrackedTask
from django_tasktrack.outcomes import Claim
from django_tasktrack.pools.base import PoolOptions
from tests.engines.test_upkeep import QuietPool, Registered
from tests.factories import NAME, make_worker, new_task
from tests.inline import the_vendor

pytestmark = pytest.mark.django_db(transaction=True)

with_row_locks = pytest.mark.skipif(
    "not connections['default'].features.has_select_for_update", reason="SQLite: nobody holds a row"
)


class Stopping:
    """An engine whose turns a test takes, and one claim of its worker's."""

    def __init__(self) -> None:
        new, worker = new_task(), make_worker()
        transitions.enqueue([new])
        vendor = the_vendor()
        self.pool = QuietPool(PoolOptions(worker=worker.name, concurrency=4))
        plan = Plan(queues=[], names=[NAME], burst=False, poll_min=0.05, poll_max=0.1, lease=5.0)
        upkeep = maintenance.Maintenance(vendor, 60.0, 3600.0, [], [NAME])
        self.engine = DatabaseEngine(vendor, plan, self.pool, Registered(worker), upkeep)
        self.engine._connected = True  # as this thread is
        self.pool.start(self.engine.post)
        self.claim: Claim
        (self.claim,) = transitions.claim(vendor, worker.pk, [], [NAME], 1)

    def seconds(self) -> float:
        """How long it takes to end."""
        began = time.monotonic()
        while not self.engine._turn():
            assert time.monotonic() - began < 10, "it does not end"
        return time.monotonic() - began

    def row(self) -> tuple[str, int, bool]:
        """State, attempts, and whether it is still claimed."""
        row = TrackedTask.objects.get(pk=self.claim.task_id)
        return row.state, row.attempt, row.worker_id is not None

    def story(self) -> list[str]:
        history = StateChange.objects.filter(task_id=self.claim.task_id).order_by("seq")
        return list(history.values_list("state", flat=True))


@pytest.fixture
def stopping() -> Iterator[Stopping]:
    stopping = Stopping()
    yield stopping
    stopping.engine._waker.close()


@contextmanager
def held(task_id: UUID, seconds: float, revoke: bool = False) -> Iterator[None]:
    """Somebody's transaction holds the row for so long, for example because it revokes the task."""
    has_it = threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                TrackedTask.objects.select_for_update().get(pk=task_id)
                if revoke:
                    transitions.revoke([task_id])
                has_it.set()
                time.sleep(seconds)
        finally:
            connections.close_all()

    holding = threading.Thread(target=hold)
    holding.start()
    assert has_it.wait(5)
    yield
    holding.join()


def test_a_stop_is_never_put_off(stopping: Stopping) -> None:
    stopping.pool.submit([stopping.claim])
    stopping.pool._take()
    stopping.engine.stop(0.0)  # the heartbeat is gone
    stopping.engine.stop(60.0)  # and then comes the first signal
    assert stopping.seconds() < 2
    assert stopping.row() == ("PENDING", 0, False)


@with_row_locks
@pytest.mark.parametrize("grace", [0.0, 3.0])
def test_what_had_not_begun_is_given_back_once_its_row_is_free(
    grace: float, stopping: Stopping
) -> None:
    stopping.pool.submit([stopping.claim])
    stopping.engine.stop(grace)
    with held(stopping.claim.task_id, 0.5):
        assert 0.3 < stopping.seconds() < 1.5
    assert stopping.row() == ("PENDING", 0, False)
    assert stopping.story() == ["PENDING"], "it never began"


def test_what_has_begun_in_the_table_alone_is_given_back_at_once(stopping: Stopping) -> None:
    """A task that must not run twice waited for room, or a child was slow to take its claim."""
    (claim,) = stopping.engine._settling.begin_surely(
        [stopping.claim._replace(rerun_if_lost=False)]
    )
    stopping.pool.submit([claim])
    stopping.engine.stop(5.0)
    assert stopping.seconds() < 1
    assert stopping.row() == ("PENDING", 0, False)
    assert stopping.story() == ["PENDING", "STARTED", "PENDING"]


@with_row_locks
def test_what_runs_is_given_back_once_its_row_is_free(stopping: Stopping) -> None:
    stopping.pool.submit([stopping.claim])
    stopping.pool._take()
    stopping.engine.stop(0.0)
    with held(stopping.claim.task_id, 0.5):
        assert 0.3 < stopping.seconds() < 1.5
    assert stopping.row() == ("PENDING", 0, False)
    assert stopping.story() == ["PENDING", "STARTED", "PENDING"]


@with_row_locks
@pytest.mark.parametrize("runs", [False, True])
def test_a_row_that_is_held_for_ever_does_not_keep_the_worker(
    runs: bool, stopping: Stopping
) -> None:
    stopping.pool.submit([stopping.claim])
    if runs:
        stopping.pool._take()
    stopping.engine.stop(0.2)
    with held(stopping.claim.task_id, 2.5):
        assert 1 < stopping.seconds() < 2


def test_a_claim_that_nobody_knows_of_is_given_back(stopping: Stopping) -> None:
    """Its row was held when it was given back for waiting too long, say."""
    stopping.engine.stop(3.0)
    assert stopping.seconds() < 1
    assert stopping.row() == ("PENDING", 0, False)
    assert stopping.story() == ["PENDING"]


@with_row_locks
def test_a_wish_about_what_had_not_begun_is_answered(stopping: Stopping) -> None:
    """It is committed when the claim has left the pool, and keeps its row until then."""
    stopping.pool.submit([stopping.claim])
    stopping.engine.stop(3.0)
    with held(stopping.claim.task_id, 0.5, revoke=True):
        assert 0.3 < stopping.seconds() < 1.5
    assert stopping.story() == ["PENDING", "REVOKED"], "it never began"


@with_row_locks
def test_the_hold_of_these_tests_holds(stopping: Stopping) -> None:
    with held(stopping.claim.task_id, 0.2):
        assert transitions.unclaim(the_vendor(), [stopping.claim]) == 0
