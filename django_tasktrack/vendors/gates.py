"""What stands on the limits' side of the tables: how much there is of it, and which names and keys wait."""

from __future__ import annotations

from ..models import Queue, TaskLimits, TrackedTask
from ..states import Stage

_TASK, _LIMITS, _QUEUE = (model._meta.db_table for model in (TrackedTask, TaskLimits, Queue))

#: For any vendor: the sum of versions, and whether tasks wait for a limit; in the order of an index each.
LIMITS = f"""(SELECT COALESCE(SUM(version), 0) FROM {_LIMITS})
    + (SELECT COALESCE(SUM(version), 0) FROM {_QUEUE})"""
GATED = f"""(SELECT id FROM {_TASK} WHERE stage = {Stage.GATED:d}
     ORDER BY name, priority DESC, id LIMIT 1) IS NOT NULL"""
#: Due tasks with a concurrency key: no claim takes them before they are gated.
KEYED = f"""(SELECT id FROM {_TASK} WHERE stage = {Stage.DUE:d} AND concurrency_key IS NOT NULL
     ORDER BY concurrency_key, priority DESC, id LIMIT 1) IS NOT NULL"""
#: A condition on ``queue``: nobody has paused it.
OPEN = f"NOT EXISTS (SELECT 1 FROM {_QUEUE} p WHERE p.name = {{queue}} AND p.paused_at IS NOT NULL)"


def walk(column: str) -> str:
    """The values of a column that gated tasks have, behind one, skipping through its index: what waits under one
    key may be hundreds of thousands. Parameters: the value, and how many at most."""
    following = f"""(SELECT t.{column} FROM {_TASK} t
        WHERE t.stage = {Stage.GATED:d} AND t.{column} > {{}} ORDER BY t.{column} LIMIT 1)"""
    return f"""
WITH RECURSIVE found (value, number) AS (
    SELECT {following.format("%s")}, 1
    UNION ALL
    SELECT {following.format("found.value")}, found.number + 1
    FROM found WHERE found.value IS NOT NULL AND found.number < %s
)
SELECT value FROM found WHERE value IS NOT NULL
"""
