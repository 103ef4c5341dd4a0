"""How long a body's session lasts: what ``CONN_MAX_AGE`` and ``OPTIONS["pool"]`` say of it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, connections

from django_tasktrack.models import TrackedTask
from django_tasktrack.pools.hygiene import run_with_clean_connections
from django_tasktrack.vendors import sessions
from tests.exam import servers

pytestmark = pytest.mark.django_db(transaction=True)

on_postgresql = pytest.mark.skipif(
    "connection.vendor != 'postgresql'", reason="Django has pools for PostgreSQL alone"
)


def ask() -> object:
    """A body that uses the database; the session that it was given."""
    TrackedTask.objects.exists()
    return connection.connection


@pytest.mark.parametrize(
    ("max_age", "kept"),
    [
        pytest.param(60, False, id="over"),
        pytest.param(3600, True, id="not yet"),
        pytest.param(None, True, id="no limit"),
        pytest.param(0, True, id="of requests"),
    ],
)
def test_between_bodies_a_session_is_kept_until_its_age_is_over(
    max_age: float | None, kept: bool
) -> None:
    with servers.moved_to({"CONN_MAX_AGE": max_age}):
        first = run_with_clean_connections(ask)
        if connection.close_at is not None:
            connection.close_at -= 600  # as if it had been opened ten minutes ago
        again = run_with_clean_connections(ask)
        assert again is first, "it is closed behind a body, not under one"
        assert (connection.connection is first) == kept


@pytest.fixture
def pool_of_one() -> Iterator[None]:
    """This process has one session for all of its threads, which wait for it, and not for long."""
    pool = {"min_size": 1, "max_size": 1, "timeout": 2}
    options = {**connection.settings_dict["OPTIONS"], "pool": pool}
    with servers.moved_to({"OPTIONS": options}):
        yield
        connection.close()
        connection.close_pool()  # type: ignore[attr-defined]  # PostgreSQL's


@on_postgresql
def test_a_session_of_a_pool_goes_back_behind_each_body(pool_of_one: None) -> None:
    """Two threads, as a worker's: neither has ended when the other one wants it."""
    with ThreadPoolExecutor(1) as thread:
        for _ in range(2):
            run_with_clean_connections(ask)
            assert connection.connection is None
            thread.submit(run_with_clean_connections, ask).result(10)


@on_postgresql
def test_what_a_worker_itself_needs_does_not_come_from_the_pool(pool_of_one: None) -> None:
    """It needs a session for ever, and bodies would wait for that one."""
    projects, taken = connections["default"], ask()
    try:
        sessions.connect("default", patience=5)
        assert ask() is not taken
    finally:
        connections["default"].close()
        connections["default"] = projects
