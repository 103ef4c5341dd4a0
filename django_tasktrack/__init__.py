"""Tracked background jobs for Django: what users import.

Names are loaded when they are first used, because models exist only once the apps are ready.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import goals as goals
    from . import signals as signals
    from .bound import current_task as current_task
    from .declaration import Task as Task
    from .declaration import enqueue_many as enqueue_many
    from .declaration import register_task as register_task
    from .declaration import shared_task as shared_task
    from .declaration import task as task
    from .result import AsyncResult as AsyncResult

__version__ = "0.1.0"
__all__ = [
    "AsyncResult",
    "Task",
    "current_task",
    "enqueue_many",
    "goals",
    "register_task",
    "shared_task",
    "signals",
    "task",
]

_HOMES = {
    "AsyncResult": "result",
    "Task": "declaration",
    "current_task": "bound",
    "enqueue_many": "declaration",
    "register_task": "declaration",
    "shared_task": "declaration",
    "task": "declaration",
}


def __getattr__(name: str) -> Any:
    if name in ("goals", "signals"):
        return importlib.import_module(f".{name}", __name__)
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
