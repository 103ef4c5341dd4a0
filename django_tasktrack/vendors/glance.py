"""PostgreSQL: looks for what there is to do, in one statement each."""

from __future__ import annotations

from collections.abc import Sequence

from ..models import Goal, Schedule, TrackedTask, Worker
from ..states import Stage
from . import gates

_TASK, _WORKER, _GOAL, _SCHEDULE = (
    model._meta.db_table for model in (TrackedTask, Worker, Goal, Schedule)
)
_ALIVE = "stopped_at IS NULL AND lost_at IS NULL"
_UNMET = ", ".join(f"'{state}'" for state in Goal.UNMET)

# Queues that have due tasks, found by skipping through the index instead of reading it; paused ones are left
# out in the statement that claims, so that one that begins after the pause was committed takes nothing.
_FOUND = f"""
WITH RECURSIVE found(queue) AS (
    (SELECT t.queue FROM {_TASK} t WHERE t.stage = {Stage.DUE:d} ORDER BY t.queue LIMIT 1)
    UNION ALL
    SELECT (SELECT t.queue FROM {_TASK} t
            WHERE t.stage = {Stage.DUE:d} AND t.queue > q.queue ORDER BY t.queue LIMIT 1)
    FROM found q WHERE q.queue IS NOT NULL
)"""
_OPEN = gates.OPEN.format(queue="q.queue")
_QUEUES = f"{_FOUND}, queues AS (SELECT q.queue FROM found q WHERE {_OPEN})"
# All but some: they are stepped over there as well, and left out of what comes of it. A condition in the steps
# themselves would read whatever is due in such a queue.
_OTHER_QUEUES = f"""{_FOUND}, queues AS (
    SELECT q.queue FROM found q WHERE q.queue <> ALL (%(excluded)s) AND {_OPEN}
)"""
_NAMED_QUEUES = f"""
WITH queues AS (SELECT q.queue FROM unnest(%(queues)s::text[]) AS q(queue) WHERE {_OPEN})"""

# Each queue has its own head: one that is full would hide the others.
_HEADS = f"""queues CROSS JOIN LATERAL (
    SELECT t.id, t.name FROM {_TASK} t WHERE t.stage = {Stage.DUE:d} AND t.queue = queues.queue
    ORDER BY t.priority DESC, t.id LIMIT %(limit)s
) AS head WHERE head.name"""
_UNKNOWN = f"{_HEADS} <> ALL (%(names)s)"
_LIMITED = f"{_HEADS} = ANY (%(limited)s)"

#: Due tasks of other names, among the first of each queue, and those of limited names.
UNKNOWN = f" SELECT head.id, head.name FROM {_UNKNOWN}"
LIMITED = f" SELECT head.id FROM {_LIMITED}"

# Each in the order of its index: asked for any row, the planner may read the table until it finds one.
# The clock stands in a subquery, so that it is asked once and can be an index condition.
GLANCE = f"""
, clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
SELECT
    EXISTS (SELECT FROM queues CROSS JOIN LATERAL (
        SELECT FROM {_TASK} t
        WHERE t.stage = {Stage.DUE:d} AND t.queue = queues.queue AND t.name = ANY (%(free)s)
          AND t.concurrency_key IS NULL
          AND (t.expires_at IS NULL OR t.expires_at > (SELECT now FROM clock))
        ORDER BY t.priority DESC, t.id LIMIT 1
    ) AS first),
    (SELECT extract(epoch FROM min(run_after) - (SELECT now FROM clock))::float8
     FROM {_TASK} WHERE stage = {Stage.SCHEDULED:d}),
    EXISTS (SELECT FROM {_TASK} WHERE stage = {Stage.CLAIMED:d} AND worker_id = %(worker)s),
    EXISTS (SELECT FROM {_WORKER} WHERE {_ALIVE}
            AND heartbeat_at < (SELECT now FROM clock) - make_interval(secs => %(lease)s))
    OR EXISTS (SELECT FROM {_TASK} t WHERE t.stage = {Stage.CLAIMED:d} AND NOT EXISTS (
                   SELECT FROM {_WORKER} w WHERE w.id = t.worker_id AND {_ALIVE})),
    (SELECT id FROM {_TASK}
     WHERE stage < {Stage.CLAIMED:d} AND expires_at <= (SELECT now FROM clock)
     ORDER BY expires_at LIMIT 1) IS NOT NULL,
    EXISTS (SELECT FROM {_UNKNOWN}),
    (SELECT id FROM {_TASK} WHERE stage = {Stage.HELD:d} ORDER BY name LIMIT 1) IS NOT NULL,
    EXISTS (SELECT FROM {_GOAL}
            WHERE state IN ({_UNMET}) AND deadline < (SELECT now FROM clock))
    OR EXISTS (SELECT FROM {_GOAL} WHERE state = '{Goal.State.OPEN}'
               AND next_attempt_at <= (SELECT now FROM clock)),
    (SELECT extract(epoch FROM min(next_at) - (SELECT now FROM clock))::float8 FROM {_SCHEDULE}
     WHERE next_at IS NOT NULL AND enabled AND withdrawn_at IS NULL AND task = ANY (%(names)s)),
    {gates.LIMITS},
    {gates.GATED},
    {gates.KEYED} OR cardinality(%(limited)s::text[]) > 0 AND EXISTS (SELECT FROM {_LIMITED})
"""


def queues_of(queues: Sequence[str], excluded: Sequence[str] = ()) -> str:
    """The beginning of a statement that looks at these queues; at all that have due tasks, if none is named.

    Args:
        queues: their names.
        excluded: names of those that are left out of all.
    """
    if queues:
        return _NAMED_QUEUES
    return _OTHER_QUEUES if excluded else _QUEUES
