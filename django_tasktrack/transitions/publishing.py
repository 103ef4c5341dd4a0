"""What is told where tasks are enqueued: before they are inserted, and once they are committed."""

from __future__ import annotations

import os
import socket
from collections.abc import Container, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction

from .. import signals
from ..changes import NewTask
from ..payloads import decode, encode
from ..request import related
from ..serializers import readable
from ..vendors import Vendor

#: Of Celery's message; what else a receiver puts into the headers is the task's own.
_MESSAGE = frozenset(
    {
        "lang", "task", "id", "root_id", "parent_id", "group", "retries", "eta", "expires",
        "timelimit", "argsrepr", "kwargsrepr", "origin", "ignore_result",
    }
)  # fmt: skip


def before(tasks: Sequence[NewTask]) -> Sequence[NewTask]:
    """Tell that tasks are about to be inserted; the tasks, with the headers that receivers have added."""
    if not signals.before_task_publish.receivers:
        return tasks
    return [_before(task) for task in tasks]


def after(vendor: Vendor, tasks: Sequence[NewTask], but: Container[UUID] = ()) -> None:
    """Tell that tasks were enqueued, when the transaction is committed that they belong to.

    Args:
        vendor: of their database.
        tasks: those that were to be inserted.
        but: those of them that were not.
    """
    if not signals.after_task_publish.receivers:
        return
    if vendor.in_transaction and not vendor.connection.in_atomic_block:
        return  # without autocommit nobody knows when
    inserted = [task for task in tasks if task.task_id not in but]
    transaction.on_commit(partial(_tell_all, inserted), using=vendor.using, robust=True)


def _before(task: NewTask) -> NewTask:
    message = _message_of(task)
    signals.before_task_publish.tell(
        task.name,
        **message,
        declare=[],
        properties={"correlation_id": str(task.task_id), "priority": task.priority},
        retry_policy={},
    )
    own = {key: value for key, value in message["headers"].items() if key not in _MESSAGE}
    return _with_headers(task, own)


def _with_headers(task: NewTask, headers: dict[str, Any]) -> NewTask:
    if headers == (decode(task.headers) or {}):
        return task
    return task._replace(headers=encode(headers, "headers") if headers else None)


def _tell_all(tasks: Sequence[NewTask]) -> None:
    for task in tasks:
        signals.after_task_publish.tell(task.name, **_message_of(task))


def _message_of(task: NewTask) -> dict[str, Any]:
    """The task as Celery's message: body, headers, and where it goes."""
    args, kwargs = readable(decode(task.args)), readable(decode(task.kwargs))
    task_id = str(task.task_id)
    known = related(task, task_id)
    headers: dict[str, Any] = {
        "lang": "py",
        "task": task.name,
        "id": task_id,
        "retries": 0,
        "eta": task.run_after,
        "expires": task.expires_at if task.expires_in is None else task.expires_in,
        "timelimit": [task.time_limit, task.soft_time_limit],
        "argsrepr": repr(tuple(args)),
        "kwargsrepr": repr(kwargs),
        "origin": f"{os.getpid()}@{socket.gethostname()}",
        **known.pop("headers"),
        **known,
    }
    embedded = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    return {
        "body": (tuple(args), kwargs, embedded),
        "exchange": "",
        "routing_key": task.queue,
        "headers": headers,
    }
