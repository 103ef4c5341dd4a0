"""Celery's names over this package's engine: ``from django_tasktrack.compat.celery import Celery, shared_task``.

The package celery is not needed. Names are loaded when they are first used, because a project's ``celery.py`` is
imported before Django's apps are there.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .app import Celery, current_app, shared_task
from .loading import load

if TYPE_CHECKING:
    from ...bound import current_task as current_task
    from .app.task import Task as Task
    from .canvas import Signature as Signature
    from .canvas import chain as chain
    from .canvas import chord as chord
    from .canvas import chunks as chunks
    from .canvas import group as group
    from .canvas import maybe_signature as maybe_signature
    from .canvas import signature as signature
    from .canvas import subtask as subtask
    from .canvas import xmap as xmap
    from .canvas import xstarmap as xstarmap
    from .result import AsyncResult as AsyncResult
    from .utils import uuid as uuid

_MODULES = frozenset(
    {"canvas", "exceptions", "result", "schedules", "signals", "states", "utils"},
)
_HOMES = {
    "AsyncResult": ".result",
    "Signature": ".canvas",
    "Task": ".app.task",
    "chain": ".canvas",
    "chord": ".canvas",
    "chunks": ".canvas",
    "current_task": "bound",
    "group": ".canvas",
    "maybe_signature": ".canvas",
    "signature": ".canvas",
    "subtask": ".canvas",
    "uuid": ".utils",
    "xmap": ".canvas",
    "xstarmap": ".canvas",
}

__all__ = ["Celery", "current_app", "shared_task", *sorted(_HOMES)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return load(_HOMES[name], name)
