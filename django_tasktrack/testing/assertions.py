"""Assertions about all that a test has enqueued, and about goals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from .. import goals
from ..declaration import Task
from ..result import AsyncResult
from .recorder import Enqueued


def assert_enqueued(
    task: Task[..., Any] | str,
    *,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    queue: str | None = None,
    priority: int | None = None,
    countdown: float | timedelta | None = None,
    eta: datetime | None = None,
    times: int | None = None,
) -> list[AsyncResult]:
    """A task was enqueued like this, whatever has become of it since. What is left out is not asked.

    Args:
        task: itself, or its name.
        args, kwargs: as ``delay()`` was given them; ``mock.ANY`` stands for any value.
        queue, priority: where it waits, or waited.
        countdown: seconds between the call and its time; 0 for none.
        eta: its time.
        times: how often; by default once or more.

    Returns:
        The results of those that are like this.

    Raises:
        AssertionError: with all that was enqueued, nearest first, and what is different of each.
        NotRegistered: no task has this name.
    """
    __tracebackhide__ = True
    return Enqueued().assert_enqueued(
        task,
        args=args,
        kwargs=kwargs,
        queue=queue,
        priority=priority,
        countdown=countdown,
        eta=eta,
        times=times,
    )


def assert_not_enqueued(task: Task[..., Any] | str, **asked: Any) -> None:
    """No task was enqueued like this; it is asked as ``assert_enqueued`` does.

    Raises:
        AssertionError: showing those that were.
    """
    __tracebackhide__ = True
    Enqueued().assert_not_enqueued(task, **asked)


def assert_goal(kind: str, key: object, state: str = goals.State.ACHIEVED) -> goals.PursuedGoal:
    """A goal stands where it is expected to stand.

    Args:
        kind, key: of the goal.
        state: by default ACHIEVED.

    Returns:
        The goal.

    Raises:
        AssertionError: with its reason and the tasks that served it.
        GoalNotFound: nobody has pursued it.
    """
    __tracebackhide__ = True
    goal = goals.get(kind, key)
    if goal.state == state:
        return goal
    why = f" ({goal.row.reason})" if goal.row.reason else ""
    said = [
        f"  {attempt.number}. {goal.row.task_name} {attempt.state}: {attempt.error}".rstrip(": ")
        for attempt in goal.attempts()
    ]
    tried = "\n".join([" Its tasks:", *said]) if said else " No task has served it."
    raise AssertionError(f"Goal {goal.row} is {goal.state}{why}, not {state}.{tried}")
