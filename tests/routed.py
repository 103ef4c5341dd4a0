"""The task tables in a database of their own, beside the business data's: routers and guards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import override_settings

from tests import databases

#: Alias of the database with the task tables.
TASKS = "tasks"
#: Settings module of worker processes that know it.
SETTINGS = "tests.routed_settings"


class Router:
    """Sends the tables of this package to ``TASKS``, and nothing else."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return self.db_for_write(model)

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return TASKS if model._meta.app_label == "tasktrack" else None

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return (db == TASKS) == (app_label == "tasktrack")


class Lagging(Router):
    """Reads come from a copy that nobody can reach, unless the code names the database itself."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "replica" if model._meta.app_label == "tasktrack" else None


class Scattered(Router):
    """Routes by model, and forgets one."""

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return None if model._meta.model_name == "goal" else super().db_for_write(model)


#: For tests that use both databases.
both = pytest.mark.django_db(transaction=True, databases=[DEFAULT_DB_ALIAS, TASKS])


@contextmanager
def in_use() -> Iterator[None]:
    """Have this process keep tasks there, and no statement about them reach the business data."""
    with using(Router), connection.execute_wrapper(refuse):
        yield


def using(router: type[Router]) -> override_settings:
    return override_settings(DATABASE_ROUTERS=[f"{__name__}.{router.__name__}"])


@contextmanager
def unreachable(alias: str) -> Iterator[None]:
    """A database that no statement comes back from."""
    connections.settings[alias] = databases.beside(connection.settings_dict, "/nowhere")
    try:
        yield
    finally:
        connections[alias].close()
        del connections[alias], connections.settings[alias]


def refuse(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
    assert "tasktrack_" not in sql, f"About tasks, in the business data's database: {sql}"
    return execute(sql, params, many, context)


def watch(*, connection: BaseDatabaseWrapper, **_: object) -> None:
    """Refuse in a worker process too: a receiver of ``connection_created``."""
    if connection.alias == DEFAULT_DB_ALIAS and refuse not in connection.execute_wrappers:
        connection.execute_wrappers.append(refuse)
