"""The floor and the ceiling: psycopg alone, on the tables of django-tasktrack.

Nothing runs between claim and finish, nothing is fenced, nobody is woken: what the database itself can do.
"""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

import psycopg
import uuid_utils

from benchmarks.systems import sql
from benchmarks.systems.django_base import DjangoClient
from django_tasktrack.models import StateChange, TrackedTask
from django_tasktrack.states import Stage

_TASK = TrackedTask._meta.db_table
_HISTORY = StateChange._meta.db_table
_HISTORY_COLUMNS = (
    "task_id, seq, state, label, attempt, lease, at, worker_id, actor, reason,"
    " error_type, error_message, traceback"
)

_TASKS = f"""
INSERT INTO {_TASK} (id, name, args, kwargs, queue, priority, state, stage, label, seq, attempt,
    max_attempts, losses, crashes, lease, created_at, changed_at, run_after, error_type, error_message,
    traceback, owner, rerun_if_lost)
SELECT a.id, 'benchmarks.project.tasks.noop', a.args, '{{}}', 'default', 0, 'PENDING', {Stage.DUE:d}, '',
    1, 0, 4, 0, 0, 0, now(), now(), now(), '', '', '', '', true
FROM unnest(%s::uuid[], %s::jsonb[]) AS a(id, args)"""
_FIRST = f"""
INSERT INTO {_HISTORY} ({_HISTORY_COLUMNS})
SELECT a.id, 1, 'PENDING', '', 0, 0, now(), NULL, '', '', '', '', ''
FROM unnest(%s::uuid[]) AS a(id)"""
_BOTH = f"""
WITH inserted AS ({_TASKS} RETURNING id)
INSERT INTO {_HISTORY} ({_HISTORY_COLUMNS})
SELECT id, 1, 'PENDING', '', 0, 0, now(), NULL, '', '', '', '', '' FROM inserted"""

_CLAIM = f"""
WITH picked AS MATERIALIZED (
    SELECT id FROM {_TASK} WHERE stage = {Stage.DUE:d} AND queue = 'default'
    ORDER BY priority DESC, id LIMIT %s FOR NO KEY UPDATE SKIP LOCKED
), claimed AS (
    UPDATE {_TASK} t SET stage = {Stage.CLAIMED:d}, worker_id = 1, lease = lease + 1,
        attempt = attempt + 1
    FROM picked WHERE t.id = picked.id RETURNING t.id, t.name, t.args, t.kwargs, t.lease
), recorded AS (
    INSERT INTO {_HISTORY} ({_HISTORY_COLUMNS})
    SELECT id, 1 + step, 'STARTED', '', 1, lease, now(), 1, '', '', '', '', ''
    FROM claimed, generate_series(1, %s) step
)
SELECT id, name, args::text, kwargs::text, lease FROM claimed"""
_COMPLETE = f"""
WITH done AS (
    UPDATE {_TASK} t SET state = 'SUCCESS', stage = {Stage.DONE:d}, seq = %s, started_at = now(),
        finished_at = now(), changed_at = now(), result = a.result
    FROM unnest(%s::uuid[], %s::jsonb[]) AS a(id, result) WHERE t.id = a.id RETURNING t.id, t.lease
)
INSERT INTO {_HISTORY} ({_HISTORY_COLUMNS})
SELECT id, %s, 'SUCCESS', '', 1, lease, now(), 1, '', '', '', '', '' FROM done"""
_COMPLETE_ONLY = f"""
UPDATE {_TASK} t SET state = 'SUCCESS', stage = {Stage.DONE:d}, seq = %s, started_at = now(),
    finished_at = now(), changed_at = now(), result = a.result
FROM unnest(%s::uuid[], %s::jsonb[]) AS a(id, result) WHERE t.id = a.id"""


class RawClient(DjangoClient):
    """One connection whose statements are prepared.

    Bodies are not run, so they are named for how tasks are inserted: "two statements" in a transaction,
    or "one statement".
    """

    def __init__(self) -> None:
        self._connection: psycopg.Connection[Any] | None = None
        # Ids in order of time, as ours are, without what it takes to make them.
        self._ids = uuid_utils.uuid7().int

    @property
    def connection(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            self._connection = sql.connect()
            self._connection.prepare_threshold = 0
        return self._connection

    def enqueue(self, number: int, body: str) -> object:
        ids, args = [UUID(int=self._ids + number)], [f"[{number}]"]
        if body == "one statement":
            self.connection.execute(_BOTH, [ids, args])
            return ids[0]
        with self.connection.transaction():
            self.connection.execute(_TASKS, [ids, args])
            self.connection.execute(_FIRST, [ids])
        return ids[0]

    def bulk(self, numbers: list[int], body: str) -> None:
        ids = [UUID(int=self._ids + number) for number in numbers]
        args = [f"[{number}]" for number in numbers]
        self.connection.execute(_BOTH, [ids, args])

    def remaining(self) -> int:
        waiting = f"SELECT count(*) FROM {_TASK} WHERE stage IN ({Stage.DUE:d}, {Stage.CLAIMED:d})"
        return sql.number(self.connection, waiting)

    def cycle(self, count: int, batch: int, history: int) -> float:
        """Claim and complete what is in the table; returns the seconds that it took.

        Args:
            count: tasks.
            batch: how many are claimed by one statement, and completed by another.
            history: rows of history that each task gets on the way: the last one with the completion,
                the others with the claim.
        """
        began = time.monotonic()
        done = 0
        while done < count:
            rows = self.connection.execute(
                _CLAIM, [batch, max(0, history - 1)], binary=True
            ).fetchall()
            if not rows:
                raise ValueError(f"Only {done} of {count} tasks were there.")
            self._complete([row[0] for row in rows], history)
            done += len(rows)
        return time.monotonic() - began

    def _complete(self, ids: list[UUID], history: int) -> None:
        seq, results = 1 + history, ["0"] * len(ids)
        if history:
            self.connection.execute(_COMPLETE, [seq, ids, results, seq])
        else:
            self.connection.execute(_COMPLETE_ONLY, [seq, ids, results])

    def rest(self) -> None:
        super().rest()
        if self._connection is not None:
            self._connection.close()
            self._connection = None


CLIENT = RawClient
