"""What a task's change means for the goal that it serves. Called in the transaction of that change."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from .changes import Change, NewTask
from .conf import config
from .models import Goal, GoalAttempt
from .states import FINAL, UNFINISHED, State
from .vendors import Vendor

Held = dict[int, Goal]


def began(vendor: Vendor, goal: Goal, task: NewTask, now: datetime) -> None:
    """A task was enqueued for the goal, whose row the caller holds."""
    goal.attempts += 1
    goal.state = Goal.State.ACTIVE
    goal.next_attempt_at = None
    goal.save(using=vendor.using, update_fields=["attempts", "state", "next_attempt_at"])
    GoalAttempt.objects.using(vendor.using).create(
        goal=goal,
        number=goal.attempts,
        task_id=task.task_id,
        state=State.PENDING,
        created_at=now,
    )


def lock(vendor: Vendor, ids: Iterable[int | None], *, wait: bool) -> tuple[Held, frozenset[int]]:
    """Hold goals until the transaction ends.

    Goals are locked before the tasks that serve them, everywhere, and in the order of their ids: so two
    transactions never wait for each other.

    Args:
        ids: of goals; None, and goals that are gone, are passed over.
        wait: wait for goals that someone holds, instead of leaving them out.

    Returns:
        The goals that are held, and the ids of those that someone else holds.
    """
    wanted = {goal_id for goal_id in ids if goal_id is not None}
    if not wanted:
        return {}, frozenset()
    goals = Goal.objects.using(vendor.using).filter(pk__in=wanted).order_by("pk")
    held = {goal.pk: goal for goal in vendor.locked(goals, wait=wait)}
    missing = wanted - held.keys()
    busy = goals.filter(pk__in=missing).values_list("pk", flat=True) if missing else ()
    return held, frozenset(busy)


def follow(vendor: Vendor, goals: Held, changes: Sequence[Change]) -> None:
    """Bring attempts and goals up to date with changes that were applied. The goals are held."""
    served = [change for change in changes if change.goal_id in goals]
    if not served:
        return
    now = vendor.now()
    tasks = [change.task_id for change in served]
    attempts = {
        attempt.task_id: attempt
        for attempt in GoalAttempt.objects.using(vendor.using).filter(task_id__in=tasks)
    }
    for change in served:
        goal, attempt = goals.get(change.goal_id or 0), attempts.get(change.task_id)
        if attempt is None or goal is None:
            continue
        _follow_attempt(vendor, attempt, change, now)
        if change.target in FINAL:
            _follow_goal(vendor, goal, attempt, change, now)
        elif change.afresh:
            _reactivate(vendor, goal)


def _follow_attempt(vendor: Vendor, attempt: GoalAttempt, change: Change, now: datetime) -> None:
    attempt.state = change.target
    moment = time.monotonic()
    began_ago = change.began_ago(moment)
    if began_ago is None and change.target is State.STARTED:
        began_ago = change.happened_ago(moment)
    if began_ago is not None and attempt.started_at is None:
        attempt.started_at = now - timedelta(seconds=began_ago)
    ended = change.target in FINAL
    attempt.finished_at = now - timedelta(seconds=change.happened_ago(moment)) if ended else None
    error = change.error
    attempt.error = f"{error.type}: {error.message}"[:255] if error else change.reason
    attempt.save(using=vendor.using)


def _follow_goal(
    vendor: Vendor, goal: Goal, attempt: GoalAttempt, change: Change, now: datetime
) -> None:
    """The task of an unmet goal has ended: the goal is achieved, out of budget, or open again."""
    if change.target is State.SUCCESS and goal.achieve_on_success:
        settle(vendor, goal, Goal.State.ACHIEVED, now, evidence={"task": str(change.task_id)})
        return
    others = GoalAttempt.objects.using(vendor.using).filter(goal=goal, state__in=UNFINISHED)
    if goal.state == Goal.State.ACTIVE and not others.exclude(pk=attempt.pk).exists():
        go_on(vendor, goal, now, attempt.error or "the last ended without achieving it")


def go_on(vendor: Vendor, goal: Goal, now: datetime, why: str) -> None:
    """The goal has no live task any more: the next one may begin after the backoff, if it may have one.

    Args:
        why: what became of the last task, for the goal's reason.
    """
    if goal.max_attempts is not None and goal.attempts >= goal.max_attempts:
        reason = f"{goal.attempts} of {goal.max_attempts} tasks used: {why}"
        settle(vendor, goal, Goal.State.FAILED, now, reason=reason)
        return
    pause = config().GOAL_BACKOFF * 2.0 ** min(max(goal.attempts - 1, 0), 12)
    goal.state = Goal.State.OPEN
    goal.next_attempt_at = now + timedelta(seconds=min(pause, 3600.0))
    goal.save(using=vendor.using, update_fields=["state", "next_attempt_at"])


def _reactivate(vendor: Vendor, goal: Goal) -> None:
    if goal.state in (Goal.State.OPEN, Goal.State.FAILED):
        goal.state, goal.next_attempt_at, goal.settled_at = Goal.State.ACTIVE, None, None
        goal.reason = ""
        goal.save(
            using=vendor.using, update_fields=["state", "next_attempt_at", "settled_at", "reason"]
        )


def settle(
    vendor: Vendor,
    goal: Goal,
    state: Goal.State,
    now: datetime,
    *,
    reason: str = "",
    evidence: object = None,
) -> bool:
    """End the goal, whose row the caller holds. An achieved goal stays achieved.

    Returns:
        Whether anything changed. Achieving a goal that was missed marks it late.
    """
    if goal.state in {Goal.State.ACHIEVED, state}:
        return False
    goal.late = state == Goal.State.ACHIEVED and (
        goal.state == Goal.State.MISSED or (goal.deadline is not None and goal.deadline < now)
    )
    goal.state, goal.reason, goal.settled_at = state, reason[:255], now
    goal.next_attempt_at = None
    if evidence is not None:
        goal.evidence = evidence
    goal.save(
        using=vendor.using,
        update_fields=["state", "reason", "settled_at", "late", "evidence", "next_attempt_at"],
    )
    return True
