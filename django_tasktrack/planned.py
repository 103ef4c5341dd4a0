"""A task that is enqueued only if another one fails, as the link between them keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from .changes import ERRBACK_OF, NewTask
from .ids import new_id
from .payloads import decode, encode

#: What is kept of the task that it will be. The rest comes from the failure.
_KEPT = (
    "name", "args", "kwargs", "queue", "priority", "max_attempts", "delay", "expires_in", "owner",
    "time_limit", "soft_time_limit", "rerun_if_lost", "ignore_result", "concurrency_key", "concurrency_limit",
)  # fmt: skip
#: And under other names, which older code passes over: it would take them for what they are not.
_TIMES = {"eta": "run_after", "expires": "expires_at"}
_HEADERS = "own_headers"
#: Whether its own arguments are all that it is called with.
_IMMUTABLE = "immutable"


def as_plan(task: NewTask, *, immutable: bool) -> str:
    """The JSON text of a plan.

    Args:
        task: what will be enqueued.
        immutable: whether it is told nothing of the failure.
    """
    values = task._asdict()
    plan = {name: values[name] for name in _KEPT}
    for name, kept_of in _TIMES.items():
        at = values[kept_of]
        plan[name] = None if at is None else at.isoformat()
    return encode({**plan, _HEADERS: task.headers, _IMMUTABLE: immutable}, "link_error")


def from_plan(plan: Mapping[str, Any], failed: UUID, root: UUID | None) -> NewTask:
    """The task to enqueue now.

    Args:
        plan: what the link keeps. What only newer code has put into it is for newer code.
        failed: the task that has failed.
        root: what that one came of; None where it began by itself.
    """
    known = {name: value for name, value in plan.items() if name in NewTask._fields}
    for name, kept_of in _TIMES.items():
        if at := plan.get(name):
            known[kept_of] = datetime.fromisoformat(at)
    told = {} if plan.get(_IMMUTABLE) else {ERRBACK_OF: str(failed)}
    headers = {**(decode(plan.get(_HEADERS)) or {}), **told}
    return NewTask(
        **known,
        task_id=new_id(),
        parent_id=failed,
        root_id=root or failed,
        headers=encode(headers, "headers") if headers else None,
    )
