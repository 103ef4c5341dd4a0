"""A worker's own connection: no statement on it waits for ever, whatever the server or the network does.

Bodies and callers keep the connections that the project has configured.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import load_backend

_T = TypeVar("_T")

#: The worker's statements skip locked rows; what locks a whole table is waited for so many seconds.
LOCK_TIMEOUT = 1
#: The worker's statements are few: each is prepared when it comes for the second time.
_PREPARE_AFTER = 1


def connect(using: str, patience: float) -> None:
    """Give the calling thread a fresh connection of the worker's own.

    Args:
        using: the alias.
        patience: seconds after which a statement, or connecting, is given up.
    """
    connections[using].close()
    settings = copy.deepcopy(connections.settings[using])
    backend = load_backend(settings["ENGINE"])
    options, prepare = _KINDS[backend.DatabaseWrapper.vendor]
    settings["OPTIONS"] = options(settings["OPTIONS"], math.ceil(patience))
    own: BaseDatabaseWrapper = backend.DatabaseWrapper(settings, using)
    connections[using] = own
    own.ensure_connection()
    prepare(own, math.ceil(patience))


def is_pooled(connection: BaseDatabaseWrapper) -> bool:
    """Whether a pooler stands before PostgreSQL: the session that answers is not the one that was
    connected to. What is SET or LISTENed to there reaches strangers."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    return bool(pid != connection.connection.info.backend_pid)


# PostgreSQL


def _postgresql_options(given: dict[str, Any], patience: int) -> dict[str, Any]:
    from psycopg import IsolationLevel  # optional: this database's driver

    network = {
        "connect_timeout": max(2, patience),
        "keepalives_idle": patience,
        "keepalives_interval": max(1, patience // 3),
        "keepalives_count": 3,
        "tcp_user_timeout": patience * 1000,
    }
    own = {name: value for name, value in given.items() if name != "pool"}
    fast = {"server_side_binding": True}  # thousands of values, which would all be quoted here
    return {**network, **fast, **own, "isolation_level": IsolationLevel.READ_COMMITTED}


def _prepare_postgresql(connection: BaseDatabaseWrapper, patience: int) -> None:
    driver = connection.connection
    driver.wait = _patient(driver, patience + 1)  # after the server, whose verdict is clearer
    if is_pooled(connection):
        return  # what one session has prepared, the next one does not know either
    if "prepare_threshold" not in connection.settings_dict["OPTIONS"]:
        driver.prepare_threshold = _PREPARE_AFTER
    session = {
        "default_transaction_isolation": "read committed",
        "lock_timeout": f"{LOCK_TIMEOUT}s",
        "statement_timeout": f"{patience}s",
        "idle_in_transaction_session_timeout": f"{patience}s",
        # A plan for an empty table would be kept for a full one, and until the first ANALYZE the planner
        # takes every table for so small that it reads all of it, once for each task.
        "plan_cache_mode": "force_custom_plan",
        "enable_seqscan": "off",
        "jit": "off",  # short statements over few rows, which it takes longer to compile than to run
    }
    settings = ", ".join("set_config(%s, %s, false)" for _ in session)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {settings}", [word for pair in session.items() for word in pair])


def _patient(driver: Any, patience: float) -> Callable[..., Any]:
    """The driver's ``wait`` with an end: where the network swallows everything, TCP alone may not
    notice, for example behind a proxy that acknowledges and delivers nothing."""
    from psycopg import OperationalError  # optional, too

    wait = driver.wait

    def bounded(steps: Generator[Any, Any, _T]) -> Generator[Any, Any, _T]:
        deadline = time.monotonic() + patience
        try:
            wanted = next(steps)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > deadline:
                    driver.pgconn.finish()
                    raise OperationalError(f"no answer within {patience:g} s")
                wanted = steps.send(ready)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    return lambda steps, *args, **kwargs: wait(bounded(steps), *args, **kwargs)


# MariaDB and MySQL


def _mysql_options(given: dict[str, Any], patience: int) -> dict[str, Any]:
    network = {
        "connect_timeout": max(2, patience),
        "read_timeout": patience + 1,
        "write_timeout": patience + 1,
    }
    return {**network, **given, "isolation_level": "read committed"}


def _prepare_mysql(connection: BaseDatabaseWrapper, patience: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SET SESSION innodb_lock_wait_timeout = {LOCK_TIMEOUT},"
            f" lock_wait_timeout = {LOCK_TIMEOUT}"
        )


# SQLite


def _sqlite_options(given: dict[str, Any], patience: int) -> dict[str, Any]:
    # A transaction that reads first and then writes fails at once, whatever the timeout.
    return {**given, "timeout": patience, "transaction_mode": "IMMEDIATE"}


def _prepare_nothing(connection: BaseDatabaseWrapper, patience: int) -> None:
    """The options say it all."""


_Options = Callable[[dict[str, Any], int], dict[str, Any]]
_Prepare = Callable[[BaseDatabaseWrapper, int], None]

_KINDS: dict[str, tuple[_Options, _Prepare]] = {
    "postgresql": (_postgresql_options, _prepare_postgresql),
    "mysql": (_mysql_options, _prepare_mysql),
    "sqlite": (_sqlite_options, _prepare_nothing),
}
