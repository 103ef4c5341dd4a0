"""What waits and runs in each queue.

One look reads what is unfinished, stage by stage, by the partial indexes. Where a stage holds more than that,
due tasks are looked at queue by queue, and the counts of the others become lower bounds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Count, Min

from ..models import Queue, TrackedTask
from ..querysets import TaskQuerySet
from ..states import Stage
from ..vendors import Vendor

#: Rows that one look reads of a stage, or of a queue.
LOOK = 5_000
#: Queues that are looked at one by one.
MOST_QUEUES = 200


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """One queue at one moment.

    Attributes:
        name: of the queue.
        due, scheduled, held, claimed, gated: tasks in each stage.
        waited: how long the oldest of those that are due has waited.
        at_least: which of the counts are lower bounds.
        paused_at, paused_by: since when nobody takes anything from it, and who wanted that.
    """

    name: str
    due: int
    scheduled: int
    held: int
    claimed: int
    gated: int
    waited: timedelta | None
    at_least: frozenset[str]
    paused_at: datetime | None = None
    paused_by: str = ""


class _Look(NamedTuple):
    counts: Counter[str]
    oldest: dict[str, datetime]
    more: bool


def queue_figures(vendor: Vendor, now: datetime) -> list[QueueFigures]:
    """The queues in which something is unfinished, or that are paused, by name.

    Args:
        vendor: of the database that holds the tasks.
        now: by the database's clock.
    """
    tasks = TrackedTask.objects.using(vendor.using)
    looks = {
        stage: _look(tasks.filter(stage=stage).order_by(*order)) for stage, order in _ORDERS.items()
    }
    if looks[Stage.DUE].more:
        looks[Stage.DUE] = _queue_by_queue(tasks.due())
    paused = {
        row.name: row for row in Queue.objects.using(vendor.using).filter(paused_at__isnull=False)
    }
    names = sorted({name for look in looks.values() for name in look.counts} | paused.keys())
    return [_figures(name, looks, now, paused.get(name)) for name in names]


# As their indexes are ordered: asked for any rows, the planner may read the table.
_ORDERS = {
    Stage.DUE: ("queue", "-priority", "pk"),
    Stage.SCHEDULED: ("run_after",),
    Stage.GATED: ("name", "-priority", "pk"),
    Stage.HELD: ("name",),
    Stage.CLAIMED: ("worker_id",),
}
_STAGES = {
    Stage.DUE: "due",
    Stage.SCHEDULED: "scheduled",
    Stage.GATED: "gated",
    Stage.HELD: "held",
    Stage.CLAIMED: "claimed",
}


def _figures(
    name: str, looks: dict[Stage, _Look], now: datetime, paused: Queue | None
) -> QueueFigures:
    oldest = looks[Stage.DUE].oldest.get(name)
    counts = {word: looks[stage].counts[name] for stage, word in _STAGES.items()}
    capped = {word for stage, word in _STAGES.items() if looks[stage].more and stage != Stage.DUE}
    if counts["due"] >= LOOK:
        capped.add("due")
    waited = None if oldest is None else max(timedelta(0), now - oldest)
    return QueueFigures(
        name,
        **counts,
        waited=waited,
        at_least=frozenset(capped),
        paused_at=paused.paused_at if paused else None,
        paused_by=paused.paused_by if paused else "",
    )


def _look(tasks: TaskQuerySet) -> _Look:
    """The tasks of one stage by queue, as far as one look reaches."""
    rows = tasks.values_list("queue", "run_after")[: LOOK + 1]
    counts: Counter[str] = Counter()
    oldest: dict[str, datetime] = {}
    for queue, run_after in rows:
        counts[queue] += 1
        oldest[queue] = min(run_after, oldest.get(queue, run_after))
    return _Look(counts, oldest, sum(counts.values()) > LOOK)


def _queue_by_queue(due: TaskQuerySet) -> _Look:
    """The head of each queue: one that is full would hide the others."""
    counts: Counter[str] = Counter()
    oldest: dict[str, datetime] = {}
    for queue in _queues(due):
        head: dict[str, Any] = due.for_queue(queue).in_claim_order()[:LOOK].aggregate(
            n=Count("pk"), oldest=Min("run_after")
        )  # fmt: skip
        if head["n"]:
            counts[queue], oldest[queue] = head["n"], head["oldest"]
    return _Look(counts, oldest, True)


def _queues(due: TaskQuerySet) -> Iterator[str]:
    """The queues that have due tasks, skipping through the index instead of reading it."""
    last = ""
    for _ in range(MOST_QUEUES):
        following = due.filter(queue__gt=last).order_by("queue").values_list("queue", flat=True)
        found = following.first()
        if found is None:
            return
        last = found
        yield found


def ahead_in_queue(vendor: Vendor, task: TrackedTask) -> tuple[int, bool]:
    """How many due tasks of its queue are claimed before this one, and whether there are even more."""
    due = TrackedTask.objects.using(vendor.using).due().for_queue(task.queue)
    before = due.filter(priority__gt=task.priority).order_by("-priority", "pk")[: LOOK + 1].count()
    if before <= LOOK:
        older = due.filter(priority=task.priority, pk__lt=task.pk).order_by("-priority", "pk")
        before += older[: LOOK + 1 - before].count()
    return min(before, LOOK), before > LOOK
