"""PostgreSQL without any system between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

from benchmarks import environment


def connect() -> psycopg.Connection[Any]:
    """A connection with the measurement's database, each statement its own transaction."""
    return psycopg.connect(environment.required(environment.POSTGRES), autocommit=True)


def number(connection: psycopg.Connection[Any], sql: str) -> int:
    """The one number that a query answers with."""
    row = connection.execute(sql).fetchone()
    return int(row[0]) if row else 0


def multiply(
    connection: psycopg.Connection[Any],
    table: str,
    count: int,
    changes: Mapping[str, str],
    leave_out: tuple[str, ...] = (),
) -> None:
    """Copy the one row of a table so many times.

    Args:
        table: has one row at least; the first is copied.
        count: copies.
        changes: column → SQL of its value; ``n`` is the number of the copy.
        leave_out: columns that the database fills by itself.
    """
    rows = connection.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_name = %s"
        " AND table_schema = current_schema() ORDER BY ordinal_position",
        [table],
    )
    columns = [name for (name,) in rows if name not in leave_out]
    values = ", ".join(changes.get(name, f'original."{name}"') for name in columns)
    names = ", ".join(f'"{name}"' for name in columns)
    connection.execute(
        f"INSERT INTO {table} ({names}) SELECT {values}"
        f" FROM (SELECT * FROM {table} LIMIT 1) original, generate_series(1, {count}) n"
    )
