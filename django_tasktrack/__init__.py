"""Tracked background jobs for Django: what users import.

Names are loaded when they are first used, because models exist only once the apps are ready.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import goals as goals
    from . import schedules as schedules
    from . import signals as signals
    from .allowed import serializable as serializable
    from .bound import current_task as current_task
    from .canvas import Signature as Signature
    from .canvas import chain as chain
    from .canvas import chord as chord
    from .canvas import chunks as chunks
    from .canvas import group as group
    from .canvas import maybe_signature as maybe_signature
    from .canvas import signature as signature
    from .canvas import xmap as xmap
    from .canvas import xstarmap as xstarmap
    from .declaration import Task as Task
    from .declaration import enqueue_many as enqueue_many
    from .declaration import register_task as register_task
    from .declaration import shared_task as shared_task
    from .declaration import task as task
    from .eager import EagerResult as EagerResult
    from .result import AsyncResult as AsyncResult
    from .result import allow_join_result as allow_join_result
    from .result_sets import GroupResult as GroupResult
    from .result_sets import ResultSet as ResultSet
    from .result_sets import result_from_tuple as result_from_tuple

__version__ = "0.1.0"
__all__ = [
    "AsyncResult",
    "EagerResult",
    "GroupResult",
    "ResultSet",
    "Signature",
    "Task",
    "allow_join_result",
    "chain",
    "chord",
    "chunks",
    "current_task",
    "enqueue_many",
    "goals",
    "group",
    "maybe_signature",
    "register_task",
    "result_from_tuple",
    "schedules",
    "serializable",
    "shared_task",
    "signals",
    "signature",
    "task",
    "xmap",
    "xstarmap",
]

_HOMES = {
    "AsyncResult": "result",
    "EagerResult": "eager",
    "GroupResult": "result_sets",
    "ResultSet": "result_sets",
    "Signature": "canvas",
    "Task": "declaration",
    "allow_join_result": "result",
    "chain": "canvas",
    "chord": "canvas",
    "chunks": "canvas",
    "current_task": "bound",
    "enqueue_many": "declaration",
    "group": "canvas",
    "maybe_signature": "canvas",
    "register_task": "declaration",
    "result_from_tuple": "result_sets",
    "serializable": "allowed",
    "signature": "canvas",
    "xmap": "canvas",
    "xstarmap": "canvas",
    "shared_task": "declaration",
    "task": "declaration",
}


def __getattr__(name: str) -> Any:
    if name in ("goals", "schedules", "signals"):
        return importlib.import_module(f".{name}", __name__)
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
