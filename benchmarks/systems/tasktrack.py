"""django-tasktrack: full history, results, fenced writes; default settings."""

from __future__ import annotations

import time
from typing import Any, NamedTuple
from uuid import UUID

from benchmarks.project import tasks
from benchmarks.systems import sql
from benchmarks.systems.django_base import DjangoClient
from django_tasktrack import AsyncResult, Task, enqueue_many
from django_tasktrack.models import StateChange, TrackedTask
from django_tasktrack.states import Stage

BODIES: dict[str, Task[..., Any]] = {
    "noop": tasks.noop,
    "anoop": tasks.anoop,
    "touch": tasks.touch,
}
_LIVE = (Stage.DUE, Stage.HELD, Stage.CLAIMED)


class _Found(NamedTuple):
    """What a look remembers of a task."""

    task_id: UUID
    queue: str = "default"
    priority: int = 0


class TasktrackClient(DjangoClient):
    #: Where a worker would look; older revisions of the package have none.
    _frontier: Any = None
    _newest: AsyncResult

    def enqueue(self, number: int, body: str) -> object:
        self._newest = BODIES[body].delay(number)
        return self._newest

    def bulk(self, numbers: list[int], body: str) -> None:
        enqueue_many(BODIES[body], [((number,), {}) for number in numbers])

    def remaining(self) -> int:
        # One count a stage: each has an index of its own.
        return sum(TrackedTask.objects.filter(stage=stage).count() for stage in _LIVE)

    def is_finished(self, handle: AsyncResult) -> bool:
        return handle.ready()

    def look_up_due(self, limit: int = 10) -> int:
        """What a worker's claim does before it locks: find the next due tasks. Returns how many there are."""
        if self._frontier is None:
            from django_tasktrack.engines.frontier import Frontier

            self._frontier = Frontier()
        began = time.monotonic()
        behind = self._frontier.start(began)
        due = TrackedTask.objects.due().for_queue("default").in_claim_order()
        if behind:
            due = due.filter(pk__gte=behind.after, priority__in=[lane[1] for lane in behind.lanes])
        ids = list(due.values_list("pk", flat=True)[:limit])
        found = [_Found(task_id) for task_id in ids or [UUID(self._newest.id)]]
        seconds = time.monotonic() - began
        self._frontier.learn(found, more=len(ids) == limit, behind=behind, seconds=seconds)
        return len(ids)

    def fill(self, finished: int, future: int) -> None:
        self.enqueue(0, "noop")
        table = TrackedTask._meta.db_table
        with sql.connect() as connection:
            sql.multiply(connection, table, future, _SCHEDULED)
            sql.multiply(connection, table, finished, _FINISHED)
            connection.execute(_HISTORY)
            connection.execute(f"DELETE FROM {table} WHERE stage = {Stage.DUE:d}")


_PASSED = "now() - n * interval '1 second'"
_FINISHED = {
    "id": "gen_random_uuid()",
    "state": "'SUCCESS'",
    "stage": f"{Stage.DONE:d}",
    "seq": "3",
    "created_at": _PASSED,
    "started_at": _PASSED,
    "changed_at": _PASSED,
    "finished_at": _PASSED,
}
_SCHEDULED = {
    "id": "gen_random_uuid()",
    "stage": f"{Stage.SCHEDULED:d}",
    "run_after": "now() + interval '1 day' + n * interval '1 second'",
}


def _history() -> str:
    """The history of copies: as many rows as ``seq`` says, each like the original's first."""
    history = StateChange._meta.db_table
    columns = [str(field.column) for field in StateChange._meta.concrete_fields]
    own = {"task_id": "task.id", "seq": "step.seq"}
    chosen = ", ".join(own.get(column, f"first.{column}") for column in columns)
    return (
        f"INSERT INTO {history} ({', '.join(columns)}) SELECT {chosen}"
        f" FROM {TrackedTask._meta.db_table} task"
        f" CROSS JOIN (SELECT * FROM {history} LIMIT 1) first"
        f" CROSS JOIN generate_series(1, 3) step(seq)"
        f" WHERE step.seq <= task.seq AND task.id <> first.task_id"
    )


_HISTORY = _history()
CLIENT = TasktrackClient
