"""What failed assertions say: what was expected, what was there instead, and why that may be."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connections

from ..conf import config
from ..models import TrackedTask
from .expectation import Expectation, call_of


def check_count(
    expected: Expectation,
    times: int | None,
    found: Sequence[TrackedTask],
    all_tasks: Sequence[TrackedTask],
) -> None:
    """Refuse a number of tasks that is not the one that was expected.

    Args:
        expected: what they were asked to be.
        times: how many were expected; None for at least one.
        found: those that are as asked.
        all_tasks: those among which they were looked for.

    Raises:
        AssertionError: with all of them, nearest first.
    """
    __tracebackhide__ = True
    if len(found) == times or (times is None and found):
        return
    if not found:
        wanted = "" if times is None else f" {_times(times)}"
        raise AssertionError(f"{expected} was not enqueued{wanted}.{_instead(expected, all_tasks)}")
    wanted = "all the same" if times == 0 else f"{_times(len(found))}, not {_times(times or 1)}"
    raise AssertionError(f"{expected} was enqueued {wanted}.{_instead(expected, all_tasks)}")


def check_nothing(tasks: Sequence[TrackedTask]) -> None:
    """Refuse tasks at all."""
    __tracebackhide__ = True
    if tasks:
        shown = "\n".join(f"  {call_of(task)}" for task in tasks)
        raise AssertionError(f"Something was enqueued:\n{shown}")


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def _instead(expected: Expectation, tasks: Sequence[TrackedTask]) -> str:
    if tasks:
        return f" Enqueued, nearest first:\n{expected.nearest_first(tasks)}"
    return f" Nothing was.{_why_nothing()}"


def _why_nothing() -> str:
    """What keeps calls from becoming rows in tests."""
    if config().ALWAYS_EAGER:
        return " Hint: ALWAYS_EAGER is on, so calls run at once and are not enqueued."
    if _callbacks_wait():
        return (
            " Hint: callbacks wait for a commit that does not come in a TestCase; run them with "
            "captureOnCommitCallbacks(execute=True)."
        )
    return ""


def _callbacks_wait() -> bool:
    """Whether something of the project's waits for a commit; what this package does then enqueues nothing."""
    package = __name__.partition(".")[0]
    return any(
        not getattr(callback, "__module__", "").startswith(package)
        for connection in connections.all(initialized_only=True)
        for _, callback, *_ in connection.run_on_commit
    )
