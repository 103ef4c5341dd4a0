"""What an id says of itself: whether it was issued here, how old it is, and what became of its task.

For ids that come from outside, from a page or another system, before anything is done for them.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from uuid import UUID

from . import checked
from .conf import config
from .ids import is_ours, milliseconds_of, parse_id
from .models import TrackedTask
from .result import AsyncResult
from .states import EXPIRED, UNKNOWN
from .vendors import task_database

#: What ``verify_task_status`` says of an id that has no row.
EXPIRED_OR_UNKNOWN = "EXPIRED_OR_UNKNOWN"


def verify_task_status(task_id: UUID | str) -> str:
    """The state of a task, as ``AsyncResult.state`` tells it; "EXPIRED_OR_UNKNOWN" where there is none to tell.

    ``AsyncResult.state`` tells the two apart: EXPIRED for one that was purged, UNKNOWN for one that never was.
    """
    state = AsyncResult(task_id).state
    return EXPIRED_OR_UNKNOWN if state in (EXPIRED, UNKNOWN) else state


def is_task_id_valid(task_id: UUID | str) -> bool:
    """Whether an id is one of a task of this project: it was issued here, or a task has it.

    An id that was issued here carries a checksum with a key made of ``SECRET_KEY`` (or one of its fallbacks), so
    that it is known without its row; one that a caller chose (``task_id=``) is known while the task has a row.

    It is proven that the id was not mistyped, invented or taken from another system; an invented one passes once in 16
    million. Nothing else: not that its transaction was committed, nor that whoever shows it may see the task. Ids are
    no secrets, and anybody who has seen one can show it again.
    """
    found = parse_id(task_id)
    return found is not None and (is_ours(found) or _created_at(found) is not None)


def is_recent_task(
    task_id: UUID | str, within: float | timedelta | None = None, *, now: datetime | None = None
) -> bool:
    """Whether an id is valid, and its task was enqueued no longer ago than this.

    The age is that of the row; where there is none (any more), that of the id, which has the clock of the process
    that enqueued.

    Args:
        task_id: any id.
        within: seconds or a ``timedelta``; by default ``TASKTRACK["RESULT_EXPIRES"]``, so that the answer says
            whether a result can still be expected. Where that is None, every valid id is recent.
        now: the time to count from; by default the current one.

    Raises:
        InvalidTask: ``within`` is no duration.
    """
    longest = config().RESULT_EXPIRES if within is None else checked.seconds(within, "within")
    found = parse_id(task_id)
    if found is None:
        return False
    enqueued = _enqueued(found)
    if enqueued is None or longest is None:
        return enqueued is not None
    return (time.time() if now is None else now.timestamp()) - enqueued <= longest


def _enqueued(task_id: UUID) -> float | None:
    """When a task was enqueued, in seconds since 1970; None for an id that is not valid."""
    created_at = _created_at(task_id)
    if created_at is not None:
        return created_at.timestamp()
    return milliseconds_of(task_id) / 1000 if is_ours(task_id) else None


def _created_at(task_id: UUID) -> datetime | None:
    rows = TrackedTask.objects.using(task_database()).filter(pk=task_id)
    return rows.values_list("created_at", flat=True).first()
