"""A row that somebody else's transaction holds, on databases with row locks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import connection, models, transaction

needs_row_locks = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="SQLite has no row locks: the transaction is the lock"
)


@contextmanager
def held(row: models.Model, then: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Another connection holds the row for the block; ``then`` runs there before it lets go."""
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                type(row)._default_manager.select_for_update().get(pk=row.pk)
                holding.set()
                done.wait(20)
                then()
        finally:
            connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert holding.wait(10)
        yield
    finally:
        done.set()
        thread.join(10)
