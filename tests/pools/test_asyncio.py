"""The asyncio pool by itself: a wish to revoke meets the attempt that it is about, and no later one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from django_tasktrack import task
from django_tasktrack.declaration import Task
from django_tasktrack.ids import new_id
from django_tasktrack.outcomes import Claim
from django_tasktrack.pools.asynchronous import AsyncioPool
from django_tasktrack.pools.base import Event, Finished, PoolOptions
from django_tasktrack.states import State

#: What the first attempt of the body below does first, and what it does last.
_first_act: list[Callable[[], None]] = []
_last_act: list[Callable[[], None]] = []


@task(bind=True)
async def attempted(self: Task[..., Any]) -> str:
    while _first_act:
        _first_act.pop()()
    await asyncio.sleep(0)  # here a wish cancels it
    self.checkpoint()  # and here it asks itself
    while _last_act:
        _last_act.pop()()
    return "done"


def claim(lease: int) -> Claim:
    return Claim(
        task_id=TASK_ID,
        name=attempted.name,
        args="[]",
        kwargs="{}",
        queue="default",
        priority=0,
        attempt=lease,
        losses=0,
        crashes=0,
        lease=lease,
        worker_id=1,
        max_attempts=None,
        eta=None,
        expires_at=None,
        owner="",
        goal_id=None,
    )


TASK_ID = new_id()


@dataclass
class Engine:
    """Stands for the engine: when the first attempt has ended, it submits the next."""

    pool: AsyncioPool
    when_the_first_ends: Callable[[], None] = lambda: None
    ends: list[tuple[int, State]] = field(default_factory=list)

    def post(self, event: Event) -> None:
        assert isinstance(event, Finished)
        self.ends.append((event.claim.lease, event.outcome.transition.target))
        if len(self.ends) == 1:
            self.when_the_first_ends()
            self.pool.submit([claim(lease=2)])
        else:
            self.pool.finish()

    def run(self) -> list[tuple[int, State]]:
        """Both attempts: the lease and the state that each ended with."""
        self.pool.start(self.post)
        self.pool.submit([claim(lease=1)])
        too_long = threading.Timer(10, self.pool.finish)  # an end that is not told of
        too_long.start()
        self.pool.serve()
        too_long.cancel()
        too_long.join()
        return self.ends


@pytest.fixture
def engine() -> Engine:
    return Engine(AsyncioPool(PoolOptions(worker="w1@host", concurrency=2)))


def test_a_wish_that_comes_after_the_end_meets_nobody(engine: Engine) -> None:
    engine.when_the_first_ends = lambda: engine.pool.revoke(TASK_ID)
    assert engine.run() == [(1, State.SUCCESS), (2, State.SUCCESS)]


def test_a_wish_that_comes_with_the_end_meets_no_later_attempt(engine: Engine) -> None:
    # The body is done when the loop comes to the wish, and the pool has not seen it yet.
    _last_act.append(lambda: engine.pool.revoke(TASK_ID))
    assert engine.run() == [(1, State.SUCCESS), (2, State.SUCCESS)]


def test_a_wish_in_time_meets_its_attempt_alone(engine: Engine) -> None:
    _first_act.append(lambda: engine.pool.revoke(TASK_ID))
    assert engine.run() == [(1, State.REVOKED), (2, State.SUCCESS)]


def test_a_wish_that_comes_before_the_first_step_ends_the_attempt(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = AsyncioPool._take

    def revoked_once_taken(pool: AsyncioPool) -> tuple[Claim, float] | None:
        taken = take(pool)
        if taken and taken[0].lease == 1:
            pool.revoke(TASK_ID)
        return taken

    monkeypatch.setattr(AsyncioPool, "_take", revoked_once_taken)
    assert engine.run() == [(1, State.REVOKED), (2, State.SUCCESS)]
