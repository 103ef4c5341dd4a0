"""``app.send_task``: a call of a task by its name, also of one that only workers know."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from .... import checked, registry
from ....conf import config
from ....declaration import CALL_OPTIONS
from ....enqueue import Options, insert, prepare
from ....registry import Definition
from ....result import AsyncResult
from ....task_options import TaskOptions
from .options import of_call


def send_task(
    name: str,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    **options: Any,
) -> AsyncResult:
    """Enqueue a call of the task of this name, in the current transaction.

    Where this process does not know the task, nobody can check the arguments, and the row gets the retries and
    limits that the settings here say (``TASK_ANNOTATIONS`` of its name, then the defaults), not those that the task
    declares elsewhere.

    Args:
        name: of the task.
        args, kwargs: JSON values.
        **options: as ``apply_async`` takes them.

    Raises:
        NotRegistered: the task is not known here, and has to be: to run it at once (``ALWAYS_EAGER``), or for
            ``link`` and ``link_error``.
        TypeError, PayloadError, InvalidTask, DuplicateTaskId: as ``apply_async`` does.
    """
    given = of_call(options)
    linked = given.get("link") is not None or given.get("link_error") is not None
    if name in registry.names() or linked or config().ALWAYS_EAGER:
        task: Any = registry.get(name).task
        result: AsyncResult = task.apply_async(args, kwargs, **given)
        return result
    said = {key: value for key, value in given.items() if key not in ("link", "link_error")}
    checked.option_names(said, CALL_OPTIONS, CALL_OPTIONS, "send_task()")
    new = prepare(_unknown(name), args, kwargs, Options(**said))
    holders = insert([new], own_ids=said.get("task_id") is not None)
    return AsyncResult.enqueued(holders.get(new.task_id, new.task_id))


def _unknown(name: str) -> Definition:
    """What is known of a task by its name alone."""
    options = TaskOptions().annotated(checked.task_name(name))
    return Definition(
        name=name,
        body=_anything,
        signature=inspect.signature(_anything),
        origin=name,
        queue=options.queue,
        priority=options.priority,
        retry=options.retry_policy(),
        time_limit=checked.time_limit(options.time_limit, "time_limit"),
        soft_time_limit=checked.time_limit(options.soft_time_limit, "soft_time_limit"),
        rerun_if_lost=options.rerun_if_lost,
        unique_key=options.key_of_call(),
        concurrency=options.limit_of_calls(),
        serializer=options.serializer,
        ignore_result=options.ignore_result,
    )


def _anything(*args: Any, **kwargs: Any) -> None:
    """Takes whatever the task may take."""
