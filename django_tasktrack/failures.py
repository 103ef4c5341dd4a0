"""What a failed or revoked task raises where its result is asked for."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from .exceptions import TaskFailure, TaskRevokedError
from .models import Link, StateChange, TrackedTask
from .states import State
from .vendors import task_database


def failure(row: TrackedTask) -> TaskFailure:
    """The exception that a task ended with, to be raised here.

    An exception class that this process has imported becomes a base of it, so that ``except
    ValueError`` catches it. Nothing is imported for it, and its ``__init__`` does not run.
    """
    bases: tuple[type, ...] = (TaskFailure, *_loaded_exception(row.error_type))
    try:
        kind = type(row.error_type.rpartition(".")[2] or "TaskFailure", bases, {})
        error = _made(kind, row.error_message)
    except Exception:  # noqa: BLE001  the layouts do not go together, or the class resists
        error = TaskFailure.__new__(TaskFailure, row.error_message)
    error.args = (row.error_message,)
    error.hint, error.error_type, error.remote_traceback = "", row.error_type, row.traceback
    if row.traceback:
        error.add_note(f"\nIn the worker:\n{row.traceback}")
    return error


def _made(kind: type[TaskFailure], message: str) -> TaskFailure:
    """An instance made by a built-in class that can, so that no code of the project's runs.

    Raises:
        TypeError: none of its bases can.
    """
    makers: list[Any] = [base for base in kind.__mro__ if base.__module__ == "builtins"]
    for maker in makers[:-1]:  # the last is object
        with contextlib.suppress(TypeError):  # its layout is not the instance's
            error: TaskFailure = maker.__new__(kind, message)
            return error
    raise TypeError(f"{kind} cannot be made from a message")


def _loaded_exception(path: str) -> tuple[type[Exception], ...]:
    module_name, _, name = path.rpartition(".")
    found: object = sys.modules.get(module_name or "builtins")
    kind = vars(found).get(name) if found is not None else None
    return (kind,) if isinstance(kind, type) and issubclass(kind, Exception) else ()


def why_revoked(row: TrackedTask) -> TaskFailure | TaskRevokedError:
    """What to raise for a revoked task: if it was revoked because a task before it failed, that failure."""
    seen, task = {row.pk}, row
    while broken := _broken_before(task):
        if broken.state == State.FAILURE:
            return failure(broken)
        if broken.pk in seen:
            break
        seen.add(broken.pk)
        task = broken
    return revoked(task)


def _broken_before(task: TrackedTask) -> TrackedTask | None:
    """The task that this one has waited for in vain."""
    cause = (task.revoke_request or {}).get("waited_for")
    if (
        cause is not None
    ):  # the first of all that were revoked because of it, however many stand between
        return TrackedTask.objects.using(task_database()).filter(pk=cause).first()
    links = Link.objects.using(task_database()).filter(successor=task, state=Link.State.BROKEN)
    found = links.select_related("task").order_by("place", "task_id").first()
    return found.task if found else None


def revoked(row: TrackedTask) -> TaskRevokedError:
    last = StateChange.objects.using(task_database()).filter(task_id=row.pk, seq=row.seq).first()
    words = [last.reason, f"by {last.actor}" if last.actor else ""] if last else []
    why = " ".join(word for word in words if word)
    return TaskRevokedError(f"Task {row.pk} was revoked{': ' + why if why else ''}.")
