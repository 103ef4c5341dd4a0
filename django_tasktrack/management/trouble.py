"""Errors of commands as one block: what is wrong and the remedy, without a traceback or SQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError
from django.db import Error, connections
from django.db.migrations.executor import MigrationExecutor

from ..exceptions import TasktrackError
from ..vendors import task_database

_APP = "tasktrack"
#: What the process ends with: it was told something impossible, or the database failed it.
USAGE, FAILED = 2, 1


@contextmanager
def told_cleanly(database: int = FAILED) -> Iterator[None]:
    """Turn this package's errors and the database's into what ``manage.py`` shows in one block.

    Args:
        database: exit code where the database fails.

    Raises:
        CommandError: with that code, or 2 for what was asked.
    """
    try:
        yield
    except TasktrackError as error:
        raise CommandError(str(error), returncode=USAGE) from None
    except Error as error:
        raise CommandError(_of_database(error), returncode=database) from error


def _of_database(error: Error) -> str:
    using = task_database()
    connection = connections[using]
    try:
        connection.close()  # whatever state the error has left it in
        executor = MigrationExecutor(connection)
        lacking = executor.migration_plan(executor.loader.graph.leaf_nodes(_APP))
    except Error as why:
        where = connection.settings_dict.get("HOST") or connection.settings_dict["NAME"]
        return (
            f"The database {using!r} ({connection.display_name}, {where}) cannot be reached: "
            f"{_line(why)} Hint: Is it up, and is DATABASES[{using!r}] right?"
        )
    if lacking:
        return (
            f"The database {using!r} lacks {len(lacking)} of this app's migrations. "
            f"Hint: Run manage.py migrate{_option(using)}."
        )
    return f"The database {using!r} refused: {_line(error)} Hint: --traceback shows where."


def _option(using: str) -> str:
    return "" if using == "default" else f" --database {using}"


def _line(error: Exception) -> str:
    """The first line of an error: the others are the statement, or hints of the driver."""
    first, _, _ = str(error).strip().partition("\n")
    return first if first.endswith(".") else f"{first}."
