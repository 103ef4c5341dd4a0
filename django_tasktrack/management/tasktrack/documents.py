"""What rows are as JSON, in the words of the REST API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ...adaptation import Wish, wish_of
from ...doctor import Finding
from ...models import Progress, StateChange, TaskLimits, TrackedTask, Worker
from ...overview.fleet import Member

#: Columns that a row of a list does not show.
HEAVY = ("args", "kwargs", "result", "traceback", "revoke_request")


def task_row(task: TrackedTask) -> dict[str, Any]:
    """A task in a list."""
    return {
        "id": task.pk,
        "task": task.name,
        "queue": task.queue,
        "state": task.state,
        "label": task.label,
        "attempt": task.attempt,
        "created_at": task.created_at,
        "run_after": task.run_after,
        "started_at": task.started_at,
        "finished_at": task.finished_at,
        "revoke_requested_at": task.revoke_requested_at,
        "progress": progress(task.shown_progress),
        "error": error(task),
        "owner": task.owner,
        "worker": worker_of(task),
        "priority": task.priority,
        "max_attempts": task.max_attempts,
        "losses": task.losses,
        "crashes": task.crashes,
        "expires_at": task.expires_at,
        "goal": task.goal_id,
    }


def whole_task(task: TrackedTask) -> dict[str, Any]:
    """One task with everything that it was given and has left."""
    names = ("args", "kwargs", "result", "result_expired_at", "traceback")
    payload = {name: getattr(task, name) for name in names}
    concurrency = [task.concurrency_key, task.concurrency_limit] if task.concurrency_key else None
    keys = {"unique_key": task.unique_key, "concurrency": concurrency}
    return {**task_row(task), **payload, **keys}


def task_limits(row: TaskLimits) -> dict[str, Any]:
    """What limits the tasks of a name; ``null`` where nothing was set at run time."""
    return {
        "task": row.name,
        "rate_limit": row.rate_limit,
        "declared_rate_limit": row.declared or None,
        "time_limits_set": row.timed,
        "time_limit": row.time_limit,
        "soft_time_limit": row.soft_time_limit,
        "set_at": row.set_at,
        "set_by": row.set_by,
    }


def change(row: StateChange) -> dict[str, Any]:
    """A row of history."""
    return {
        "seq": row.seq,
        "state": row.state,
        "label": row.label,
        "attempt": row.attempt,
        "at": row.at,
        "error": error(row),
        "worker": worker_of(row),
        "actor": row.actor,
        "reason": row.reason,
        "traceback": row.traceback,
    }


def progress(row: Progress | None) -> dict[str, Any] | None:
    if row is None:
        return None
    eta = row.eta()
    return {
        "current": row.current,
        "total": row.total,
        "percent": row.percent,
        "message": row.message,
        "eta": None if eta is None else round(eta.total_seconds(), 1),
    }


def error(row: TrackedTask | StateChange) -> dict[str, str] | None:
    if not row.error_type:
        return None
    return {"type": row.error_type, "message": row.error_message}


def worker_of(row: TrackedTask | StateChange) -> dict[str, Any] | None:
    if row.worker_id is None:
        return None
    # The row of a worker may be gone before those that name it.
    return {"id": row.worker_id, "name": row.worker.name if row.worker else None}


def worker(member: Member) -> dict[str, Any]:
    """A worker, with what can be seen of it from outside."""
    row = member.row
    return {
        "id": row.pk,
        "name": row.name,
        "condition": member.condition,
        "lives": member.lives,
        "host": row.host,
        "pid": row.pid,
        "pool": row.pool,
        "concurrency": row.concurrency,
        "can_terminate": row.can_terminate,
        "holds": member.holds,
        "queues": row.queues,
        "excluded_queues": row.excluded_queues or [],
        "wanted": wanted(row),
        "version": row.version,
        "started_at": row.started_at,
        "heartbeat_at": row.heartbeat_at,
        "silent_for": seconds(member.silence),
        "shutdown_requested_at": row.shutdown_requested_at,
        "stopped_at": row.stopped_at,
        "lost_at": row.lost_at,
    }


def wanted(row: Worker) -> dict[str, Any] | None:
    """What it was asked to become and is not yet."""
    return wish(wish_of(row)) if row.is_asked_to_change else None


def wish(asked: Wish) -> dict[str, Any]:
    """What a worker is, or is to become."""
    return {
        "concurrency": asked.concurrency,
        "queues": list(asked.served.only),
        "excluded_queues": list(asked.served.excluded),
    }


def finding(found: Finding) -> dict[str, str]:
    return {
        "code": found.code,
        "level": found.level.name.lower(),
        "text": found.text,
        "hint": found.hint,
    }


def seconds(length: timedelta | None) -> float | None:
    return None if length is None else round(length.total_seconds(), 3)
