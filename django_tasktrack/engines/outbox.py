"""Changes that wait to be written: what is still to say of each running task, in order."""

from __future__ import annotations

import math
import time
from uuid import UUID

from .. import states
from ..changes import Change

#: As many tasks are written by one statement at the most.
FLUSH_LIMIT = 1000


class Outbox:
    """One queue of changes a task. A write takes the first of each; the rest comes with the next."""

    def __init__(self) -> None:
        self._queues: dict[UUID, list[Change]] = {}
        self._put_off: dict[UUID, float] = {}

    def __len__(self) -> int:
        return len(self._queues)

    def __contains__(self, task_id: UUID) -> bool:
        return task_id in self._queues

    def add(self, change: Change) -> None:
        """Append a change; a newer label takes the place of one that was not written yet."""
        queue = self._queues.setdefault(change.task_id, [])
        if queue and queue[-1].transition is change.transition is states.RELABEL:
            queue.pop()
        queue.append(change)

    def batch(self) -> list[Change]:
        """The changes to write next, at most one a task."""
        now = time.monotonic()
        self._put_off = {task_id: at for task_id, at in self._put_off.items() if at > now}
        heads = (queue[0] for queue in self._queues.values() if not self._is_put_off(queue[0]))
        return [change for change, _ in zip(heads, range(FLUSH_LIMIT), strict=False)]

    def _is_put_off(self, change: Change) -> bool:
        return change.task_id in self._put_off

    def due_at(self) -> float:
        """When there is something to write, on the monotonic clock."""
        if len(self._queues) > len(self._put_off):
            return 0.0
        return min(self._put_off.values(), default=math.inf)

    def put_off(self, task_id: UUID, seconds: float) -> None:
        """Leave this task out of the batches for a while."""
        self._put_off[task_id] = time.monotonic() + seconds

    def settled(self, task_id: UUID) -> Change:
        """The first change of this task is in the database, or will never be; returns it."""
        queue = self._queues[task_id]
        if len(queue) == 1:
            del self._queues[task_id]
        return queue.pop(0)

    def clear(self) -> None:
        self._queues.clear()
        self._put_off.clear()
