"""The suite's own tools do what the tests build on."""

from __future__ import annotations

import os

import pytest
from django.db import connection

from django_tasktrack.models import TrackedTask

from . import databases, workers
from .app.models import Entry


def test_suite_runs_on_the_database_that_was_asked_for() -> None:
    assert connection.vendor == os.environ.get(databases.CHOICE, "sqlite")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("attempt", [1, 2])
def test_tables_are_flushed_between_live_tests(attempt: int) -> None:
    assert not Entry.objects.exists()
    assert not TrackedTask.objects.exists()
    Entry.objects.create(text=f"attempt {attempt}")


def test_wait_until_says_what_never_came() -> None:
    with pytest.raises(AssertionError, match=r"Waited 0\.1 s for rain"):
        workers.wait_until(lambda: False, 0.1, what="rain")
