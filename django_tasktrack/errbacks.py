"""What a task is called with that runs because another one failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple
from uuid import UUID

from .changes import ERRBACK_OF
from .failures import failure, why_revoked
from .models import TrackedTask
from .registry import Definition
from .request import Request, related
from .serializers import readable
from .states import State
from .vendors import task_database


class Failed(NamedTuple):
    """What an errback of three arguments is told of the task that has failed."""

    request: Request
    error: BaseException
    traceback: str | None


#: What has failed in a call that runs without rows.
_here: ContextVar[Failed | None] = ContextVar("tasktrack_failed_here", default=None)


def count(definition: Definition, own: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    """How many arguments it is called with, before its own: three if it can take them beside those.

    Celery calls whatever takes more than one argument with three, also where they do not fit.
    """
    return 3 if definition.takes(3 + len(own), kwargs) else 1


def arguments(
    definition: Definition, headers: Any, own: Sequence[Any], kwargs: Mapping[str, Any]
) -> Sequence[Any]:
    """Of the failed task: its id, for a function of one argument; else request, exception and traceback.

    Args:
        definition: of the task that is called.
        headers: of its row.
        own, kwargs: arguments that it has already.
    """
    if not headers or ERRBACK_OF not in headers:
        return ()
    task_id = headers[ERRBACK_OF]
    failed = _failed(task_id) if count(definition, own, kwargs) == 3 else None
    return (task_id,) if failed is None else failed


@contextmanager
def without_row(failed: Failed) -> Iterator[None]:
    """In the block errbacks are told of this failure, which has no row."""
    token = _here.set(failed)
    try:
        yield
    finally:
        _here.reset(token)


def _failed(task_id: str) -> Failed | None:
    here = _here.get()
    if here is not None and here.request.id == task_id:
        return here
    row = TrackedTask.objects.using(task_database()).filter(pk=UUID(task_id)).first()
    if row is None:
        return None
    error = failure(row) if row.state == State.FAILURE else why_revoked(row)
    return Failed(_request(row), error, row.traceback)


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
