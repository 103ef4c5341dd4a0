"""The Celery app of the Django project. It imports no model: Celery loads it before the apps."""

from __future__ import annotations

from benchmarks.systems.celery_base import make_app

app = make_app("django-db", task_track_started=True, result_extended=True)
app.conf["CELERY_DB_REUSE_MAX"] = 1_000_000  # else the fix-up for Django closes them with each task
