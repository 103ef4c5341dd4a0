"""A body inside of a test's transaction, which is to end as one that has no transaction around it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import TestCase


@contextmanager
def as_by_itself() -> Iterator[None]:
    """Let a body have its own end, on each connection that is inside of a transaction.

    What it leaves for its commit is done when it ends: the test's transaction never commits. What the
    database refuses it costs what it has written itself, and not the test's transaction.
    """
    with ExitStack() as stack:
        for connection in connections.all(initialized_only=True):
            if connection.in_atomic_block:
                stack.enter_context(_inside_of_transaction(connection))
        yield


@contextmanager
def _inside_of_transaction(connection: BaseDatabaseWrapper) -> Iterator[None]:
    using, before = connection.alias, len(connection.run_on_commit)
    savepoint = transaction.atomic(using=using)
    # So that the body may open durable blocks wherever the test may.
    savepoint._from_testcase = connection.atomic_blocks[-1]._from_testcase  # type: ignore[attr-defined]
    try:
        with (
            TestCase.captureOnCommitCallbacks(using=using, execute=True),
            suppress(DatabaseError),  # the body knows what was refused
            savepoint,
        ):
            yield
    finally:
        del connection.run_on_commit[before:]  # done, and not to be done again by the test
