"""System checks: what ``manage.py check`` says before anything goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig, apps
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


@register()
def check_router(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """The tables are in one database, and that they are not the business data's is no surprise.

    What a router says of reads is its own affair: whatever decides reads where it writes.
    """
    from .models import TrackedTask

    if check_settings():
        return []  # what they say of the database is not known
    using, business = router.db_for_write(TrackedTask), conf.config().BUSINESS_DATABASE
    found: list[CheckMessage] = []
    if business not in connections:
        known = ", ".join(connections)
        said = f"TASKTRACK['BUSINESS_DATABASE'] = {business!r} is not in DATABASES."
        found.append(Error(said, hint=f"Name one of these: {known}.", id="tasktrack.E004"))
    elif business != using:
        found.append(_apart(using, business))
    models = apps.get_app_config("tasktrack").get_models()
    elsewhere = [model.__name__ for model in models if router.db_for_write(model) != using]
    if elsewhere:
        said = f"A router sends TrackedTask to {using!r}, and elsewhere: {', '.join(elsewhere)}."
        hint = "Route by app_label 'tasktrack': its tables are written in one transaction."
        found.append(Error(said, hint=hint, id="tasktrack.E005"))
    return found


def _apart(using: str, business: str) -> CheckMessage:
    return checks.Warning(
        f"A router keeps tasks in database {using!r}, and business data is in {business!r}: an enqueue "
        "follows the commit of the business data, and is lost if the process ends between the two; "
        "goals, revoking and retrying are no part of its transactions.",
        hint="If that will do (docs/databases.md), set SILENCED_SYSTEM_CHECKS = ['tasktrack.W004']. "
        "If the business data is elsewhere, name its alias in TASKTRACK['BUSINESS_DATABASE'].",
        id="tasktrack.W004",
    )


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
