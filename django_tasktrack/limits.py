"""What limits tasks at run time: rates and time limits by a task's name, and paused queues.

A limit stands in a table, so it counts for all workers and outlives them. It reaches each within about a second;
where workers can be notified, at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import F

from . import checked, registry
from .conf import config
from .exceptions import InvalidTask
from .models import Queue, TaskLimits
from .rates import per_second, rate
from .transitions.door import line, notify_after_commit, vendor_of
from .vendors import Vendor

#: What workers are told that wait for notifications.
TOPIC = "limits"


@dataclass(frozen=True, slots=True)
class Limits:
    """All limits at one moment.

    Attributes:
        version: another number after each change.
        rates: task name → starts a second.
        times: task name → its soft and its hard time limit, where they were set at run time; None: none.
        paused: queues.
    """

    version: int = 0
    rates: Mapping[str, float] = field(default_factory=dict)
    times: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    paused: frozenset[str] = frozenset()


def read(vendor: Vendor) -> Limits:
    """The limits as they are now."""
    tasks = list(TaskLimits.objects.using(vendor.using))
    queues = list(Queue.objects.using(vendor.using))
    return Limits(
        version=sum(row.version for row in tasks) + sum(row.version for row in queues),
        rates={row.name: per_second(row.rate) for row in tasks if row.rate},
        times={row.name: (row.soft_time_limit, row.time_limit) for row in tasks if row.timed},
        paused=frozenset(row.name for row in queues if row.paused_at),
    )


def of_task(name: str, *, using: str | None = None) -> TaskLimits | None:
    """What limits the tasks of this name; None: nothing was ever said."""
    return TaskLimits.objects.using(vendor_of(using).using).filter(name=name).first()


def declare(vendor: Vendor) -> int:
    """Write down the rates that the tasks of this process declare, for all workers; returns how many have
    changed. Of workers that differ, the one that was started last is followed."""
    names = registry.names()
    known = {row.name: row for row in TaskLimits.objects.using(vendor.using)}
    changed = [name for name in names if _declared(name) != _of(known.get(name))]
    for name in changed:
        _change(vendor, name, declared=_declared(name))
    return len(changed)


def _declared(name: str) -> str:
    own = registry.get(name).rate_limit
    return rate(config().DEFAULT_RATE_LIMIT, "DEFAULT_RATE_LIMIT") if own is None else own


def _of(row: TaskLimits | None) -> str:
    return row.declared if row else ""


# Tasks


def set_rate_limit(
    task: str, rate_limit: object, *, actor: str = "", using: str | None = None
) -> TaskLimits:
    """Let no more tasks of this name start than so many in a time, over all workers.

    It counts until another one is set, whatever the task declares.

    Args:
        task: its name.
        rate_limit: "10/m", "2/h", "100/s" or a number for so many a second; 0 or None for no limit.
        actor: who wants it.
        using: database alias.

    Raises:
        InvalidTask: it is no rate, or no name.
    """
    return _set(task, actor, using, rate_limit=rate(rate_limit))


def unset_rate_limit(task: str, *, actor: str = "", using: str | None = None) -> TaskLimits:
    """Let the rate count again that the task declares."""
    return _set(task, actor, using, rate_limit=None)


def set_time_limit(
    task: str,
    *,
    soft: float | None = None,
    hard: float | None = None,
    actor: str = "",
    using: str | None = None,
) -> TaskLimits:
    """Limit the time of tasks of this name, from the next claim on, whatever they were enqueued with.

    Args:
        task: its name.
        soft: seconds after which ``SoftTimeLimitExceeded`` is raised in it; None: no limit of its own.
        hard: seconds after which its process is killed; None: no limit of its own.
        actor: who wants it.
        using: database alias.

    Raises:
        InvalidTask: one is no positive duration, or the soft one is the longer one.
    """
    soft, hard = checked.time_limit(soft, "soft"), checked.time_limit(hard, "hard")
    if soft is not None and hard is not None and soft >= hard:
        raise InvalidTask(
            f"The soft limit of {soft:g} s is not shorter than the hard one of {hard:g} s.",
            hint="Give the soft one first: it comes before the process is killed.",
        )
    return _set(task, actor, using, timed=True, soft_time_limit=soft, time_limit=hard)


def unset_time_limit(task: str, *, actor: str = "", using: str | None = None) -> TaskLimits:
    """Let the time limits count again that tasks were enqueued with."""
    return _set(task, actor, using, timed=False, soft_time_limit=None, time_limit=None)


def _set(task: str, actor: str, using: str | None, **values: Any) -> TaskLimits:
    vendor = vendor_of(using)
    set_by = {"set_at": vendor.now(), "set_by": line(actor)}
    return _change(vendor, checked.task_name(task), **values, **set_by)


def _change(vendor: Vendor, name: str, **values: Any) -> TaskLimits:
    rows = TaskLimits.objects.using(vendor.using)
    with transaction.atomic(using=vendor.using):
        rows.get_or_create(name=name)
        rows.filter(name=name).update(**values, version=F("version") + 1)
        notify_after_commit(vendor, TOPIC)
        return rows.get(name=name)


# Queues


def pause_queue(queue: str, *, actor: str = "", using: str | None = None) -> bool:
    """Let workers take nothing more from a queue; what runs goes on.

    A claim that begins after this is committed takes nothing from it.

    Args:
        queue: its name; there may be no task of it yet.
        actor: who wants it.
        using: database alias.

    Returns:
        False where it was paused already.

    Raises:
        InvalidTask: it is no name of a queue.
    """
    vendor = vendor_of(using)
    rows = Queue.objects.using(vendor.using)
    with transaction.atomic(using=vendor.using):
        rows.get_or_create(name=checked.queue_name(queue))
        paused = rows.filter(name=queue, paused_at__isnull=True).update(
            paused_at=vendor.now(), paused_by=line(actor), version=F("version") + 1
        )
        notify_after_commit(vendor, TOPIC)
    return bool(paused)


def resume_queue(queue: str, *, using: str | None = None) -> bool:
    """Let workers take from a queue again. Returns False where it was not paused."""
    vendor = vendor_of(using)
    rows = Queue.objects.using(vendor.using).filter(name=queue, paused_at__isnull=False)
    resumed = rows.update(paused_at=None, paused_by="", version=F("version") + 1)
    if resumed:
        notify_after_commit(vendor, TOPIC)
    return bool(resumed)


def paused_queues(names: Iterable[str] | None = None, *, using: str | None = None) -> list[Queue]:
    """The queues that are paused, by name; of these names, if any are given."""
    rows = Queue.objects.using(vendor_of(using).using).filter(paused_at__isnull=False)
    return list((rows if names is None else rows.filter(name__in=list(names))).order_by("name"))
