"""``enqueued()``: what was enqueued inside of a block, or in all of the test."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from asgiref.sync import sync_to_async

from ..declaration import Task, definition_of
from ..models import TrackedTask
from ..result import AsyncResult
from ..vendors import task_database
from .expectation import Expectation
from .verdicts import check_count, check_nothing


class Enqueued(Collection[AsyncResult]):
    """Tasks that were enqueued, as a collection of their results, and assertions about them.

    Made by ``enqueued()``; inside of the block it is read from the table whenever it is asked.
    """

    def __init__(self) -> None:
        self._before: frozenset[UUID] = frozenset()
        self._after: list[TrackedTask] | None = None

    # As a collection

    def __len__(self) -> int:
        return len(self.rows())

    def __iter__(self) -> Iterator[AsyncResult]:
        return iter(AsyncResult(row.pk) for row in self.rows())

    def __contains__(self, result: object) -> bool:
        return any(known == result for known in self)

    def __getitem__(self, number: int) -> AsyncResult:
        return AsyncResult(self.rows()[number].pk)

    def rows(self) -> list[TrackedTask]:
        """The rows of the tasks, oldest first."""
        if self._after is not None:
            return self._after
        rows = TrackedTask.objects.using(task_database()).order_by("created_at", "pk")
        return [row for row in rows if row.pk not in self._before]

    # As a block

    def __enter__(self) -> Self:
        self._after = None
        self._before = frozenset(
            TrackedTask.objects.using(task_database()).values_list("pk", flat=True)
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:  # else the transaction may be broken
            self._after = self.rows()

    async def __aenter__(self) -> Self:
        return await sync_to_async(self.__enter__)()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await sync_to_async(self.__exit__)(kind, error, trace)

    # Assertions

    def assert_enqueued(
        self, task: Task[..., Any] | str, *, times: int | None = None, **asked: Any
    ) -> list[AsyncResult]:
        """As the function ``assert_enqueued``, about these tasks alone."""
        __tracebackhide__ = True
        expectation = Expectation(definition_of(task).name, **asked)
        rows = self.rows()
        found = [row for row in rows if not expectation.differences(row)]
        check_count(expectation, times, found, rows)
        return [AsyncResult(row.pk) for row in found]

    def assert_not_enqueued(self, task: Task[..., Any] | str, **asked: Any) -> None:
        """As the function ``assert_not_enqueued``, about these tasks alone."""
        __tracebackhide__ = True
        self.assert_enqueued(task, times=0, **asked)

    def assert_nothing(self) -> None:
        """Nothing was enqueued.

        Raises:
            AssertionError: showing what was.
        """
        __tracebackhide__ = True
        check_nothing(self.rows())


def enqueued() -> Enqueued:
    """What is enqueued inside of a ``with`` (or ``async with``) block::

    with enqueued() as tasks:
        order.confirm()
    tasks.assert_enqueued(deliver, args=[order.pk])
    """
    return Enqueued()
