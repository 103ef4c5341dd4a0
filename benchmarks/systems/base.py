"""The few words that the benchmarks say to every system."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

import uvloop

_T = TypeVar("_T")


class Client(ABC):
    """One system, in a process of its own that only enqueues and asks.

    A module of ``benchmarks.systems`` names its own as ``CLIENT``. Bodies are named "noop", "anoop" or
    "touch" (``benchmarks.work``).
    """

    #: How many tasks were given to the system, for those that can only tell how many have ended.
    enqueued = 0

    @abstractmethod
    def prepare(self) -> None:
        """Make the tables in an empty database."""

    @abstractmethod
    def enqueue(self, number: int, body: str) -> object:
        """Enqueue one task durably; returns what ``is_finished`` asks about."""

    @abstractmethod
    def remaining(self) -> int:
        """How many tasks that may run now have not been recorded as finished by the store."""

    def enqueue_each(self, numbers: Iterable[int], body: str) -> None:
        """Enqueue one by one, each its own commit."""
        for number in numbers:
            self.enqueue(number, body)

    def bulk(self, numbers: list[int], body: str) -> None:
        """Enqueue many at once, where the system can; else one by one."""
        self.enqueue_each(numbers, body)

    def is_finished(self, handle: Any) -> bool:
        """Whether the store says that the task has finished.

        Raises:
            NotImplementedError: the system keeps nothing that could be asked cheaply.
        """
        raise NotImplementedError

    def fill(self, finished: int, future: int) -> None:
        """Put tasks in the tables that have finished, and others whose time has not come."""
        raise NotImplementedError

    def rest(self) -> None:  # noqa: B027  some have nothing to close
        """Close connections, so that the server's counters are complete."""


class AsyncClient(Client):
    """A system whose calls are coroutines, in one event loop that lives as long as the process."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        asyncio.set_event_loop(self._loop)

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """The coroutine's result."""
        result: _T = self._loop.run_until_complete(coroutine)
        return result

    @abstractmethod
    async def put(self, number: int, body: str) -> object:
        """Enqueue one task."""

    def enqueue(self, number: int, body: str) -> object:
        return self.run(self.put(number, body))

    def enqueue_each(self, numbers: Iterable[int], body: str) -> None:
        async def each() -> None:
            for number in numbers:
                await self.put(number, body)

        self.run(each())
