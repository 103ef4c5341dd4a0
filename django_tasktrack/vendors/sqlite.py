"""SQLite: the portable statements, with fewer of them where nothing is to be done."""

from __future__ import annotations

from collections.abc import Sequence

from ..agenda import Behind
from ..outcomes import Claim
from .base import Vendor


class SQLiteVendor(Vendor):
    """There is one writer, and nobody can be notified; but a counter of the file tells of others' commits."""

    watch_every = 0.02

    def claim(
        self,
        worker_id: int,
        queues: Sequence[str],
        names: Sequence[str],
        limit: int,
        *,
        behind: Behind | None = None,
        excluded: Sequence[str] = (),
    ) -> list[Claim]:
        # Asked before the writer's lock is taken, which the bodies wait for.
        if limit < 1 or not names:
            return []
        if not self._claimable(queues, names, behind, excluded).exists():
            return []
        return super().claim(worker_id, queues, names, limit, behind=behind, excluded=excluded)

    def revision(self) -> object:
        driver = self.connection.connection
        if driver is None:
            return None
        with self.connection.wrap_database_errors:
            (version,) = driver.execute("PRAGMA data_version").fetchone()
        return driver, version  # the counter is one of this connection
