"""The forms that payloads may have: "json", and "tagged", which carries more types.

Whatever is not plain JSON says so itself, in a dict around all of it, so that every row is read as it
was written, whatever is declared now. User data can look like that dict: then it gets one of its own.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import Any

from . import packing, unpacking
from .conf import config
from .exceptions import PayloadError
from .packing import MARK
from .payloads import encode

Serialize = Callable[[Any, str], str]

_MARK_AS_TEXT = f'"{MARK}"'


def _json(value: Any, what: str) -> str:
    if isinstance(value, dict) and MARK in value:
        value = {MARK: "json", "value": value}
    return encode(value, what)


def _tagged(value: Any, what: str) -> str:
    text = encode(packing.pack(value, what, level=1), what)
    # What needed no tag is plain JSON, for whoever reads the table.
    return f'{{"{MARK}":"tagged","value":{text}}}' if _MARK_AS_TEXT in text else text


_SERIALIZERS: dict[str, Serialize] = {"json": _json, "tagged": _tagged}


def serialize_with(name: str) -> Serialize:
    """The function of a value, and of its name in errors, that makes its JSON text.

    Args:
        name: "json" or "tagged".

    It raises PayloadError, naming the path of the first value that cannot be carried.
    """
    return _SERIALIZERS[name]


def restored(value: Any) -> Any:
    """What was given, of the JSON value that a column holds. Model instances are looked up.

    Raises:
        PayloadError: something in it is gone, or not allowed here.
    """
    if not isinstance(value, dict) or MARK not in value or not _says_what_it_is(value):
        return value
    kind = value[MARK]
    if kind == "json":
        return value["value"]
    if kind not in config().ACCEPT_CONTENT:
        raise PayloadError(
            f"A payload is {reprlib.repr(kind)}, which is not accepted here.",
            hint=f"TASKTRACK['ACCEPT_CONTENT'] is {list(config().ACCEPT_CONTENT)}.",
        )
    return unpacking.unpack(value["value"])


def readable(value: Any) -> Any:
    """The JSON value that a column holds, for people and other programs. Nothing is looked up."""
    if not _says_what_it_is(value):
        return value
    return value["value"] if value[MARK] == "json" else unpacking.readable(value["value"])


def _says_what_it_is(value: Any) -> bool:
    """Anything else was written before there were serializers."""
    return isinstance(value, dict) and MARK in value and value.keys() == {MARK, "value"}


def is_plain(text: str) -> bool:
    """Whether restoring this JSON text costs nothing: no lookup, no class."""
    return _MARK_AS_TEXT not in text
