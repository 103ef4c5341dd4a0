"""The pools of the worker's own process: an end that somebody wants to be told of is waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from django_tasktrack import signals, task
from django_tasktrack.ids import new_id
from django_tasktrack.outcomes import Claim
from django_tasktrack.pools.asynchronous import AsyncioPool
from django_tasktrack.pools.base import Event, Finished, Free, Pool, PoolOptions
from django_tasktrack.pools.local import SoloPool, ThreadPool
from tests.app import tasks
from tests.listening import Heard, listening, names
from tests.pools import test_asyncio
from tests.workers import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

#: What the body below waits for.
_gates: list[threading.Semaphore] = []


@task
def gated() -> None:
    for gate in _gates:
        gate.acquire(timeout=10)


POOLS = (ThreadPool, SoloPool, AsyncioPool)


@dataclass
class Engine:
    """Stands for the engine: answers ends as the test says, and lets the pool finish with the last."""

    pool: Pool
    answer: Callable[[Claim], object]
    events: list[Event] = field(default_factory=list)
    loads: list[tuple[int, int]] = field(default_factory=list)

    def post(self, event: Event) -> None:
        self.events.append(event)
        self.loads.append(self.pool.load())
        if isinstance(event, Free) or (isinstance(event, Finished) and not event.waits):
            self.pool.finish()
        elif isinstance(event, Finished):
            threading.Timer(0.05, self.answer, [event.claim]).start()

    def run(self, claim: Claim) -> list[str]:
        """The events of this claim, by their kinds."""
        self.pool.start(self.post)
        self.pool.submit([claim])
        too_long = threading.Timer(10, self.pool.finish)
        too_long.start()
        self.pool.serve()
        too_long.cancel()
        too_long.join()
        return [type(event).__name__ for event in self.events]


@pytest.fixture(params=POOLS, ids=lambda kind: kind.name)
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    made: Pool = request.param(PoolOptions(worker="w1@host", concurrency=2))
    yield made
    if isinstance(made, AsyncioPool):
        made._loop.close()  # where nothing was served


@pytest.fixture
def heard() -> Iterator[list[Heard]]:
    with listening(signals.task_success, signals.task_postrun) as heard:
        yield heard


def one(name: str = tasks.echo.name) -> Claim:
    return test_asyncio.claim(lease=1)._replace(name=name)


@pytest.mark.parametrize("name", [tasks.echo.name, test_asyncio.attempted.name])
def test_an_end_is_told_once_it_is_committed(pool: Pool, heard: list[Heard], name: str) -> None:
    before: list[int] = []

    def commit(claim: Claim) -> None:
        before.append(len(heard))
        pool.acknowledge(claim, written=True)

    engine = Engine(pool, commit)
    assert engine.run(one(name)) == ["Finished", "Free"]
    assert before == [0]
    assert names(heard) == ["task_success", "task_postrun"]
    assert engine.loads == [(0, 1), (0, 0)], "it is busy until it has told of it"


def test_an_end_that_was_refused_is_not_told(pool: Pool, heard: list[Heard]) -> None:
    engine = Engine(pool, lambda claim: pool.acknowledge(claim, written=False))
    assert engine.run(one()) == ["Finished", "Free"]
    assert heard == []


def test_where_nobody_listens_nobody_waits(pool: Pool) -> None:
    engine = Engine(pool, lambda _: None)
    assert engine.run(one()) == ["Finished"]


def test_who_waits_goes_on_when_all_is_abandoned(pool: Pool, heard: list[Heard]) -> None:
    engine = Engine(pool, lambda _: pool.abandon())
    assert engine.run(one()) == ["Finished", "Free"]
    assert heard == []


def test_who_waits_goes_on_when_the_worker_ends(pool: Pool, heard: list[Heard]) -> None:
    engine = Engine(pool, lambda _: pool.finish())
    assert engine.run(one())[0] == "Finished"
    assert heard == []


def test_an_answer_that_nobody_waits_for_is_nothing(pool: Pool) -> None:
    pool.acknowledge(one(), written=True)
    assert pool.load() == (0, 0)


def test_what_was_abandoned_before_its_end_is_not_told(heard: list[Heard]) -> None:
    pool = ThreadPool(PoolOptions(worker="w1@host", concurrency=1))
    test_asyncio._first_act.append(pool.abandon)
    engine = Engine(pool, lambda _: None)
    too_long = threading.Timer(1, pool.finish)
    too_long.start()
    assert engine.run(one(test_asyncio.attempted.name)) == []
    assert heard == []


def test_an_end_by_the_time_limit_is_not_the_body_s_to_tell(heard: list[Heard]) -> None:
    pool = AsyncioPool(PoolOptions(worker="w1@host", concurrency=1, time_limit=0.05))
    claim = one(tasks.sleeps.name)._replace(args="[60]")
    with listening(signals.task_failure) as failures:
        engine = Engine(pool, lambda _: None)
        assert engine.run(claim) == ["Finished"]
    (finished,) = engine.events
    assert isinstance(finished, Finished)
    assert not finished.waits
    assert heard == failures == []


@pytest.mark.parametrize("kind", POOLS, ids=lambda kind: kind.name)
def test_the_process_that_runs_bodies_is_told_of(kind: type[Pool]) -> None:
    pool = kind(PoolOptions(worker="w1@host", concurrency=1))
    with listening(signals.worker_process_init, signals.worker_process_shutdown) as heard:
        Engine(pool, lambda _: None).run(one())
    assert names(heard) == ["worker_process_init", "worker_process_shutdown"]
    told: dict[str, Any] = heard[1].given
    assert told["exitcode"] == 0
    assert told["pid"] > 0


@dataclass
class Crowd:
    """Bodies that wait until the test lets them end, in a pool that it makes larger and smaller."""

    pool: Pool
    together: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    events: list[Event] = field(default_factory=list)

    def busy(self) -> int:
        return self.pool.load()[1]

    def settles(self, busy: int) -> bool:
        """Whether so many bodies run at once soon, and no more a moment later."""
        wait_until(lambda: self.busy() == busy, timeout=5)
        time.sleep(0.1)
        return self.busy() == busy


@pytest.fixture(params=[ThreadPool, AsyncioPool], ids=lambda kind: kind.name)
def crowd(request: pytest.FixtureRequest) -> Iterator[Crowd]:
    pool: Pool = request.param(PoolOptions(worker="w1@host", concurrency=2))
    crowd = Crowd(pool)
    pool.start(crowd.events.append)
    _gates.append(crowd.together)
    serving = threading.Thread(target=pool.serve)
    serving.start()
    pool.submit([one(gated.name)._replace(task_id=new_id()) for _ in range(6)])
    yield crowd
    _gates.clear()
    crowd.together.release(6)
    pool.finish()
    serving.join(10)


def test_pool_that_grows_runs_more_at_once(crowd: Crowd) -> None:
    assert crowd.settles(2)
    crowd.pool.resize(4)
    assert crowd.settles(4)


def test_pool_that_shrinks_stops_nothing_and_begins_less(crowd: Crowd) -> None:
    crowd.pool.resize(4)
    assert crowd.settles(4)
    crowd.pool.resize(1)
    assert crowd.settles(4)
    crowd.together.release(4)
    wait_until(lambda: len(crowd.events) == 4, timeout=5)
    assert crowd.settles(1)
    crowd.together.release(2)
    wait_until(lambda: len(crowd.events) == 6, timeout=5)


def test_threads_that_are_too_many_end() -> None:
    pool = ThreadPool(PoolOptions(worker="w1@host", concurrency=3))
    pool.start(lambda _: None)
    serving = threading.Thread(target=pool.serve)
    serving.start()
    wait_until(lambda: pool._threads == 3)
    pool.resize(1)
    wait_until(lambda: pool._threads == 1)
    pool.finish()
    serving.join(5)
