"""Connections that broke while no body used them: the next body does not notice."""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest
from django.core.management import call_command

from django_tasktrack import AsyncResult
from django_tasktrack.pools import hygiene
from tests import invariants
from tests.app import tasks
from tests.app.models import Entry
from tests.exam.report import Figures
from tests.exam.servers import Server
from tests.exam.test_database import until_answers
from tests.workers import worker

BODIES = 6


def put() -> list[AsyncResult]:
    """Bodies that use the project's own connection, for each thread and child of a worker with two."""
    plain = [tasks.writes_slowly.delay(0.2) for _ in range(BODIES)]
    return [*plain, *(tasks.reads_the_database.delay() for _ in range(BODIES))]


def broken(results: Iterable[AsyncResult]) -> list[str]:
    """How those failed that did."""
    ended = [result.get(timeout=30, propagate=False) for result in results]
    return [repr(value) for value in ended if isinstance(value, Exception)]


@pytest.mark.case(16)
@pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "asyncio"])
def test_no_body_meets_a_connection_that_a_restart_has_broken(
    pool: str, server: Server, figures: Figures
) -> None:
    call_command("migrate", run_syncdb=True, verbosity=0)  # the business data's tables too
    with worker("-P", pool, "-c", "2") as running:
        first = put()
        assert broken(first) == []
        server.restart("fast")
        until_answers()
        time.sleep(hygiene._TRUST)  # what was idle for less is taken for sound
        second = put()
        failures = broken(second)
        assert running.process.poll() is None
    figures["bodies that met it"] = len(failures)
    assert failures == []
    assert Entry.objects.count() == 2 * BODIES
    invariants.check([result.id for result in (*first, *second)])
