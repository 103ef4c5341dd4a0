"""System checks: what ``manage.py check`` says before anything goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections, router

from . import conf


@register()
def check_settings(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """TASKTRACK holds known names and possible values."""
    given = getattr(settings, "TASKTRACK", {})
    return [Error(problem, hint=hint, id="tasktrack.E001") for problem, hint in conf.errors(given)]


@register(Tags.database)
def check_sqlite(
    app_configs: Sequence[AppConfig] | None = None,
    databases: Sequence[str] | None = None,
    **kwargs: Any,
) -> list[CheckMessage]:
    """SQLite's transactions begin as writers: one that reads first and then enqueues fails at once."""
    from .models import TrackedTask

    using = router.db_for_write(TrackedTask)
    connection = connections[using]
    if using not in (databases or []) or connection.vendor != "sqlite":
        return []
    options = connection.settings_dict.get("OPTIONS", {})
    if str(options.get("transaction_mode", "")).upper() == "IMMEDIATE":
        return []
    return [
        checks.Warning(
            f"DATABASES[{using!r}] is SQLite without transaction_mode IMMEDIATE: a transaction that "
            "reads before it enqueues can fail with 'database is locked', whatever the timeout.",
            hint='Set OPTIONS = {"transaction_mode": "IMMEDIATE", "timeout": 30, "init_command": '
            '"PRAGMA journal_mode=WAL"}.',
            id="tasktrack.W001",
        )
    ]
