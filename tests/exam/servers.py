"""Servers of a case's own, which it may stop, fill and put others in front of."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dj_database_url
import pytest
from django.core.management import call_command
from django.db import connection

from tests import databases, postgres
from tests.workers import wait_until


@contextmanager
def moved_to(database: Mapping[str, Any]) -> Iterator[None]:
    """Have this process, and the workers that it starts, use another database for a while."""
    before = dict(connection.settings_dict)
    connection.close()
    connection.settings_dict.update(database)
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict.clear()
        connection.settings_dict.update(before)


class Server:
    """A PostgreSQL server of one test."""

    def __init__(self, directory: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._control = postgres.Control(directory, self.port)
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/exam?sslmode=disable"

    def start(self) -> None:
        self._control.run("-w", "start")

    def stop(self, mode: str) -> None:
        self._control.run("-w", "-m", mode, "stop")

    def restart(self, mode: str) -> None:
        self._control.run("-w", "-m", mode, "restart")


@contextmanager
def own_server(
    directory: Path, monkeypatch: pytest.MonkeyPatch, tablespace: Path | None = None
) -> Iterator[Server]:
    """A PostgreSQL server with an empty, migrated database, which this process uses meanwhile.

    Args:
        directory: of the server.
        monkeypatch: the test's.
        tablespace: where the database lies, if not there.
    """
    server = Server(directory)
    server.start()
    try:
        administrator = {**dj_database_url.parse(server.url), "NAME": "postgres"}
        with moved_to(administrator), connection.cursor() as cursor:
            where = ""
            if tablespace:
                owner = directory.stat()
                os.chown(tablespace, owner.st_uid, owner.st_gid)
                cursor.execute(f"CREATE TABLESPACE small LOCATION '{tablespace}'")
                where = "TABLESPACE small"
            cursor.execute(f"CREATE DATABASE exam {where}")
        monkeypatch.setenv(databases.POSTGRES, server.url)
        with moved_to(dj_database_url.parse(server.url)):
            call_command("migrate", verbosity=0)
            yield server
    finally:
        with suppress(subprocess.CalledProcessError):  # the test has stopped it
            server.stop("immediate")


@contextmanager
def small_disk(directory: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own, which a test can fill.

    Skips the test where this process may not mount one.
    """
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=777", "tmpfs", str(directory)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk has to be mounted, which takes root")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


@contextmanager
def pgbouncer(directory: Path, size: int) -> Iterator[str]:
    """PgBouncer in transaction mode before the test database: its URL."""
    program = _found("pgbouncer")
    connection.ensure_connection()
    info = connection.connection.info
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (directory / "users.txt").write_text(f'"{info.user}" ""\n')
    configuration = directory / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\n* = host={info.host} port={info.port} user={info.user}\n"
        "[pgbouncer]\nlisten_addr = 127.0.0.1\nunix_socket_dir =\n"
        f"listen_port = {port}\nauth_type = any\npool_mode = transaction\n"
        f"default_pool_size = {size}\nmax_client_conn = 500\n"
        f"logfile = {directory / 'pgbouncer.log'}\n"
    )
    configuration.chmod(0o644)
    directory.chmod(0o777)
    directory.parent.chmod(0o711)
    running = subprocess.Popen(
        [program, str(configuration)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        user=_pooler_s_user(info.host) if os.geteuid() == 0 else None,
    )
    try:
        wait_until(lambda: _listens(port), what="PgBouncer")
        yield f"postgres://{info.user}@127.0.0.1:{port}/{info.dbname}?sslmode=disable"
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(10)


def _pooler_s_user(host: str) -> str | int:
    """It refuses to run as root; the folder that a server's socket lies in may be shut to all others."""
    owner = Path(host).stat().st_uid if host.startswith("/") else 0
    return owner or "nobody"


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _found(program: str) -> str:
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path
