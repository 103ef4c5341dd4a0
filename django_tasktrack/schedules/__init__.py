"""When tasks are wanted by themselves: ``crontab()``, ``every()``, ``once()``, for ``@task`` and settings.

@task(schedule=crontab(hour=7, minute=30, day_of_week="mon-fri"))

It may be imported by the settings, and so imports no models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from ..timings import Timing, crontab, every, once

if TYPE_CHECKING:
    from ..models import ScheduleSlot

#: Another word for the same thing.
at = once


def slot_of(task_id: UUID | str) -> ScheduleSlot | None:
    """Which slot of which schedule a task was enqueued for; None: for none.

    Of several slots that found the task still there (``unique_key``), the first.

    Args:
        task_id: for example ``self.request.id`` in a bound task.
    """
    # Models, which settings cannot import.
    from ..models import ScheduleSlot
    from ..vendors import task_database

    slots = ScheduleSlot.objects.using(task_database()).filter(task_id=task_id)
    return slots.order_by("pk").first()


__all__ = ["Timing", "at", "crontab", "every", "once", "slot_of"]
