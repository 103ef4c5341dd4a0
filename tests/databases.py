"""Which database a run of the suite uses, and where it comes from.

``TASKTRACK_TEST_DATABASE`` is sqlite (default), postgresql or mysql. PostgreSQL is
``TASKTRACK_TEST_POSTGRES`` or a server of the run's own; MariaDB is ``TASKTRACK_TEST_MYSQL``.
What is started or made here is told to child processes through the environment.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any, cast

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

CHOICE = "TASKTRACK_TEST_DATABASE"
POSTGRES = "TASKTRACK_TEST_POSTGRES"
MYSQL = "TASKTRACK_TEST_MYSQL"
#: Name of the test database that is in use already; set for worker processes.
NAME = "TASKTRACK_TEST_DATABASE_NAME"
#: Set where a PostgreSQL statement must come with its text each time.
UNPREPARED = "TASKTRACK_TEST_UNPREPARED"
_SCRATCH = "TASKTRACK_TEST_SCRATCH"


def scratch() -> Path:
    """Directory of the run for files and logs; the process that made it removes it."""
    if _SCRATCH not in os.environ:
        os.environ[_SCRATCH] = tempfile.mkdtemp(prefix="tasktrack-")
        atexit.register(_remove, os.environ[_SCRATCH], os.getpid())
    return Path(os.environ[_SCRATCH])


def _remove(directory: str, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(directory, ignore_errors=True)


def kind() -> str:
    """Which database this run is on: sqlite, postgresql or mysql."""
    return os.environ.get(CHOICE, "sqlite")


def default() -> dict[str, Any]:
    """``DATABASES["default"]`` of the test settings."""
    makers = {"sqlite": _sqlite, "postgresql": _postgresql, "mysql": _mysql}
    if kind() not in makers:
        raise ImproperlyConfigured(f"{CHOICE}={kind()!r} is none of {', '.join(makers)}.")
    database = makers[kind()]()
    if NAME in os.environ:
        database["NAME"] = os.environ[NAME]
    return database


def beside(database: dict[str, Any], suffix: str = "_tasks") -> dict[str, Any]:
    """Another database on the same server, or in the same folder."""
    test = dict(database.get("TEST", {}))
    if test.get("NAME"):
        test["NAME"] += suffix
    return {**database, "NAME": f"{database['NAME']}{suffix}", "TEST": test}


def _sqlite() -> dict[str, Any]:
    """A file, because worker processes have to see it."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(scratch() / "unused.sqlite3"),
        "TEST": {"NAME": str(scratch() / "test.sqlite3")},
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }


def _postgresql() -> dict[str, Any]:
    if POSTGRES not in os.environ:
        from . import postgres  # only where a server has to be started

        os.environ[POSTGRES] = postgres.start(scratch() / "postgres")
    database = _parsed(os.environ[POSTGRES])
    if UNPREPARED in os.environ:
        database["OPTIONS"] = {**database.get("OPTIONS", {}), "prepare_threshold": None}
    return database


def _mysql() -> dict[str, Any]:
    if MYSQL not in os.environ:
        raise ImproperlyConfigured(
            f"Set {MYSQL}, for example mysql://root@127.0.0.1:3306/tasktrack."
        )
    try:
        import MySQLdb  # noqa: F401
    except ImportError:  # the driver that needs no compiler
        import pymysql

        pymysql.install_as_MySQLdb()
    database = _parsed(os.environ[MYSQL])
    database["OPTIONS"] = {**database.get("OPTIONS", {}), "isolation_level": "read committed"}
    database["TEST"] = {"CHARSET": "utf8mb4"}
    return database


def _parsed(url: str) -> dict[str, Any]:
    return cast("dict[str, Any]", dj_database_url.parse(url))


def version() -> str:
    """Name and version of the server, as the run's header and summary show it."""
    from django.db import connection  # settings import this module

    if connection.vendor == "sqlite":
        return f"SQLite {sqlite3.sqlite_version}"
    with connection._nodb_cursor() as cursor:
        cursor.execute("SELECT version()")
        (told,) = cursor.fetchone()
    if connection.vendor == "mysql":
        return f"{'MariaDB' if 'MariaDB' in told else 'MySQL'} {told.split('-')[0]}"
    return " ".join(told.split()[:2])


#: What a server says of how safe a commit is.
_DURABILITY = {
    "postgresql": "SELECT 'fsync=' || current_setting('fsync')"
    " || ', synchronous_commit=' || current_setting('synchronous_commit')",
    "mysql": "SELECT concat('innodb_flush_log_at_trx_commit=', @@innodb_flush_log_at_trx_commit)",
}


def durability() -> str:
    """What the run's commits wait for, as its figures have to say."""
    from django.db import connection  # settings import this module

    if connection.vendor == "sqlite":
        pragmas = str(connection.settings_dict["OPTIONS"]["init_command"])
        return pragmas.replace("PRAGMA ", "").strip("; ").replace(";", ",")
    with connection._nodb_cursor() as cursor:
        cursor.execute(_DURABILITY[connection.vendor])
        (told,) = cursor.fetchone()
    return str(told)
