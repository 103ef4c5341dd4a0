"""What both huey projects have in common."""

from __future__ import annotations

from typing import Any

from benchmarks import work
from benchmarks.systems.base import Client


class HueyClient(Client):
    """A client of one ``Huey`` instance, which keeps results until they are read."""

    def __init__(self, huey: Any, noop: Any) -> None:
        self._huey = huey
        self._noop = noop

    def prepare(self) -> None:
        self._huey.pending_count()  # makes the tables, where there are any

    def enqueue(self, number: int, body: str) -> object:
        self.enqueued += 1
        return self._noop(number)

    def remaining(self) -> int:
        return self.enqueued - int(self._huey.result_count())


def declare(huey: Any) -> Any:
    """The body as a task of this instance."""
    return huey.task(name="noop")(work.noop)
