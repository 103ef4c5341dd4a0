"""Which statements leave a session changed for the next task."""

from __future__ import annotations

import pytest
from django.db import DEFAULT_DB_ALIAS, connections

from django_tasktrack.pools import sessions

LASTING = [
    "SET statement_timeout = 5",
    "  set session sort_buffer_size = 1",
    "PRAGMA foreign_keys = OFF",
    "LISTEN news",
    "CREATE TEMPORARY TABLE t (a int)",
    "SELECT set_config('search_path', 'x', false)",
    "SELECT pg_advisory_lock(1)",
    "SELECT GET_LOCK('x', 1)",
]
PASSING = [
    "SELECT 1",
    "SET LOCAL statement_timeout = 5",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "SET CONSTRAINTS ALL IMMEDIATE",
    "UPDATE t SET a = 1",
    "CREATE TABLE temp_of_ours (a int)",
    "SELECT pg_advisory_xact_lock(1)",
    "INSERT INTO settings (name) VALUES ('SET x')",
]


@pytest.mark.parametrize("sql", LASTING)
def test_a_lasting_statement_is_noticed_until_the_session_is_a_new_one(sql: str) -> None:
    sessions._note(lambda *_: None, sql, None, False, {"connection": connections[DEFAULT_DB_ALIAS]})
    assert sessions.is_changed(connections[DEFAULT_DB_ALIAS])
    sessions._on_new_session(connection=connections[DEFAULT_DB_ALIAS])
    assert not sessions.is_changed(connections[DEFAULT_DB_ALIAS])


@pytest.mark.parametrize("sql", PASSING)
def test_what_ends_with_its_transaction_is_nothing_to_notice(sql: str) -> None:
    sessions._note(lambda *_: None, sql, None, False, {"connection": connections[DEFAULT_DB_ALIAS]})
    assert not sessions.is_changed(connections[DEFAULT_DB_ALIAS])
