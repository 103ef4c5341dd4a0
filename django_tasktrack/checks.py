"""System checks: what ``manage.py check`` says before anything goes wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from . import conf, registry, routes, routing, task_annotations
from .exceptions import nearest


@register()
def check_settings(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """TASKTRACK, and what is read as if it stood there, holds known names and possible values."""
    found: list[CheckMessage] = [
        Error(problem, hint=hint, id="tasktrack.E001") for problem, hint in conf.problems()
    ]
    needless, ordering = conf.needless(), conf.ordering_as_redis()
    found += [_needless(needless)] if needless else []
    return found + ([_ordering_as_redis(ordering)] if ordering else [])


def _needless(places: Sequence[str]) -> CheckMessage:
    return checks.Warning(
        f"Without effect: {', '.join(places)}. The database is the broker and the result backend.",
        hint="Leave it out." if len(places) == 1 else "Leave them out.",
        id="tasktrack.W005",
    )


def _ordering_as_redis(places: Sequence[str]) -> CheckMessage:
    return checks.Warning(
        f"{', '.join(places)}: with Redis the smallest priority goes first, here the largest does.",
        hint="Turn the numbers of priority= and task_default_priority round (RabbitMQ's are right as they are),"
        " and leave priority_steps and queue_order_strategy out.",
        id="tasktrack.W007",
    )


@register()
def check_routes(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """The routers can be imported, and what is said by a task's name is said of one that there is."""
    if conf.problems():
        return []
    try:
        routing.in_force()
    except Exception as error:  # noqa: BLE001  whatever an import does
        said = f"TASKTRACK['TASK_ROUTES'] cannot be used: {error}"
        return [Error(said, hint="Name a function that can be imported.", id="tasktrack.E006")]
    return [
        _of_nobody(setting, name)
        for setting, names in (
            ("TASK_ROUTES", routes.names(conf.config().TASK_ROUTES)),
            ("TASK_ANNOTATIONS", task_annotations.names(conf.config().TASK_ANNOTATIONS)),
        )
        for name in names
        if name not in registry.names()
    ]


def _of_nobody(setting: str, name: str) -> CheckMessage:
    return checks.Warning(
        f"TASKTRACK[{setting!r}] names {name!r}, and there is no such task.",
        hint=nearest(name, registry.names()),
        id="tasktrack.W006",
    )


@register()
def check_router(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """The tables are in one database, and that they are not the business data's is no surprise.

    What a router says of reads is its own affair: whatever decides reads where it writes.
    """
    from .models import TrackedTask

    if conf.problems():
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


@register(Tags.security, deploy=True)
def check_eager(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """What is deployed leaves its tasks to workers."""
    if conf.problems() or not conf.config().ALWAYS_EAGER:
        return []
    return [
        checks.Warning(
            "TASKTRACK['ALWAYS_EAGER'] is on: tasks run inside of requests, and leave no row, no history and "
            "no retry that waits.",
            hint="It is for tests: leave it out.",
            id="tasktrack.W010",
        )
    ]


@register()
def check_schedules(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """What is declared of schedules means something."""
    from .schedules.declared import problems  # needs the models

    if conf.problems():
        return []
    return [
        Error(f"Schedule {one.name}: {one.problem}", hint=one.hint or None, id="tasktrack.E016")
        for one in problems()
    ]


@register(Tags.database)
def check_rows_of_schedules(
    app_configs: Sequence[AppConfig] | None = None,
    databases: Sequence[str] | None = None,
    **kwargs: Any,
) -> list[CheckMessage]:
    """So do the rows, which people change."""
    from .models import Schedule  # checks are loaded before the models
    from .schedules.planning import problem_of

    using = router.db_for_write(Schedule)
    if using not in (databases or []) or conf.problems():
        return []
    try:
        rows = list(Schedule.objects.using(using).active())
    except DatabaseError:  # before the first migrate
        return []
    found = ((row, problem_of(row)) for row in rows)
    return [
        checks.Warning(
            f"Schedule {row.name} cannot be run: {problem}",
            hint="Change or disable it in the admin.",
            id="tasktrack.W016",
        )
        for row, problem in found
        if problem
    ]


@register(Tags.database)
def check_sqlite(
    app_configs: Sequence[AppConfig] | None = None,
    databases: Sequence[str] | None = None,
    **kwargs: Any,
) -> list[CheckMessage]:
    """SQLite's transactions begin as writers: one that reads first and then enqueues fails at once."""
    connection = _of_tasks("sqlite", databases)
    if connection is None:
        return []
    options = connection.settings_dict.get("OPTIONS", {})
    if str(options.get("transaction_mode", "")).upper() == "IMMEDIATE":
        return []
    return [
        checks.Warning(
            f"DATABASES[{connection.alias!r}] is SQLite without transaction_mode IMMEDIATE: a transaction that "
            "reads before it enqueues can fail with 'database is locked', whatever the timeout.",
            hint='Set OPTIONS = {"transaction_mode": "IMMEDIATE", "timeout": 30, "init_command": '
            '"PRAGMA journal_mode=WAL"}.',
            id="tasktrack.W001",
        )
    ]


@register(Tags.database)
def check_mariadb(
    app_configs: Sequence[AppConfig] | None = None,
    databases: Sequence[str] | None = None,
    **kwargs: Any,
) -> list[CheckMessage]:
    """MariaDB is new enough, and has transactions, isolation and characters as the tasks need them."""
    connection = _of_tasks("mysql", databases)
    return list(_of_mariadb(connection)) if connection else []


#: Versions before sort ids of version 7 by their random bits (MDEV-29959, MDEV-31926).
_MARIADB = (10, 11, 6)


def _of_mariadb(connection: Any) -> Iterator[CheckMessage]:
    name = f"DATABASES[{connection.alias!r}]"
    if connection.mysql_is_mariadb and connection.mysql_version < _MARIADB:
        yield checks.Warning(
            f"{name} is MariaDB {_dotted(connection.mysql_version)}: tasks are not taken in the order "
            "of their age, and nothing has been tried there.",
            hint=f"Use MariaDB {_dotted(_MARIADB)} or later.",
            id="tasktrack.W002",
        )
    if (isolation := _isolation(connection)) != "READ COMMITTED":
        yield checks.Warning(
            f"{name} has the isolation level {isolation}: transactions lock gaps between rows, and "
            "enqueueing, revoking and workers wait for each other.",
            hint='Set "isolation_level": "read committed" in its OPTIONS, or leave it out.',
            id="tasktrack.W003",
        )
    if not connection.features.supports_transactions:
        yield Error(
            f"{name} makes tables without transactions: no promise about tasks holds there.",
            hint="Set default_storage_engine = InnoDB on the server, and make the tables again.",
            id="tasktrack.E002",
        )
    if narrow := _narrow_characters(connection):
        yield Error(
            f"{name} stores text in {narrow}: a name, error or label with another character cannot be "
            "written.",
            hint="ALTER DATABASE ... CHARACTER SET utf8mb4 before the first migrate; tables that are "
            "there already have to be converted.",
            id="tasktrack.E003",
        )


def _isolation(connection: BaseDatabaseWrapper) -> str:
    """Of the sessions that the project gets; the variable's name depends on the version."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SHOW SESSION VARIABLES WHERE Variable_name IN ('tx_isolation', 'transaction_isolation')"
        )
        return str(cursor.fetchone()[1]).replace("-", " ")


def _narrow_characters(connection: BaseDatabaseWrapper) -> str:
    """The character sets other than utf8mb4 of the tables, or of those that migrate would make."""
    tables = [model._meta.db_table for model in apps.get_app_config("tasktrack").get_models()]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT character_set_name FROM information_schema.columns"
            f" WHERE table_schema = DATABASE() AND table_name IN ({', '.join(['%s'] * len(tables))})"
            " AND character_set_name IS NOT NULL",
            tables,
        )
        found = {name for (name,) in cursor.fetchall()}
        if not found:
            cursor.execute("SELECT @@character_set_database")
            found = {name for (name,) in cursor.fetchall()}
    return ", ".join(sorted(found - {"utf8mb4"}))


def _dotted(version: Sequence[int]) -> str:
    return ".".join(str(part) for part in version)


def _of_tasks(vendor: str, databases: Sequence[str] | None) -> BaseDatabaseWrapper | None:
    """The tasks' database, if it is asked about and of this kind."""
    from .models import TrackedTask  # checks are loaded before the models

    connection = connections[router.db_for_write(TrackedTask)]
    asked = connection.alias in (databases or []) and connection.vendor == vendor
    return connection if asked else None
