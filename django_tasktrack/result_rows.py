"""What results read: the rows of tasks, and what is known of ids without one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from uuid import UUID

from .ids import is_ours, parse_id
from .models import Progress, PurgeHorizon, TrackedTask
from .states import EXPIRED, UNKNOWN
from .vendors import task_database

if TYPE_CHECKING:
    from .querysets import TaskQuerySet


def result_rows() -> TaskQuerySet:
    """Tasks with all that a result tells of them."""
    return TrackedTask.objects.using(task_database()).select_related("worker", "progress")


def progress_of(row: TrackedTask) -> Progress | None:
    """What it has told of its progress, if anything."""
    return getattr(row, "progress", None)


def missing_states(ids: Iterable[UUID | str]) -> Mapping[str, str]:
    """For ids without a row, whether they were ours and have been purged: EXPIRED, else UNKNOWN."""
    horizon = PurgeHorizon.objects.using(task_database()).first()

    def of(task_id: UUID | None) -> str:
        purged = task_id and horizon and task_id <= horizon.task_id and is_ours(task_id)
        return EXPIRED if purged else UNKNOWN

    return {str(given): of(parse_id(given)) for given in ids}
