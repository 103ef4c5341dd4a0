"""``pk__among``: the rows of a list of ids."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, models  # noqa: F401  conditions of skipping name it

from django_tasktrack.ids import new_id
from django_tasktrack.models import TrackedTask
from tests.factories import make_task

pytestmark = pytest.mark.django_db


def sql_of(rows: models.QuerySet[Any]) -> str:
    return str(rows.query.get_compiler(rows.db).as_sql()[0])


def test_the_rows_of_a_list_of_ids_are_found() -> None:
    mine = [make_task(), make_task()]
    make_task()
    found = TrackedTask.objects.many([mine[0].pk, new_id(), mine[1].pk]).order_by("pk")
    assert list(found) == mine


def test_no_id_finds_nothing() -> None:
    make_task()
    assert not TrackedTask.objects.many([]).exists()


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="the others keep no such programs")
def test_lists_of_all_lengths_are_one_statement_on_sqlite() -> None:
    lengths = (1, 2, 700)
    said = {sql_of(TrackedTask.objects.many(new_id() for _ in range(n))) for n in lengths}
    assert len(said) == 1


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="it is asked how SQLite does it")
def test_the_rows_are_found_by_the_primary_key_on_sqlite() -> None:
    rows = TrackedTask.objects.many([new_id(), new_id()])
    plan = rows.explain()
    assert "USING INDEX sqlite_autoindex_tasktrack_trackedtask_1 (id=?)" in plan
    assert "SCAN tasktrack" not in plan
