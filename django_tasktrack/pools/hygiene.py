"""What a task may leave behind in the process that ran it, and the next one must not find."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from .. import signals
from . import sessions

_T = TypeVar("_T")

#: A connection that was idle for so many seconds is tried before a body uses it.
_TRUST = 1.0

_local = threading.local()


def prepare_connections() -> None:
    """Have connections that were idle checked when the coming body first uses them.

    The server may have closed them meanwhile: a restart, a killed session, an idle limit of the network.
    """
    sessions.watch()
    if time.monotonic() - getattr(_local, "cleaned_at", 0.0) < _TRUST:
        return
    for connection in connections.all(initialized_only=True):
        connection.health_check_enabled = True  # type: ignore[attr-defined]  # the stubs lag
        connection.health_check_done = False  # type: ignore[attr-defined]


def clean_connections() -> None:
    """Close connections that a task left broken, changed or inside a transaction; keep the others open.

    ``CONN_MAX_AGE`` is respected where it is positive. Its default of 0 speaks of requests; between
    tasks a connection stays open, as in any management command, unless it belongs to a pool.
    """
    for connection in connections.all(initialized_only=True):
        connection.queries_log.clear()  # with DEBUG it would grow for ever
        if connection.connection is not None and _is_spent(connection):
            _discard(connection)
    _local.cleaned_at = time.monotonic()


def run_with_clean_connections(body: Callable[[], Any]) -> Any:
    """Call something in a thread whose connections nobody else looks after."""
    prepare_connections()
    try:
        return body()
    finally:
        clean_connections()


def run_coroutine(body: Coroutine[Any, Any, _T]) -> _T:
    """``asyncio.run``, with a look after the connections of the thread that asynchronous code shares."""
    return asyncio.run(_with_clean_connections(body))


async def _with_clean_connections(body: Coroutine[Any, Any, _T]) -> _T:
    try:
        await sync_to_async(prepare_connections)()
        return await body
    finally:
        await sync_to_async(clean_connections)()


@contextmanager
def process_of_bodies() -> Iterator[None]:
    """Tell whoever listens that this process begins to run bodies, and with the block that it ends."""
    signals.worker_process_init.tell(None)
    try:
        yield
    finally:
        signals.worker_process_shutdown.tell(None, pid=os.getpid(), exitcode=0)


def flush_output() -> None:
    """Let what a task has printed be seen, and no forked process print it again."""
    for stream in (sys.stdout, sys.stderr):
        try:  # noqa: SIM105  suppress() takes twice as long as all the rest here
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass  # closed, or none at all


def _is_spent(connection: BaseDatabaseWrapper) -> bool:
    if connection.settings_dict.get("OPTIONS", {}).get("pool"):
        return True  # closing it gives it back
    aged = connection.close_at is not None and time.monotonic() >= connection.close_at
    if aged and connection.settings_dict["CONN_MAX_AGE"]:
        return True
    if connection.in_atomic_block or not connection.autocommit or sessions.is_changed(connection):
        return True
    return connection.errors_occurred and not connection.is_usable()


def _discard(connection: BaseDatabaseWrapper) -> None:
    """Close it whatever it thinks of its transaction."""
    connection.in_atomic_block = False
    connection.savepoint_ids = []
    connection.run_on_commit = []
    connection.close()
