"""PostgreSQL: each hot verb in one statement, row locks that never wait, and NOTIFY."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from ..agenda import Agenda, Behind, Gates
from ..changes import Change, NewTask, ProgressWrite, Release, Written
from ..models import Progress, StateChange, TrackedTask
from ..outcomes import Claim
from ..states import ENQUEUE, TRANSITIONS, Stage
from . import gates
from .base import UNIQUE_TRIES, Vendor, by_unique_key, key_churns
from .glance import GLANCE, LIMITED, UNKNOWN, queues_of
from .sessions import is_pooled

_TASK = TrackedTask._meta.db_table
_HISTORY = StateChange._meta.db_table
_PROGRESS = Progress._meta.db_table

#: The channel that workers listen on; the payload says why they are woken.
CHANNEL = "tasktrack"


#: What only tasks have that belong together, or share a limit, with the types; then follows the unique key.
_RELATED = {
    "root_id": "uuid", "parent_id": "uuid", "group_id": "uuid", "headers": "jsonb",
    "ignore_result": "bool", "followed": "bool", "blocked": "bool", "concurrency_key": "text",
    "concurrency_limit": "int",
}  # fmt: skip
_UNRELATED = (None, None, None, None, False, False, False, None, None)


def _insert(
    related: bool, into: str = "", key: str = "", guard: str = "", winners: str = "asked"
) -> str:
    """The statement for tasks and the first rows of their history, where ``{asked}`` stands for the tasks.

    The arguments are for what few tasks have: relations to others, and unique keys.
    """
    columns = "".join(f", {name}" for name in _RELATED if name != "blocked") if related else ""
    into, key = columns + into, columns + key
    waits = f"WHEN blocked THEN {Stage.BLOCKED:d} " if related else ""
    gated = f"WHEN concurrency_key IS NOT NULL THEN {Stage.GATED:d} " if related else ""
    return f"""
WITH asked AS (
    SELECT a.*, clock.now,
           COALESCE(a.run_after, clock.now + make_interval(secs => a.delay)) AS due_at,
           COALESCE(a.expires_at, clock.now + make_interval(secs => a.expires_in)) AS ends_at
    FROM ({{asked}}) AS a, (SELECT clock_timestamp() AS now OFFSET 0) AS clock
), inserted AS (
    INSERT INTO {_TASK} (
        id, name, args, kwargs, queue, priority, state, stage, label, seq,
        attempt, max_attempts, losses, crashes, lease, created_at, changed_at, run_after, expires_at,
        error_type, error_message, traceback, owner, goal_id,
        time_limit, soft_time_limit, rerun_if_lost{into})
    SELECT id, name, args, kwargs, queue, priority, '{ENQUEUE.target}',
           CASE {waits}WHEN due_at > now THEN {Stage.SCHEDULED:d} {gated}ELSE {Stage.DUE:d} END, '', 1,
           0, max_attempts, 0, 0, 0, now, now, due_at, ends_at, '', '', '', owner, goal_id,
           time_limit, soft_time_limit, rerun_if_lost{key}
    FROM asked
    {guard}
)
INSERT INTO {_HISTORY} (task_id, seq, state, label, attempt, lease, at, actor, reason,
                        error_type, error_message, traceback)
SELECT id, 1, '{ENQUEUE.target}', '', 0, 0, now, actor, '', '', '', '' FROM {winners}
"""


_INSERT = {related: _insert(related) for related in (False, True)}

# DO NOTHING keeps the caller's transaction usable where another task has the key.
_INSERT_UNIQUE = _insert(
    related=True,
    into=", unique_key, active_key",
    key=", unique_key, unique_key",
    guard="ON CONFLICT (active_key) WHERE active_key IS NOT NULL DO NOTHING RETURNING id",
    winners="asked JOIN inserted USING (id) RETURNING task_id",
)

_HOLDERS = f"""
SELECT active_key, id FROM {_TASK} WHERE active_key = ANY (%s) AND stage IS DISTINCT FROM {Stage.DONE:d}
"""

# MATERIALIZED: inlined into the UPDATE, the planner may run the LIMIT more than once.
_CLAIM_FROM = f"""
, picked AS MATERIALIZED (
    SELECT due.id FROM {{places}} CROSS JOIN LATERAL (
        SELECT t.id, t.priority FROM {_TASK} t
        WHERE t.stage = {Stage.DUE:d} AND {{there}}
          AND t.name = ANY (%(names)s) AND t.concurrency_key IS NULL
          AND (t.expires_at IS NULL OR t.expires_at > clock_timestamp())
        ORDER BY t.priority DESC, t.id
        LIMIT %(limit)s
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS due
    ORDER BY due.priority DESC, due.id
    LIMIT %(limit)s
)
UPDATE {_TASK} t
SET stage = {Stage.CLAIMED:d}, worker_id = %(worker)s, lease = t.lease + 1, attempt = t.attempt + 1
FROM picked WHERE t.id = picked.id
RETURNING t.id, t.name, t.args::text, t.kwargs::text, t.queue, t.priority, t.attempt, t.losses,
          t.crashes, t.lease, t.worker_id, t.max_attempts,
          CASE WHEN t.run_after > t.created_at THEN t.run_after END, t.expires_at,
          t.owner, t.goal_id, t.time_limit, t.soft_time_limit, t.rerun_if_lost,
          t.root_id, t.parent_id, t.group_id, t.headers::text, t.ignore_result, t.followed
"""
_CLAIM = _CLAIM_FROM.format(places="queues", there="t.queue = queues.queue")

# One stretch of the index for each lane: entries of dead rows that stand before it are not read.
_CLAIM_BEHIND = f"""
WITH lanes AS (
    SELECT * FROM unnest(%(queues)s::text[], %(priorities)s::int[]) AS q(queue, priority)
    WHERE {gates.OPEN.format(queue="q.queue")}
)
""" + _CLAIM_FROM.format(
    places="lanes",
    there="t.queue = lanes.queue AND t.priority = lanes.priority AND t.id >= %(after)s",
)

# What a row must show for a change to be written. IS NOT DISTINCT FROM keeps it from being taken for an
# index condition. A label that the row shows already was written before, and only the answer was lost.
_FENCE = """t.state = ANY (string_to_array(a.sources, ','))
      AND t.lease IS NOT DISTINCT FROM a.lease
      AND t.worker_id IS NOT DISTINCT FROM a.worker_id
      AND NOT (a.yields AND t.revoke_requested_at IS NOT NULL)
      AND NOT (a.label <> '' AND a.label = t.label)"""

# The rows are found by primary key alone, and everything after reads the locked rows. What is recorded comes
# from the UPDATE: a join of both would be of two lists without an index, row by row.
_WRITE = f"""
WITH asked AS ({{asked}}), held AS MATERIALIZED (
    SELECT a.*, t.changed_at, t.state AS old_state, t.seq AS old_seq, t.attempt AS old_attempt,
           a.began_ago IS NOT NULL AND t.state IN ('PENDING', 'RETRY') AS begins,
           (SELECT clock_timestamp()) AS now
    FROM asked a JOIN {_TASK} t ON t.id = a.id
    WHERE {_FENCE}
    ORDER BY t.id
    FOR NO KEY UPDATE OF t {{lock}}
), dated AS (
    -- Clocks of two machines are at work: history never runs backwards all the same.
    SELECT h.*, GREATEST(h.now - make_interval(secs => h.began_ago), h.changed_at) AS begun_at
    FROM held h
), locked AS (
    SELECT d.*, GREATEST(d.now - make_interval(secs => d.happened_ago), d.changed_at,
                         CASE WHEN d.begins THEN d.begun_at END) AS happened_at
    FROM dated d
), changed AS (
    UPDATE {_TASK} t SET
        state = l.target,
        stage = l.stage,
        label = l.label,
        seq = l.old_seq + 1 + l.begins::int,
        attempt = CASE WHEN l.afresh THEN 0 ELSE t.attempt END + l.attempt,
        max_attempts = COALESCE(l.max_attempts, t.max_attempts),
        losses = CASE WHEN l.afresh THEN 0 ELSE t.losses END + l.losses,
        crashes = CASE WHEN l.afresh THEN 0 ELSE t.crashes END + l.crashes,
        lease = t.lease + l.bump,
        worker_id = CASE WHEN l.stage IN ({Stage.SCHEDULED:d}, {Stage.DUE:d}) THEN NULL
                         ELSE t.worker_id END,
        run_after = COALESCE(l.now + make_interval(secs => l.delay), t.run_after),
        started_at = CASE
            WHEN l.afresh THEN NULL
            WHEN l.begins THEN l.begun_at
            WHEN l.target = 'STARTED' AND l.old_state <> 'STARTED' THEN l.happened_at
            ELSE t.started_at END,
        finished_at = CASE WHEN l.stage = {Stage.DONE:d} THEN l.happened_at END,
        changed_at = l.happened_at,
        revoke_requested_at = CASE WHEN l.afresh THEN NULL ELSE t.revoke_requested_at END,
        revoke_request = CASE WHEN l.afresh THEN NULL ELSE t.revoke_request END,
        result = l.result,
        error_type = CASE WHEN l.target = 'STARTED' THEN t.error_type ELSE l.error_type END,
        error_message =
            CASE WHEN l.target = 'STARTED' THEN t.error_message ELSE l.error_message END,
        traceback = CASE WHEN l.target = 'STARTED' THEN t.traceback ELSE l.traceback END,
        active_key = CASE WHEN l.stage = {Stage.DONE:d} THEN NULL
                          WHEN l.afresh THEN t.unique_key
                          ELSE t.active_key END
    FROM locked l WHERE t.id = l.id
    RETURNING t.id, t.seq, l.target, l.label, t.attempt, t.lease, l.happened_at, l.worker_id, l.actor,
              l.reason, l.error_type, l.error_message, l.traceback
), begun AS (
    INSERT INTO {_HISTORY} (task_id, seq, state, label, attempt, lease, at, worker_id, actor,
                            reason, error_type, error_message, traceback)
    SELECT id, old_seq + 1, 'STARTED', '', old_attempt, COALESCE(began_lease, lease),
           begun_at, worker_id, '', began_reason, '', '', ''
    FROM locked WHERE begins
), recorded AS (
    INSERT INTO {_HISTORY} (task_id, seq, state, label, attempt, lease, at, worker_id, actor,
                            reason, error_type, error_message, traceback)
    SELECT * FROM changed
)
SELECT id FROM changed
"""

# Rows that a write passed over, and whether their fence would still hold once they are free.
_STILL_FENCED = f"""
SELECT t.id FROM ({{asked}}) AS a
JOIN {_TASK} t ON t.id = a.id
WHERE {_FENCE}
"""

_GATES = len(Gates._fields)

# Read in a subquery, the clock is asked once and can be an index condition: otherwise every future row
# is read to be filtered. The array keeps the planner from scanning the table for a guessed thousand.
_PROMOTE = f"""
WITH ripe AS MATERIALIZED (
    SELECT id FROM {_TASK}
    WHERE stage = {Stage.SCHEDULED:d} AND run_after <= (SELECT clock_timestamp())
    ORDER BY run_after LIMIT %s FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE {_TASK} SET stage = {Stage.DUE:d} WHERE id = ANY (ARRAY(SELECT id FROM ripe))
"""

_RELEASE = f"""
UPDATE {_TASK} t SET args = a.args, run_after = a.due_at,
    stage = CASE WHEN a.due_at > a.now THEN {Stage.SCHEDULED:d} ELSE {Stage.DUE:d} END
FROM (
    SELECT asked.*, now, GREATEST(w.run_after, now + make_interval(secs => delay)) AS due_at
    FROM ({{asked}}) AS asked JOIN {_TASK} w USING (id),
         (SELECT clock_timestamp() AS now OFFSET 0) AS clock
) AS a
WHERE t.id = a.id AND t.stage IS NOT DISTINCT FROM {Stage.BLOCKED:d}
RETURNING t.id
"""

_NEXT_SCHEDULED = f"""
SELECT extract(epoch FROM min(run_after) - clock_timestamp())::float8
FROM {_TASK} WHERE stage = {Stage.SCHEDULED:d}
"""

# Only the holder of the lease writes, so what it wrote before can be read in the same statement.
_PROGRESS_WRITE = f"""
INSERT INTO {_PROGRESS} (task_id, lease, current, total, message, meta, began_at, updated_at)
SELECT a.id, a.lease, COALESCE(a.current, p.current), COALESCE(a.total, p.total),
       COALESCE(left(a.message, 255), p.message, ''), COALESCE(a.meta, p.meta),
       COALESCE(p.began_at, now), now
FROM unnest(%s::uuid[], %s::bigint[], %s::float8[], %s::float8[], %s::text[], %s::jsonb[])
     AS a(id, lease, current, total, message, meta)
JOIN {_TASK} t ON t.id = a.id AND t.lease IS NOT DISTINCT FROM a.lease
               AND t.stage IS NOT DISTINCT FROM {Stage.CLAIMED:d}
LEFT JOIN {_PROGRESS} p ON p.task_id = a.id AND p.lease IS NOT DISTINCT FROM a.lease
CROSS JOIN (SELECT clock_timestamp() AS now OFFSET 0) AS clock
ORDER BY a.id
ON CONFLICT (task_id) DO UPDATE SET
    lease = EXCLUDED.lease,
    current = EXCLUDED.current,
    total = EXCLUDED.total,
    message = EXCLUDED.message,
    meta = EXCLUDED.meta,
    began_at = EXCLUDED.began_at,
    updated_at = EXCLUDED.updated_at
WHERE {_PROGRESS}.lease <= EXCLUDED.lease
"""


class PostgreSQLVendor(Vendor):
    """The verbs of ``Vendor`` in the SQL that PostgreSQL is fastest at."""

    def now(self) -> datetime:
        now: datetime = self._rows("SELECT clock_timestamp()")[0][0]
        return now

    def insert(self, tasks: Sequence[NewTask]) -> None:
        for start in range(0, len(tasks), 5000):
            some = tasks[start : start + 5000]
            related = any(task[_FIRST_RELATED:-1] != _UNRELATED for task in some)
            asked = Table(_new_columns(some, related=related))
            self._execute(_INSERT[related].format(asked=asked.sql), asked.params)

    def insert_unique(self, tasks: Sequence[NewTask]) -> dict[UUID, UUID]:
        holders: dict[UUID, UUID] = {}
        left = sorted(tasks, key=by_unique_key)
        for _ in range(UNIQUE_TRIES):
            keys = [task.unique_key for task in left]
            columns = _new_columns(left, related=True)
            asked = Table({**columns, ("unique_key", "text"): keys})
            rows = self._rows(_INSERT_UNIQUE.format(asked=asked.sql), asked.params)
            inserted = {row[0] for row in rows}
            refused = [task for task in left if task.task_id not in inserted]
            keys = [task.unique_key for task in refused]
            holding = dict(self._rows(_HOLDERS, [keys])) if keys else {}
            left = [task for task in refused if task.unique_key not in holding]
            holders |= {
                task.task_id: holding[task.unique_key]
                for task in refused
                if task.unique_key in holding
            }
            if not left:
                return holders
            self.free_ended(task.unique_key for task in left)
        raise key_churns(left[0])

    def claim(
        self,
        worker_id: int,
        queues: Sequence[str],
        names: Sequence[str],
        limit: int,
        *,
        behind: Behind | None = None,
        excluded: Sequence[str] = (),
    ) -> list[Claim]:
        if limit < 1 or not names:
            return []
        asked = {"worker": worker_id, "names": list(names), "limit": limit}
        if behind:
            lanes = zip(
                ("queues", "priorities"), map(list, zip(*behind.lanes, strict=True)), strict=True
            )
            rows = self._rows(_CLAIM_BEHIND, {**asked, "after": behind.after, **dict(lanes)})
        else:
            asked |= {"queues": list(queues), "excluded": list(excluded)}
            rows = self._rows(queues_of(queues, excluded) + _CLAIM, asked)
        claims = [Claim(*row) for row in rows]
        claims.sort(key=lambda claim: (-claim.priority, claim.task_id))
        return claims

    def write(self, changes: Sequence[Change], *, wait: bool = False) -> Written:
        asked = frozenset(change.task_id for change in changes)
        lock = "" if wait else "SKIP LOCKED"
        asked_for = _columns(changes)
        rows = self._rows(_WRITE.format(asked=asked_for.sql, lock=lock), asked_for.params)
        applied = frozenset(row[0] for row in rows)
        missed = [change for change in changes if change.task_id not in applied]
        busy: frozenset[UUID] = frozenset()
        if missed and not wait:
            fences = Table(_fences(missed))
            rows = self._rows(_STILL_FENCED.format(asked=fences.sql), fences.params)
            busy = frozenset(row[0] for row in rows)
        return Written(applied, busy, asked - applied - busy)

    def promote(self, limit: int = 1000) -> tuple[int, float | None]:
        promoted = self._execute(_PROMOTE, [limit])
        following: float | None = self._rows(_NEXT_SCHEDULED)[0][0]
        return promoted, None if following is None else max(0.0, following)

    def release(self, releases: Sequence[Release]) -> list[UUID]:
        columns: dict[tuple[str, str], list[Any]] = {
            ("id", "uuid"): [release.task_id for release in releases],
            ("args", "jsonb"): [release.args for release in releases],
            ("delay", "float8"): _floats(release.delay for release in releases),
        }
        asked = Table(columns)
        return [row[0] for row in self._rows(_RELEASE.format(asked=asked.sql), asked.params)]

    def unknown(
        self,
        queues: Sequence[str],
        known: Collection[str],
        limit: int = 1000,
        *,
        excluded: Sequence[str] = (),
    ) -> dict[UUID, str]:
        asked = {
            "queues": list(queues),
            "excluded": list(excluded),
            "names": list(known),
            "limit": limit,
        }
        return dict(self._rows(queues_of(queues, excluded=excluded) + UNKNOWN, asked))

    def limited(
        self,
        queues: Sequence[str],
        names: Collection[str],
        limit: int = 1000,
        *,
        excluded: Sequence[str] = (),
    ) -> list[UUID]:
        asked = {
            "queues": list(queues),
            "excluded": list(excluded),
            "limited": list(names),
            "limit": limit,
        }
        return [row[0] for row in self._rows(queues_of(queues, excluded) + LIMITED, asked)]

    def agenda(
        self,
        worker_id: int,
        queues: Sequence[str],
        names: Sequence[str],
        lease: float,
        limited: Sequence[str] = (),
        *,
        excluded: Sequence[str] = (),
    ) -> Agenda | None:
        sql = queues_of(queues, excluded=excluded) + GLANCE
        asked = {
            "worker": worker_id,
            "queues": list(queues),
            "excluded": list(excluded),
            "names": list(names),
            "free": [name for name in names if name not in limited],
            "lease": lease,
            "limit": 1000,
            "limited": list(limited),
        }
        told: tuple[Any, ...] = self._rows(sql, asked)[0]
        return Agenda._make([*told[:-_GATES], Gates._make(told[-_GATES:])])

    def write_progress(self, writes: Sequence[ProgressWrite]) -> None:
        params = [
            [write.task_id for write in writes],
            [write.lease for write in writes],
            _floats(write.current for write in writes),
            _floats(write.total for write in writes),
            [write.message for write in writes],
            [write.meta for write in writes],
        ]
        self._execute(_PROGRESS_WRITE, params)

    def notify(self, topic: str) -> None:
        # Half of what pg_notify() with parameters takes, and every enqueue pays for it.
        self._execute(f"NOTIFY {CHANNEL}, '{topic}'", None)

    def listen(self, on_notified: Callable[[str], None]) -> int | None:
        if is_pooled(self.connection):
            return None
        self._execute(f"LISTEN {CHANNEL}", [])
        driver = self.connection.connection
        driver.add_notify_handler(lambda told: on_notified(told.payload))
        descriptor: int = driver.fileno()
        return descriptor

    def take_notifications(self, on_notified: Callable[[str], None]) -> None:
        driver = self.connection.connection.pgconn
        with self.connection.wrap_database_errors:
            driver.consume_input()
            while told := driver.notifies():
                on_notified(told.extra.decode())

    def _execute(self, sql: str, params: Any) -> int:
        with self.connection.cursor() as cursor:
            cursor.execute(self._by_the_clock(sql), params)
            count: int = cursor.rowcount
            return count

    def _rows(self, sql: str, params: Any = ()) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(self._by_the_clock(sql), params)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def _by_the_clock(self, sql: str) -> str:
        """The statement by this vendor's clock, where a test has set that ahead of the server's."""
        if not self.ahead:
            return sql
        ahead = f"interval '{self.ahead.total_seconds():.6f} seconds'"
        return sql.replace("clock_timestamp()", f"(clock_timestamp() + {ahead})")


def _floats(values: Iterable[float | None]) -> list[float | None]:
    """The driver refuses a list of whole and broken numbers."""
    return [None if value is None else float(value) for value in values]


#: The columns of a new task with their types, in the order of ``NewTask``; its key is for unique tasks alone.
_NEW = {
    "id": "uuid", "name": "text", "args": "jsonb", "kwargs": "jsonb", "queue": "text", "priority": "int",
    "max_attempts": "int", "delay": "float8", "run_after": "timestamptz", "expires_in": "float8",
    "expires_at": "timestamptz", "owner": "text", "actor": "text", "goal_id": "bigint",
    "time_limit": "float8", "soft_time_limit": "float8", "rerun_if_lost": "bool",
}  # fmt: skip
_FIRST_RELATED = len(_NEW)


def _new_columns(tasks: Sequence[NewTask], *, related: bool) -> dict[tuple[str, str], list[Any]]:
    """New tasks as ``_INSERT`` reads them."""
    named = {**_NEW, **_RELATED} if related else _NEW
    columns = zip(named.items(), zip(*tasks, strict=True), strict=False)
    return {
        column: _floats(values) if column[1] == "float8" else list(values)
        for column, values in columns
    }


_Column = tuple[tuple[str, str], list[Any]]


class Table:
    """Values as the rows of a subquery, column by column.

    Most columns of most batches hold one value, and of a single row all do: such a one is sent once and
    not for each row, which is what most of the time for a large batch went to. The statements that come of
    it are few, so that the driver keeps them prepared.

    Args:
        columns: name and type → a value for each row; of several rows the first one is an array always.
    """

    def __init__(self, columns: Mapping[tuple[str, str], list[Any]]) -> None:
        arrays: list[_Column] = []
        constants: list[_Column] = []
        for number, (column, values) in enumerate(columns.items()):
            first, *others = values
            same = not others or (number and values.count(first) == len(values))
            (constants if same else arrays).append((column, values))
        parts = []
        if arrays:
            names = ", ".join(name for (name, _), _ in arrays)
            types = ", ".join(f"%s::{kind}[]" for (_, kind), _ in arrays)
            parts.append(f"unnest({types}) AS v({names})")
        if constants:
            listed = ", ".join(f"%s::{kind} AS {name}" for (name, kind), _ in constants)
            parts.append(f"(SELECT {listed}) AS c")
        self.sql = f"SELECT * FROM {', '.join(parts)}"
        self.params = [values for _, values in arrays] + [values[0] for _, values in constants]


def _fences(changes: Sequence[Change]) -> dict[tuple[str, str], list[Any]]:
    return {
        ("id", "uuid"): [change.task_id for change in changes],
        ("lease", "bigint"): [change.lease for change in changes],
        ("worker_id", "bigint"): [change.worker_id for change in changes],
        ("sources", "text"): [_SOURCES[change.transition.name] for change in changes],
        ("yields", "bool"): [change.transition.yields for change in changes],
        ("label", "text"): [change.label for change in changes],
    }


_SOURCES = {t.name: ",".join(t.stored_sources) for t in TRANSITIONS}


def _columns(changes: Sequence[Change]) -> Table:
    """The changes as ``_WRITE`` reads them."""
    errors = [change.error for change in changes]
    now = time.monotonic()
    return Table(
        {
            **_fences(changes),
            ("target", "text"): [change.target.value for change in changes],
            ("stage", "int"): [int(change.stage) for change in changes],
            ("delay", "float8"): _floats(change.delay for change in changes),
            ("result", "jsonb"): [change.result for change in changes],
            ("error_type", "text"): [error.type if error else "" for error in errors],
            ("error_message", "text"): [error.message if error else "" for error in errors],
            ("traceback", "text"): [error.traceback if error else "" for error in errors],
            ("reason", "text"): [change.reason[:255] for change in changes],
            ("actor", "text"): [change.actor[:255] for change in changes],
            ("began_ago", "float8"): [change.began_ago(now) for change in changes],
            ("began_reason", "text"): [change.began_reason for change in changes],
            ("began_lease", "bigint"): [change.began_lease for change in changes],
            ("happened_ago", "float8"): [change.happened_ago(now) for change in changes],
            ("bump", "int"): [change.bump for change in changes],
            ("attempt", "int"): [change.attempt for change in changes],
            ("losses", "int"): [change.losses for change in changes],
            ("crashes", "int"): [change.crashes for change in changes],
            ("afresh", "bool"): [change.afresh for change in changes],
            ("max_attempts", "int"): [change.max_attempts for change in changes],
        }
    )
