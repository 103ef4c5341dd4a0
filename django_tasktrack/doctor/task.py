"""Why one task is where it is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from ..models import StateChange, TrackedTask
from ..overview.fleet import fleet
from ..states import EXPIRED, FINAL, Stage, State
from ..vendors import Vendor
from ..words import clock, span
from .claimed import of_claimed
from .findings import Finding, good, note, problem, warning
from .limited import of_gated, of_pause
from .waiting import of_blocked, of_due, of_held, of_nobody, of_scheduled


def explain(vendor: Vendor, task: TrackedTask, now: datetime) -> list[Finding]:
    """What the task waits for, what it does, or how it ended; the decisive thing first.

    Args:
        vendor: of the database that holds it.
        task: its row, with ``worker``, ``progress`` and ``goal``.
        now: by the database's clock.
    """
    findings = list(
        _of_finished(vendor, task) if task.state in FINAL else _of_live(vendor, task, now)
    )
    return [*findings, *_of_goal(task)]


def explain_missing(state: str) -> Finding:
    """Why an id has no row: ``state`` is UNKNOWN or EXPIRED."""
    if state == EXPIRED:
        return problem(
            "expired",
            "EXPIRED: this task existed; it has ended and been purged since.",
            "RETENTION and its like say how long tasks are kept (docs/operating.md#retention); goals stay.",
        )
    return problem(
        "unknown",
        "UNKNOWN: no task has this id.",
        "Its transaction is still open or was rolled back, the id is of another system or SECRET_KEY, "
        "or this is not the database that it was enqueued in.",
    )


def _of_live(vendor: Vendor, task: TrackedTask, now: datetime) -> Iterator[Finding]:
    yield from _of_expiry(task, now)
    living = fleet(vendor, now)
    match task.stage:
        case Stage.CLAIMED:
            yield from of_claimed(vendor, task, living, now)
        case Stage.SCHEDULED:
            yield from of_scheduled(task, living, now)
        case Stage.HELD:
            yield from of_held(task, living)
        case Stage.BLOCKED:
            yield from of_blocked(vendor, task)
        case Stage.GATED:
            yield from of_pause(vendor, task)
            yield from of_nobody(task, living)
            yield from of_gated(vendor, task, now)
        case _ if found := list(of_pause(vendor, task)):
            yield from (*found, *of_nobody(task, living))
        case _:
            yield from of_due(vendor, task, living, now)
    if task.state == State.RETRY:
        yield note("retry", f"Attempt {task.attempt} failed: {_error(task)}", _left(task))


def _left(task: TrackedTask) -> str:
    if task.max_attempts is None:
        return "It is retried without a limit."
    return f"{max(0, task.max_attempts - task.attempt)} of {task.max_attempts} attempts are left."


def _of_expiry(task: TrackedTask, now: datetime) -> Iterator[Finding]:
    if task.expires_at is None or task.stage == Stage.CLAIMED:
        return
    left = task.expires_at - now
    if left <= timedelta(0):
        yield problem(
            "expiry_passed",
            f"Its time to start was over {span(-left)} ago; no worker will start it any more.",
            "The next worker's upkeep ends it as REVOKED, reason “expired”.",
        )
    else:
        yield note("expires", f"It must start within {span(left)}, or it is revoked as expired.")


# Finished


def _of_finished(vendor: Vendor, task: TrackedTask) -> Iterator[Finding]:
    ended = clock(task.finished_at)
    times = "" if task.attempt <= 1 else f" in attempt {task.attempt}"
    worker = f" on {task.worker.name}" if task.worker_id and task.worker else ""
    ran = f", after {span(task.duration)}" if task.duration is not None else ""
    if task.state == State.SUCCESS:
        yield good("succeeded", f"It succeeded at {ended}{times}{worker}{ran}.")
    elif task.state == State.FAILURE:
        yield problem(
            "failed", f"It failed at {ended}{times}{worker}{ran}: {_error(task)}", _again(task)
        )
        if task.crashes:
            yield warning(
                "crashes",
                f"The process that ran it died {task.crashes} times under it.",
                "It may use up memory, or end its process: see the worker's log.",
            )
    else:
        yield _of_revoked(vendor, task, ended)
    if task.state != State.SUCCESS and (other := _key_holder(vendor, task)):
        yield warning(
            "unique_key_taken",
            f"It cannot be run again now: task {other} has its unique key {task.unique_key!r}.",
            "The key is free again when that task has ended.",
        )


def _of_revoked(vendor: Vendor, task: TrackedTask, ended: str) -> Finding:
    last = StateChange.objects.using(vendor.using).filter(task_id=task.pk, seq=task.seq).first()
    reason, actor = (last.reason, last.actor) if last else ("", "")
    if reason == "expired" and not actor:
        return problem(
            "expired_before_start", f"It was not started in time, and expired at {ended}."
        )
    by = f" by {actor}" if actor else ""
    why = f": {reason}" if reason else ""
    began = "" if task.started_at else " It never ran."
    return problem("revoked", f"It was revoked at {ended}{by}{why}.{began}", _again(task))


def _again(task: TrackedTask) -> str:
    return f"To run it again: manage.py tasktrack retry {task.pk}"


def _error(task: TrackedTask) -> str:
    message = task.error_message.strip().partition("\n")[0][:200]
    return (
        f"{task.error_type}: {message}" if message else f"{task.error_type or 'no error is told'}."
    )


def _key_holder(vendor: Vendor, task: TrackedTask) -> str:
    if task.unique_key is None:
        return ""
    others = TrackedTask.objects.using(vendor.using).filter(active_key=task.unique_key)
    found = (
        others.exclude(stage=Stage.DONE).exclude(pk=task.pk).values_list("pk", flat=True).first()
    )
    return str(found or "")


def _of_goal(task: TrackedTask) -> Iterator[Finding]:
    goal = task.goal if task.goal_id else None
    if goal is not None:
        state = goal.State(goal.state).label
        yield note("goal", f"It serves the goal {goal.kind} {goal.key}, which is {state}.")
