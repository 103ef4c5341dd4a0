"""SQLite: the portable statements, and a cheap look whether somebody else has written."""

from __future__ import annotations

from .base import Vendor


class SQLiteVendor(Vendor):
    """Nobody can be notified there, but a counter of the file tells of others' commits."""

    watch_every = 0.02

    def revision(self) -> object:
        driver = self.connection.connection
        if driver is None:
            return None
        with self.connection.wrap_database_errors:
            (version,) = driver.execute("PRAGMA data_version").fetchone()
        return driver, version  # the counter is one of this connection
