"""Workers of a project that keeps its sessions in a pool (``OPTIONS["pool"]``)."""

from __future__ import annotations

import pytest
from django.db import connection  # noqa: F401  for the mark

from tests import databases, invariants, pooled_settings
from tests.app import tasks
from tests.app.models import Entry
from tests.exam.proxy import Proxy
from tests.exam.test_idle_connections import broken
from tests.exam.test_scale import _held_by_some, _shared
from tests.workers import wait_until, worker

pytestmark = pytest.mark.skipif(
    "connection.vendor != 'postgresql'", reason="Django has pools for PostgreSQL alone"
)

SETTINGS = "tests.pooled_settings"
BODIES = 20


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "asyncio"])
def test_many_bodies_share_the_few_sessions_of_a_pool(pool: str) -> None:
    """One that kept its session would let the others wait in vain, and so would a worker that took some."""
    with worker("-P", pool, "-c", "6", settings=SETTINGS):
        asked = [tasks.writes_slowly.delay(0.05) for _ in range(BODIES)]
        asked += [tasks.reads_the_database.delay() for _ in range(BODIES)]
        assert broken(asked) == []
    assert Entry.objects.count() == BODIES
    invariants.check([result.id for result in asked])


def test_a_worker_takes_no_session_of_the_pool() -> None:
    with worker("-P", "threads", "-c", "1", settings=SETTINGS, env={pooled_settings.SESSIONS: "1"}):
        assert broken([tasks.writes_slowly.delay(0.05)]) == []


def test_no_process_finds_the_pool_of_the_one_that_has_forked_it(network: Proxy) -> None:
    """A project may ask the database while it is loaded."""
    environment = {"TASKTRACK_TEST_CONNECT": "1", databases.POSTGRES: network.url()}
    with worker("-c", "2", settings=SETTINGS, env=environment) as running:
        held = wait_until(lambda: _held_by_some(running), what="two that are connected")
        assert not _shared(held)
