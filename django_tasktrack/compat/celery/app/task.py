"""``app.Task``: this package's, with what code of Celery's also asks of a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from .... import declaration
from ....result import AsyncResult
from ....taskclass import on_class
from .current import get_current
from .options import of_call


class _CurrentAppOfTask:
    """The application of a task that was declared on none. Its own stands in its ``__dict__``."""

    def __get__(self, instance: object, owner: type) -> Any:
        return get_current()


class Task(declaration.Task[..., Any]):
    """The base of tasks that are declared by ``@app.task``, and of classes of them.

    Attributes:
        app: that it was declared on; else the current one.
    """

    abstract = True
    app: Any = _CurrentAppOfTask()

    @on_class
    def apply_async(  # noqa: PLR0917  in Celery's order
        self,
        /,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: UUID | str | None = None,
        producer: object = None,
        link: Any = None,
        link_error: Any = None,
        shadow: str | None = None,
        **options: Any,
    ) -> AsyncResult:
        """Enqueue a call with options: see ``django_tasktrack.Task.apply_async``.

        Args:
            args, kwargs, task_id, link, link_error: see there.
            producer, shadow: as Celery accepts them.
            **options: see there. Celery's that change nothing here are taken too.
        """
        given = {"task_id": task_id, "link": link, "link_error": link_error}
        result: AsyncResult = super().apply_async(args, kwargs, **given, **of_call(options))
        return result

    @on_class
    def delay_on_commit(self, /, *args: Any, **kwargs: Any) -> AsyncResult:
        """``delay()``, which belongs to the current transaction anyway; so there is a result too."""
        return self.apply_async(args, kwargs)

    @on_class
    def apply_async_on_commit(self, /, *args: Any, **kwargs: Any) -> AsyncResult:
        """``apply_async()``, which belongs to the current transaction anyway."""
        return self.apply_async(*args, **kwargs)
