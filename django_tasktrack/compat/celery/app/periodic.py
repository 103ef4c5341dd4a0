"""``app.add_periodic_task``: an entry of ``beat_schedule``, made of a signature."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from ....canvas import signature as make_signature
from ....exceptions import InvalidSchedule


def add(  # noqa: PLR0917  as Celery calls it
    schedules: MutableMapping[str, Any],
    schedule: Any,
    signature: Any,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    name: str | None = None,
    **options: Any,
) -> str:
    """Add a schedule to others; its name.

    Args:
        schedules: those that there are, by their names.
        schedule: seconds, a ``timedelta``, ``crontab(...)``.
        signature: of the task, or the task.
        args, kwargs: more arguments.
        name: of the schedule; by default it is what the call looks like.
        options: of the calls.

    Raises:
        InvalidSchedule: it is no call of a single task; or another schedule has the name already.
    """
    one = make_signature(signature).clone(args, kwargs)
    if one.kind:
        raise InvalidSchedule(
            f"{one!r} is no call of a single task.",
            hint="Schedule a task that enqueues it.",
        )
    entry = {
        "task": one.task,
        "schedule": schedule,
        "args": one.args,
        "kwargs": one.kwargs,
        "options": {**one.options, **options},
    }
    key = name or repr(one)
    if schedules.setdefault(key, entry) != entry:
        raise InvalidSchedule(
            f"Two schedules are named {key!r}.", hint="Give one of them another name=."
        )
    return key
