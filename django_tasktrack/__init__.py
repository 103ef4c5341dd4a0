"""Tracked background jobs for Django: what users import.

Names are loaded when they are first used, because models exist only once the apps are ready.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import goals as goals
    from .allowed import serializable as serializable
    from .declaration import Task as Task
    from .declaration import enqueue_many as enqueue_many
    from .declaration import shared_task as shared_task
    from .declaration import task as task
    from .result import AsyncResult as AsyncResult

__version__ = "0.1.0"
__all__ = ["AsyncResult", "Task", "enqueue_many", "goals", "serializable", "shared_task", "task"]

_HOMES = {
    "AsyncResult": "result",
    "Task": "declaration",
    "enqueue_many": "declaration",
    "serializable": "allowed",
    "shared_task": "declaration",
    "task": "declaration",
}


def __getattr__(name: str) -> Any:
    if name == "goals":
        return importlib.import_module(".goals", __name__)
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
