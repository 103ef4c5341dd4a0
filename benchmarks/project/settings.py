"""Settings for one system at a time, on the database that the environment names."""

from __future__ import annotations

from typing import Any

import dj_database_url

from benchmarks import environment

SECRET_KEY = "benchmarks-only"  # noqa: S105  it guards nothing
DEBUG = False
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

_SYSTEM = environment.given(environment.SYSTEM)
_APPS = {
    "tasktrack": "django_tasktrack",
    "raw": "django_tasktrack",  # the floor is measured on the same tables
    "django_tasks_db": "django_tasks_db",
    "celery_django": "django_celery_results",
}
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    _APPS[_SYSTEM],
    "benchmarks.project",
]


def _database() -> dict[str, Any]:
    if url := environment.given(environment.POSTGRES):
        # Connections are reused: systems that open one a task would measure that.
        return {**dj_database_url.parse(url, conn_max_age=None)}
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": environment.required(environment.SQLITE),
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            # FULL, because huey's connection has it too: a finish is on the disk when it is committed.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        },
    }


DATABASES = {"default": _database()}
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
if _SYSTEM != "django_tasks_db":
    TASKS["default"]["BACKEND"] = "django.tasks.backends.dummy.DummyBackend"
