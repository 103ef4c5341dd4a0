"""What was packed, given back as it was (``unpack``), or shown to people and programs (``readable``).

Nothing is made but the types of this file, instances of classes that the project has allowed
(``allowed``) and rows of installed models: no name that a payload holds is ever imported.
"""

from __future__ import annotations

import base64
import reprlib
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.apps import apps
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import connections, models
from django.utils.dateparse import parse_duration

from .allowed import class_of
from .exceptions import PayloadError
from .packing import MARK, Tag

#: What the parts of a tag raise where they are not what was packed.
_UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, ValidationError)


def unpack(value: Any) -> Any:
    """What ``pack`` was given.

    Raises:
        PayloadError: it names what this process does not have or allow, or it was not packed by this.
    """
    if isinstance(value, list):
        return [unpack(item) for item in value]
    if not isinstance(value, dict):
        return value
    if MARK not in value:
        return {key: unpack(item) for key, item in value.items()}
    try:
        return _UNPACK[value[MARK]](value)
    except PayloadError:
        raise
    except _UNREADABLE as error:
        raise PayloadError(
            f"A stored value of the kind {reprlib.repr(value[MARK])} cannot be read: {error!r}.",
            hint="It was written by another version, or its class has changed since.",
        ) from error


def _datetime(tag: Tag) -> datetime:
    moment = datetime.fromisoformat(tag["value"])
    if "zone" not in tag:
        return moment
    try:
        return moment.astimezone(ZoneInfo(tag["zone"]))
    except (ZoneInfoNotFoundError, OverflowError):
        return moment  # the same moment, by its offset


def _time(tag: Tag) -> time:
    moment = time.fromisoformat(tag["value"])
    return moment.replace(tzinfo=ZoneInfo(tag["zone"])) if "zone" in tag else moment


def _timedelta(tag: Tag) -> timedelta:
    length = parse_duration(tag["value"])
    if length is None:
        raise ValueError(f"{tag['value']!r} is no duration")
    return length


def _enum(tag: Tag) -> Enum:
    kind: Any = _class(tag)
    return kind(tag["value"]) if issubclass(kind, Flag) else kind[tag["value"]]  # type: ignore[no-any-return]


def _dataclass(tag: Tag) -> Any:
    kind = _class(tag)
    given = {key: unpack(item) for key, item in tag["value"].items()}
    return kind(**given)


def _class(tag: Tag) -> type:
    name = tag["class"]
    kind = class_of(name) if isinstance(name, str) else None
    if kind is None or issubclass(kind, Enum) != (tag[MARK] == "enum"):
        raise PayloadError(
            f"A stored value is of the class {reprlib.repr(name)}, which is not allowed here.",
            hint="Mark the class @serializable in a module that workers import, or list its module in "
            "TASKTRACK['SERIALIZABLE_MODULES'].",
        )
    return kind


def _instance(tag: Tag) -> models.Model:
    try:
        model = apps.get_model(tag["model"])
    except LookupError as error:
        raise PayloadError(f"A stored value is of a model that is not installed: {error}") from None
    using, pk = tag.get("using"), unpack(tag["value"])
    if using is not None and using not in connections:
        raise PayloadError(
            f"A {model._meta.label} is in database {using!r}, which is not in DATABASES."
        )
    try:
        found: models.Model = model._base_manager.using(using).get(pk=pk)
    except ObjectDoesNotExist:
        raise PayloadError(
            f"{model._meta.label} {pk} is gone{f' from database {using!r}' if using else ''}.",
            hint="Pass the primary key where it may be deleted before the task runs.",
        ) from None
    return found


_UNPACK: dict[str, Callable[[Tag], Any]] = {
    "float": lambda tag: float(tag["value"]),
    "tuple": lambda tag: tuple(map(unpack, tag["value"])),
    "set": lambda tag: set(map(unpack, tag["value"])),
    "frozenset": lambda tag: frozenset(map(unpack, tag["value"])),
    "dict": lambda tag: {unpack(key): unpack(item) for key, item in tag["value"]},
    "datetime": _datetime,
    "date": lambda tag: date.fromisoformat(tag["value"]),
    "time": _time,
    "timedelta": _timedelta,
    "decimal": lambda tag: Decimal(tag["value"]),
    "uuid": lambda tag: UUID(tag["value"]),
    "bytes": lambda tag: base64.b64decode(tag["value"], validate=True),
    "model": _instance,
    "enum": _enum,
    "dataclass": _dataclass,
}


# For people, and for programs that are not this one


def readable(value: Any) -> Any:
    """Packed values as plain JSON values, with nothing looked up or made; it never fails."""
    if isinstance(value, list):
        return [readable(item) for item in value]
    if not isinstance(value, dict):
        return value
    if MARK not in value:
        return {key: readable(item) for key, item in value.items()}
    show = _SHOW.get(str(value[MARK]))
    return readable(value.get("value")) if show is None else show(value)


def _readable_instance(tag: Tag) -> Any:
    return {"model": tag.get("model"), "pk": readable(tag.get("value"))}


def _readable_member(tag: Tag) -> str:
    return f"{str(tag.get('class')).rpartition('.')[2]}.{tag.get('value')}"


def _readable_pairs(tag: Tag) -> Any:
    """A dict where its keys can be told apart as text, else its pairs."""
    shown = readable(tag.get("value"))
    pairs = shown if isinstance(shown, list) else []
    firsts = [pair[0] for pair in pairs if isinstance(pair, list) and len(pair) == 2]
    keys = {str(key) for key in firsts if isinstance(key, (str, int, float))}
    return {str(key): item for key, item in pairs} if len(keys) == len(pairs) else shown


_SHOW: dict[str, Callable[[Tag], Any]] = {
    "model": _readable_instance,
    "enum": _readable_member,
    "dict": _readable_pairs,
}
