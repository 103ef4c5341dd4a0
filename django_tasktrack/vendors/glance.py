"""PostgreSQL: all that an idle worker has to ask, in one statement."""

from __future__ import annotations

from ..models import Goal, TrackedTask, Worker
from ..states import Stage

_TASK, _WORKER, _GOAL = (model._meta.db_table for model in (TrackedTask, Worker, Goal))
_ALIVE = "stopped_at IS NULL AND lost_at IS NULL"
_UNMET = ", ".join(f"'{state}'" for state in Goal.UNMET)

# Each in the order of its index: asked for any row, the planner may read the table until it finds one.
# The clock stands in a subquery, so that it is asked once and can be an index condition.
GLANCE = f"""
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
SELECT
    (SELECT id FROM {_TASK}
     WHERE stage = {Stage.DUE:d} AND {{mine}} AND name = ANY (%(names)s)
       AND (expires_at IS NULL OR expires_at > (SELECT now FROM clock))
     ORDER BY queue, priority DESC, id LIMIT 1) IS NOT NULL,
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
    EXISTS (SELECT FROM (SELECT name FROM {_TASK} WHERE stage = {Stage.DUE:d} AND {{mine}}
                         ORDER BY queue, priority DESC, id LIMIT 1000) AS head
            WHERE name <> ALL (%(names)s)),
    (SELECT id FROM {_TASK} WHERE stage = {Stage.HELD:d} ORDER BY name LIMIT 1) IS NOT NULL,
    EXISTS (SELECT FROM {_GOAL}
            WHERE state IN ({_UNMET}) AND deadline < (SELECT now FROM clock))
    OR EXISTS (SELECT FROM {_GOAL} WHERE state = '{Goal.State.OPEN}'
               AND next_attempt_at <= (SELECT now FROM clock))
"""
