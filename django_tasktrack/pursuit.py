"""How an unmet goal is pursued: a task for it, and another one when that has ended in vain."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef

from . import goal_writes, transitions
from .changes import NewTask
from .conf import config
from .exceptions import TasktrackError
from .ids import new_id
from .models import Goal, GoalAttempt, TrackedTask
from .payloads import encode, printable
from .states import UNFINISHED, State
from .vendors import Vendor

_GONE = "its task is gone"

logger = logging.getLogger("django_tasktrack.worker")


def begin(vendor: Vendor, goal: Goal, now: datetime) -> NewTask:
    """Enqueue the goal's next task. The caller's transaction holds the goal's row."""
    task = NewTask(
        task_id=new_id(),
        name=goal.task_name,
        args=encode(goal.task_args, "args"),
        kwargs=encode(goal.task_kwargs, "kwargs"),
        actor=f"goal:{goal.kind}"[:255],
        goal_id=goal.pk,
        **{"queue": config().DEFAULT_QUEUE, **goal.task_options},
    )
    transitions.enqueue([task], using=vendor.using)
    goal_writes.began(vendor, goal, task, now)
    return task


def reconcile(vendor: Vendor, limit: int = 100) -> int:
    """Keep the promise of unmet goals, by whichever worker comes first.

    Goals past their deadline are MISSED, open ones whose pause is over get a task.

    Returns:
        How many goals were changed.
    """
    now = vendor.now()
    goals = Goal.objects.using(vendor.using)
    overdue = goals.filter(state__in=Goal.UNMET, deadline__lt=now)
    waiting = goals.filter(state=Goal.State.OPEN, next_attempt_at__lte=now)
    changed = 0
    if overdue.exists():
        with transaction.atomic(using=vendor.using):
            for goal in vendor.locked(overdue.order_by("pk"), wait=False)[:limit]:
                goal_writes.settle(vendor, goal, Goal.State.MISSED, now, reason="deadline passed")
                changed += 1
    if waiting.exists():
        with transaction.atomic(using=vendor.using):
            for goal in vendor.locked(waiting.order_by("pk"), wait=False)[:limit]:
                _try_to_begin(vendor, goal, now)
                changed += 1
    return changed


def _try_to_begin(vendor: Vendor, goal: Goal, now: datetime) -> None:
    """Begin, or say on the goal why it cannot be; it stays open, and holds up no other goal."""
    try:
        begin(vendor, goal, now)
    except TasktrackError as error:  # raised before anything is written
        logger.error("Goal %s cannot be pursued: %s", goal, error)
        goal.reason = printable(f"cannot be pursued: {error}")[:255]
        goal.next_attempt_at = now + timedelta(hours=1)
        goal.save(using=vendor.using, update_fields=["reason", "next_attempt_at"])


def adopt_orphans(vendor: Vendor, limit: int = 100) -> int:
    """Go on with active goals whose tasks are gone without having told them, for example by hand.

    Returns:
        How many there were.
    """
    now = vendor.now()
    tasks = TrackedTask.objects.using(vendor.using).unfinished()
    attempts = GoalAttempt.objects.using(vendor.using)
    live = attempts.filter(Exists(tasks.filter(pk=OuterRef("task_id"))), goal_id=OuterRef("pk"))
    active = Goal.objects.using(vendor.using).filter(state=Goal.State.ACTIVE)
    orphans = active.exclude(Exists(live)).order_by("pk")
    if not orphans.exists():
        return 0
    with transaction.atomic(using=vendor.using):
        held = [goal.pk for goal in vendor.locked(orphans, wait=False)[:limit]]
        # Asked again under the locks: a task may have come before they were held.
        found = list(orphans.filter(pk__in=held))
        gone = attempts.filter(goal__in=found, state__in=UNFINISHED)
        gone.update(state=State.FAILURE, finished_at=now, error=_GONE)
        for goal in found:
            goal_writes.go_on(vendor, goal, now, _GONE)
    return len(found)
