"""What a task is called with that runs because another one failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from .changes import ERRBACK_OF
from .failures import failure, why_revoked
from .models import TrackedTask
from .registry import Definition
from .request import Request, related
from .serializers import readable
from .states import State
from .vendors import task_database


def count(definition: Definition, own: Sequence[Any]) -> int:
    """How many arguments it is called with, before its own."""
    return 3 if definition.takes(3 + len(own)) else 1


def arguments(definition: Definition, headers: Any, own: Sequence[Any]) -> Sequence[Any]:
    """Of the failed task: its id, for a function of one argument; else request, exception and traceback.

    Args:
        definition: of the task that is called.
        headers: of its row.
        own: arguments that it has already.
    """
    if not headers or ERRBACK_OF not in headers:
        return ()
    failed = headers[ERRBACK_OF]
    if count(definition, own) == 3:
        row = TrackedTask.objects.using(task_database()).filter(pk=UUID(failed)).first()
        if row is not None:
            error = failure(row) if row.state == State.FAILURE else why_revoked(row)
            return (_request(row), error, row.traceback)
    return (failed,)


def _request(row: TrackedTask) -> Request:
    return Request(
        id=str(row.pk),
        task=row.name,
        args=tuple(readable(row.args)),
        kwargs=readable(row.kwargs),
        attempt=row.attempt,
        retries=row.retries,
        delivery_info={"routing_key": row.queue, "priority": row.priority},
        owner=row.owner,
        **related(row, str(row.pk)),
    )
