"""``celery.result``: this package's own; ``AsyncResult`` also takes the arguments that Celery's has."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from ... import result
from ...eager import EagerResult
from ...result import allow_join_result
from ...result_sets import GroupResult, ResultSet, result_from_tuple


class _AlsoTheirs(type):
    """What ``delay()`` returns is one of these too."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, result.AsyncResult)


class AsyncResult(result.AsyncResult, metaclass=_AlsoTheirs):
    """The state, progress and result of one task.

    Args:
        id: of the task.
        backend, task_name, app: as Celery has them; the row knows better.
        parent: the result of what it waited for, where that is known.
    """

    def __init__(
        self,
        id: UUID | str,  # noqa: A002  Celery's name for it
        backend: object = None,
        task_name: str | None = None,
        app: object = None,
        parent: Any = None,
    ) -> None:
        super().__init__(id, parent=parent)


__all__ = [
    "AsyncResult",
    "EagerResult",
    "GroupResult",
    "ResultSet",
    "allow_join_result",
    "result_from_tuple",
]
