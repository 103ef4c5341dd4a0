"""Which database sessions a task has changed for longer than itself: ``SET``, ``PRAGMA``, locks."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

#: Statements whose effect stays in the session. What names LOCAL or a transaction ends with it.
_LASTING = re.compile(
    r"^\s*(?:SET(?!\s+(?:LOCAL|CONSTRAINTS|TRANSACTION)\b)|PRAGMA|LISTEN|ATTACH|PREPARE"
    r"|CREATE\s+(?:LOCAL\s+|GLOBAL\s+)?TEMP(?:ORARY)?)\b"
    r"|\b(?:set_config|pg_(?:try_)?advisory_lock(?:_shared)?|get_lock)\s*\(",
    re.IGNORECASE,
)

_changed: WeakSet[BaseDatabaseWrapper] = WeakSet()


_thread = threading.local()


def watch() -> None:
    """Notice such statements on this thread's connections, from now on."""
    if not getattr(_thread, "is_watched", False):
        _thread.is_watched = True
        for connection in connections.all(initialized_only=True):
            connection.execute_wrappers.append(_note)


def is_changed(connection: BaseDatabaseWrapper) -> bool:
    """Whether the next task would find this session otherwise than a new one."""
    return connection in _changed


def _note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
    if _LASTING.search(str(sql)):
        _changed.add(context["connection"])
    return execute(sql, params, many, context)


def _on_new_session(*, connection: BaseDatabaseWrapper, **_: object) -> None:
    """What a session is set up with is not a change: MariaDB's is, with a SET of Django's own."""
    _changed.discard(connection)
    if getattr(_thread, "is_watched", False) and _note not in connection.execute_wrappers:
        # In front: a body may have put one of its own there, and takes the last away.
        connection.execute_wrappers.insert(0, _note)


connection_created.connect(_on_new_session, dispatch_uid="django_tasktrack.pools.sessions")
