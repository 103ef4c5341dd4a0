"""The forms that payloads may have: "json", and "tagged", which carries more types.

Whatever is not plain JSON says so itself, in a dict around all of it, so that every row is read as it
was written, whatever is declared now. User data can look like that dict: then it gets one of its own.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable, Sequence
from typing import Any

from . import packing, unpacking
from .conf import config
from .exceptions import PayloadError
from .packing import MARK
from .payloads import MAX_DEPTH, encode, rewritten

Serialize = Callable[[Any, str], str]

_MARK_AS_TEXT = f'"{MARK}"'


def _json(value: Any, what: str) -> str:
    if isinstance(value, dict) and MARK in value:
        value = {MARK: "json", "value": value}
    text = encode(value, what)
    if _MARK_AS_TEXT in text:  # beside a tagged value it will get tags, which are levels too
        packing.pack(json.loads(text), what)
    return text


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


def listed(texts: Sequence[str]) -> str:
    """The text of the list of these payloads, each in its text."""
    if all(map(is_plain, texts)):
        return f"[{', '.join(texts)}]"
    return _listed([json.loads(text) for text in texts])


def put_before(texts: Sequence[str], items: str) -> str:
    """The text of a list with payloads put before its items, all in their texts."""
    if is_plain(items) and all(map(is_plain, texts)):
        inside = items.strip()[1:-1].strip()
        return f"[{', '.join([*texts, inside] if inside else texts)}]"
    given = json.loads(items)
    kind = "tagged" if _is(given, "tagged") else "json"
    # Each says what it is, so that no argument is taken for what it only looks like.
    own = [{MARK: kind, "value": item} for item in (given["value"] if kind == "tagged" else given)]
    return _listed([*map(json.loads, texts), *own])


def _listed(values: Sequence[Any]) -> str:
    """One that is tagged makes all of the list so."""
    if any(_is(value, "tagged") for value in values):
        return rewritten({MARK: "tagged", "value": [_within_tags(value) for value in values]})
    return rewritten([value["value"] if _is(value, "json") else value for value in values])


def _within_tags(value: Any) -> Any:
    if _is(value, "tagged"):
        return value["value"]
    plain = value["value"] if _is(value, "json") else value
    return packing.pack(
        plain, "a value", level=-MAX_DEPTH
    )  # its depth was checked when it was given, with its tags


def _is(value: Any, kind: str) -> bool:
    return _says_what_it_is(value) and value[MARK] == kind


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
