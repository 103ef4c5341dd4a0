"""django-tasks-db, the database backend of Django's own tasks: its worker at its defaults."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import django
from django_tasks_db.models import DBTaskResult

from benchmarks import work
from benchmarks.systems import sql
from benchmarks.systems.django_base import DjangoClient

# Before Django 6 its tasks are a package of their own.
_TASKS = "django.tasks" if django.VERSION >= (6,) else "django_tasks"
task: Callable[[Callable[..., int]], Any] = import_module(_TASKS).task


@task
def noop(number: int) -> int:
    return work.noop(number)


@task
def touch(number: int) -> int:
    return work.touch(number)


BODIES: dict[str, Any] = {"noop": noop, "touch": touch}
_TABLE: str = DBTaskResult._meta.db_table
_PASSED = "now() - n * interval '1 second'"


class DjangoTasksClient(DjangoClient):
    def enqueue(self, number: int, body: str) -> object:
        return BODIES[body].enqueue(number)

    def remaining(self) -> int:
        ready = DBTaskResult.objects.ready().count()
        return int(ready + DBTaskResult.objects.filter(status="RUNNING").count())

    def is_finished(self, handle: Any) -> bool:
        handle.refresh()
        return bool(handle.is_finished)

    def fill(self, finished: int, future: int) -> None:
        self.enqueue(0, "noop")
        with sql.connect() as connection:
            later = {"id": "gen_random_uuid()", "run_after": "now() + interval '1 day'"}
            sql.multiply(connection, _TABLE, future, later)
            done = {
                "id": "gen_random_uuid()",
                "status": "'SUCCESSFUL'",
                "enqueued_at": _PASSED,
                "started_at": _PASSED,
                "finished_at": _PASSED,
            }
            sql.multiply(connection, _TABLE, finished, done)
        DBTaskResult.objects.ready().delete()


CLIENT = DjangoTasksClient
