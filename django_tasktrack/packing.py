"""Values that JSON has no form for, as JSON: each in a dict that names its type under ``MARK``."""

from __future__ import annotations

import base64
import dataclasses
import functools
import inspect
import math
import reprlib
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from functools import singledispatch
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import models
from django.utils.duration import duration_iso_string
from django.utils.functional import Promise

from .allowed import name_of
from .exceptions import PayloadError
from .payloads import MAX_DEPTH, flaw

#: The one reserved key. A dict of the user's own that has it is carried as pairs.
MARK = "__tasktrack__"

Tag = dict[str, Any]

_LEAVES = (str, int, float, type(None))


class _Place(NamedTuple):
    """Where a value stands: its path in what the user gave, its depth in what is stored."""

    path: str
    level: int

    def inside(self, key: object, levels: int) -> _Place:
        """The place of what ``key`` leads to, so many levels further down."""
        return _Place(f"{self.path}[{reprlib.repr(key)}]", self.level + levels)

    def refuse(self, problem: str, hint: str = "") -> PayloadError:
        return PayloadError(
            f"{self.path}: {problem} cannot be carried.",
            hint=hint or "docs/payloads.md lists what can be.",
        )


def pack(value: object, what: str, level: int = 0) -> Any:
    """``value`` as JSON values.

    Args:
        value: what to carry.
        what: its name in error messages.
        level: how many levels of JSON will stand around it.

    Raises:
        PayloadError: naming the path of the first value that cannot be carried, and its type.
    """
    return _packed(value, _Place(what, level))


def _packed(value: object, at: _Place) -> Any:
    if at.level >= MAX_DEPTH and not isinstance(value, _LEAVES):
        raise at.refuse(f"a value nested more than {MAX_DEPTH} levels deep, tags included,")
    if isinstance(value, Enum):  # which may be a str or an int too
        return _pack_enum(value, at)
    return _pack(value, at)


def _tag(kind: str, value: Any, **more: Any) -> Tag:
    return {MARK: kind, "value": value, **more}


@singledispatch
def _pack(value: object, at: _Place) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _pack_dataclass(value, at)
    kind = type(value)
    raise at.refuse(
        f"a value of type {kind.__module__}.{kind.__qualname__}".replace("builtins.", "")
    )


@_pack.register(str)
@_pack.register(int)
@_pack.register(type(None))
def _(value: Any, at: _Place) -> Any:
    if problem := flaw(value):
        raise at.refuse(problem)
    return value


@_pack.register
def _(value: float, at: _Place) -> Any:
    return value if math.isfinite(value) else _tag("float", repr(float(value)))


@_pack.register
def _(value: list, at: _Place) -> Any:  # type: ignore[type-arg]
    return [_packed(item, at.inside(number, 1)) for number, item in enumerate(value)]


@_pack.register
def _(value: tuple, at: _Place) -> Any:  # type: ignore[type-arg]
    return _tag("tuple", [_packed(item, at.inside(n, 2)) for n, item in enumerate(value)])


@_pack.register(set)
@_pack.register(frozenset)
def _(value: Any, at: _Place) -> Any:
    items = [_packed(item, at.inside(item, 2)) for item in value]
    # Sorted, so that equal sets have one text.
    return _tag("set" if isinstance(value, set) else "frozenset", sorted(items, key=repr))


@_pack.register
def _(value: dict, at: _Place) -> Any:  # type: ignore[type-arg]
    if MARK not in value and all(type(key) is str for key in value):
        for key in value:
            if problem := flaw(key):
                raise _Place(f"{at.path} key", 0).refuse(problem)
        return {key: _packed(item, at.inside(key, 1)) for key, item in value.items()}
    pairs = [
        [_packed(key, _Place(f"{at.path} key", at.level + 3)), _packed(item, at.inside(key, 3))]
        for key, item in value.items()
    ]
    return _tag("dict", pairs)


@_pack.register
def _(value: datetime, at: _Place) -> Any:
    return _tag("datetime", value.isoformat(), **_zone(value.tzinfo))


@_pack.register
def _(value: date, at: _Place) -> Any:
    return _tag("date", value.isoformat())


@_pack.register
def _(value: time, at: _Place) -> Any:
    zone = _zone(value.tzinfo)
    if value.tzinfo is not None and value.utcoffset() is None and not zone:
        raise at.refuse(f"a time in {value.tzinfo!r}", hint="Use a ZoneInfo, or a datetime.")
    return _tag("time", value.isoformat(), **zone)


def _zone(zone: object) -> dict[str, str]:
    return {"zone": zone.key} if isinstance(zone, ZoneInfo) and zone.key else {}


@_pack.register
def _(value: timedelta, at: _Place) -> Any:
    return _tag("timedelta", duration_iso_string(value))


@_pack.register
def _(value: Decimal, at: _Place) -> Any:
    return _tag("decimal", str(value))


@_pack.register
def _(value: UUID, at: _Place) -> Any:
    return _tag("uuid", str(value))


@_pack.register(bytes)
@_pack.register(bytearray)
@_pack.register(memoryview)
def _(value: Any, at: _Place) -> Any:
    return _tag("bytes", base64.b64encode(value).decode())


@_pack.register
def _(value: Promise, at: _Place) -> Any:
    """A lazy string: what it says now, in the language that is active."""
    return _packed(str(value), at)


@_pack.register
def _(value: models.Model, at: _Place) -> Any:
    if value.pk is None or value._state.adding:
        raise at.refuse(f"an unsaved {value._meta.label}", hint="Save it first.")
    using = {"using": value._state.db} if value._state.db else {}
    return _tag(
        "model", _packed(value.pk, at.inside("pk", 1)), model=value._meta.label_lower, **using
    )


def _pack_enum(value: Enum, at: _Place) -> Any:
    name = name_of(type(value))
    if name is None and isinstance(value, (str, int, float)):
        return _packed(value.value, at)  # as JSON alone carries it
    if name is None:
        raise _not_allowed(value, at)
    # By name, which outlives a change of the value; combined flags have none.
    return _tag("enum", value.value if isinstance(value, Flag) else value.name, **{"class": name})


def _pack_dataclass(value: object, at: _Place) -> Any:
    kind: Any = type(value)
    name = name_of(kind)
    if name is None:
        raise _not_allowed(value, at)
    if wanted := _wanted_besides_fields(kind):
        said = f"{kind.__qualname__}, which is made with {wanted}, and does not keep it,"
        raise at.refuse(said, hint="Pass its parts.")
    given = {field: getattr(value, field) for field in _fields(kind)}
    packed = {key: _packed(item, at.inside(key, 2)) for key, item in given.items()}
    return _tag("dataclass", packed, **{"class": name})


@functools.cache
def _fields(kind: Any) -> tuple[str, ...]:
    """The fields that an instance is made of."""
    return tuple(field.name for field in dataclasses.fields(kind) if field.init)


@functools.cache
def _wanted_besides_fields(kind: type) -> str:
    """What making an instance needs and its fields do not tell, such as an ``InitVar``."""
    empty = inspect.Parameter.empty
    parameters = inspect.signature(kind).parameters.values()
    required = [
        p.name
        for p in parameters
        if p.default is empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    return ", ".join(name for name in required if name not in _fields(kind))


def _not_allowed(value: object, at: _Place) -> PayloadError:
    kind = type(value)
    return at.refuse(
        f"{kind.__module__}.{kind.__qualname__}",
        hint="Mark the class @serializable, or list its module in TASKTRACK['SERIALIZABLE_MODULES'].",
    )
