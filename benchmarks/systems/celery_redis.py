"""Celery with broker and results on Redis."""

from __future__ import annotations

from typing import Any

from redis import Redis

from benchmarks import environment
from benchmarks.systems.base import Client
from benchmarks.systems.celery_base import make_app

_RESULTS = f"{environment.required(environment.REDIS)}/1"
app = make_app(_RESULTS)


class CeleryRedisClient(Client):
    def __init__(self) -> None:
        self._results = Redis.from_url(_RESULTS)

    def prepare(self) -> None:
        """Redis needs nothing."""

    def enqueue(self, number: int, body: str) -> object:
        self.enqueued += 1
        return app.tasks[body].delay(number)

    def remaining(self) -> int:
        return self.enqueued - int(self._results.dbsize())

    def is_finished(self, handle: Any) -> bool:
        return bool(handle.ready())


CLIENT = CeleryRedisClient
