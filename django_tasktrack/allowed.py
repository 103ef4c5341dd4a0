"""Which classes of a project payloads may name: those that it has marked, or whose module it has listed."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar, overload

from .conf import config
from .exceptions import InvalidTask

K = TypeVar("K", bound=type)

_marked: dict[str, type] = {}


@overload
def serializable(kind: K, /) -> K: ...


@overload
def serializable(*, name: str | None = ...) -> Callable[[K], K]: ...


def serializable(kind: Any = None, /, *, name: str | None = None) -> Any:
    """Let the tagged serializer carry an Enum or a dataclass. Usable with and without parentheses.

    Args:
        kind: the class; over ``@dataclass``, because it has to be one already.
        name: by which rows name it, so that it can be moved; by default its module and name.

    Raises:
        InvalidTask: it is neither, or another class has this name.
    """
    if kind is None:
        return lambda kind: serializable(kind, name=name)  # type: ignore[call-overload]
    if not _can_be_carried(kind):
        raise InvalidTask(
            f"@serializable marks Enums and dataclasses, not {kind!r}.",
            hint="Write it above @dataclass.",
        )
    known = _marked.setdefault(name or _path(kind), kind)
    if _path(known) != _path(kind):
        raise InvalidTask(
            f"Two classes are serializable as {name or _path(kind)!r}: {_path(known)} and {_path(kind)}.",
            hint="Give one of them another name=.",
        )
    _marked[name or _path(kind)] = kind
    return kind


def name_of(kind: type) -> str | None:
    """By which name rows may tell of this class; None where the project has not allowed it."""
    for name, marked in _marked.items():
        if marked is kind:
            return name
    return path if class_of(path := _path(kind)) is kind else None


def class_of(name: str) -> type | None:
    """The class that rows name so, if the project allows it.

    Nothing is imported for a name but modules that ``TASKTRACK["SERIALIZABLE_MODULES"]`` lists.
    """
    if name in _marked:
        return _marked[name]
    for module in config().SERIALIZABLE_MODULES:
        if name.startswith(f"{module}."):
            found = _defined_in(module, name.removeprefix(f"{module}."))
            if found is not None:
                return found
    return None


def _defined_in(module: str, qualname: str) -> type | None:
    """The class of this name, if the module itself defines it: what it has imported is not allowed."""
    found: object = importlib.import_module(module)
    for part in qualname.split("."):  # by vars(), which runs no code of theirs
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    if isinstance(found, type) and found.__module__ == module and _can_be_carried(found):
        return found
    return None


def _can_be_carried(kind: object) -> bool:
    return isinstance(kind, type) and (issubclass(kind, Enum) or dataclasses.is_dataclass(kind))


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
