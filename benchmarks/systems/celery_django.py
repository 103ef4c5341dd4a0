"""Celery with its broker on Redis, and results by django-celery-results in Django's database.

The state STARTED is written, and connections are reused, as users who look at their tasks have it.
"""

from __future__ import annotations

from typing import Any

from django_celery_results.models import TaskResult

from benchmarks.project.celery_app import app
from benchmarks.systems.django_base import DjangoClient


class CeleryDjangoClient(DjangoClient):
    def enqueue(self, number: int, body: str) -> object:
        self.enqueued += 1
        return app.tasks[body].delay(number)

    def remaining(self) -> int:
        return self.enqueued - int(TaskResult.objects.filter(status="SUCCESS").count())

    def is_finished(self, handle: Any) -> bool:
        return bool(handle.ready())


CLIENT = CeleryDjangoClient
