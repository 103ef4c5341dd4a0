"""Why a task waits for a limit: its queue is paused, its rate is reached, or enough of its key run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from ..conf import config
from ..models import Queue, TaskLimits, TrackedTask
from ..rates import Bucket, per_second
from ..states import Stage
from ..vendors import Vendor
from ..words import clock, span
from .findings import Finding, good, listed, note, warning

#: So many of the tasks that run under a key are named.
_SHOWN = 3


def of_pause(vendor: Vendor, task: TrackedTask) -> Iterator[Finding]:
    """Nobody takes anything from its queue."""
    row = Queue.objects.using(vendor.using).filter(name=task.queue).first()
    if row is not None and row.paused_at is not None:
        yield paused(row.paused_at, row.paused_by, row.name)


def paused(at: datetime, by: str, queue: str, waiting: str = "") -> Finding:
    """A queue is paused, with so many tasks in it."""
    who = f" by {by}" if by else ""
    told = f" Waiting there: {waiting}." if waiting else ""
    return warning(
        "queue_paused",
        f"Queue {queue!r} was paused at {clock(at)}{who}: no worker takes anything from it.{told}",
        f"manage.py tasktrack resume {queue}",
    )


def of_gated(vendor: Vendor, task: TrackedTask, now: datetime) -> Iterator[Finding]:
    """It waits for a token of its rate, or for a place of its key."""
    found = [*_of_rate(vendor, task, now), *_of_key(vendor, task)]
    yield from found
    if not found:
        within = span(timedelta(seconds=config().POLL_MAX))
        yield good(
            "limit_free", f"No limit holds it any more; a worker takes it within {within} or so."
        )


def _of_rate(vendor: Vendor, task: TrackedTask, now: datetime) -> Iterator[Finding]:
    row = TaskLimits.objects.using(vendor.using).filter(name=task.name).first()
    if row is None or not row.rate:
        return
    age = None if row.refilled_at is None else (now - row.refilled_at).total_seconds()
    next_in = span(timedelta(seconds=Bucket(per_second(row.rate), row.tokens, age).next_in))
    gated = TrackedTask.objects.using(vendor.using).filter(stage=Stage.GATED, name=task.name)
    before = gated.filter(priority__gt=task.priority).count()
    before += gated.filter(priority=task.priority, pk__lt=task.pk).count()
    others = f", behind {before:,} others" if before else ""
    set_by = f", set by {row.set_by}" if row.rate_limit is not None and row.set_by else ""
    yield note(
        "rate_limited",
        f"Tasks named {task.name!r} start at {row.rate} over all workers{set_by}: the next one may in "
        f"{next_in}{others}.",
        f"manage.py tasktrack rate-limit {task.name} RATE sets another one, 0 none.",
    )


def _of_key(vendor: Vendor, task: TrackedTask) -> Iterator[Finding]:
    if task.concurrency_key is None or task.concurrency_limit is None:
        return
    same = TrackedTask.objects.using(vendor.using).filter(concurrency_key=task.concurrency_key)
    running = same.filter(stage=Stage.CLAIMED).order_by("pk").values_list("pk", "name")
    if running.count() < task.concurrency_limit:
        return
    names = [f"{pk} ({name})" for pk, name in running]
    yield note(
        "key_limited",
        f"Of the tasks with concurrency key {task.concurrency_key!r} {task.concurrency_limit} run at once; "
        f"these do: {listed(names, _SHOWN)}.",
    )
