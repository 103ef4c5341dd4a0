"""Looks at limits use the indexes that were made for them, on databases without EXPLAIN ANALYZE too."""

from __future__ import annotations

import pytest
from django.db import connection

from django_tasktrack.vendors import base

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "sqlite", reason="plans are read from SQLite"),
]


def plan(sql: str, params: list[str | int] | None = None) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


@pytest.mark.parametrize(
    ("column", "index"),
    [("name", "tasktrack_gated"), ("concurrency_key", "tasktrack_concurrency_key")],
)
def test_walk_skips_through_its_index(column: str, index: str) -> None:
    told = plan(base._WALKS[column], ["", 200])
    assert told.count(f"USING COVERING INDEX {index}") + told.count(f"USING INDEX {index}") == 2
    assert "SCAN t\n" not in told
    assert "TEMP B-TREE" not in told


def test_what_there_is_of_limits_reads_no_task() -> None:
    told = plan(base._GATES)
    assert "INDEX tasktrack_gated" in told
    assert "INDEX tasktrack_concurrency_key" in told
    assert "TEMP B-TREE" not in told
