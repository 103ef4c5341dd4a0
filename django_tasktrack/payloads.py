"""Values in and out of JSON, with errors that say which value cannot be carried and why."""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from .conf import config
from .exceptions import PayloadError

#: Lists and dicts may stand in each other this deep. MariaDB carries 31 levels, the others more; a value that
#: is handed on in a chord gets three more around it: the list of values, that of arguments, and their tags.
MAX_DEPTH = 28

_ENCODER = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"))
_SCALARS = (str, int, float, bool, type(None))
_STRING_OR_EXPONENT = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?e\+\d+')


def encode(value: object, what: str) -> str:
    """JSON text of ``value``.

    Strict where databases differ: NaN, infinities, NUL, lone surrogates and great depth are refused,
    so that each database gives the same verdict. Tuples become lists and number keys become strings,
    as in JSON.

    Args:
        value: what to carry.
        what: its name in error messages, for example ``args``.

    Raises:
        PayloadError: naming the path of the first value that cannot be carried, and its type.
    """
    try:
        text = _ENCODER.encode(value)
        size = len(text) if text.isascii() else len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise _explain(value, what, error) from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise _explain(value, what, ValueError("depth"))
    if "\\u0000" in text and "\x00" in _strings_of(value):
        raise _explain(value, what, ValueError("NUL"))
    limit = config().MAX_PAYLOAD_BYTES
    if size > limit:
        raise PayloadError(
            f"{what} is {size:,} bytes of JSON; the limit is {limit:,}.",
            hint="Store it and pass its key, or raise TASKTRACK['MAX_PAYLOAD_BYTES'].",
        )
    return _STRING_OR_EXPONENT.sub(_spelt_out, text) if "e+" in text else text


def rewritten(value: object) -> str:
    """JSON text of what was carried before: it is not checked again."""
    return _STRING_OR_EXPONENT.sub(_spelt_out, _ENCODER.encode(value))


def decode(text: str | None) -> Any:
    """The value that ``encode`` wrote; None for no text."""
    return None if text is None else json.loads(text)


def printable(text: str) -> str:
    """``text`` with what no database stores (NUL, lone surrogates) shown as escapes."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def _spelt_out(match: re.Match[str]) -> str:
    """A large float without its exponent, because PostgreSQL would give it back as an int."""
    token = match[0]
    return token if token.startswith('"') else f"{Decimal(token):f}.0"


def _is_deeper(value: object, levels: int) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, (list, tuple)):
        return False
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in value)


def _strings_of(value: object) -> str:
    """All strings in ``value``, joined: a search for one character, not a copy for use."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "".join(_strings_of(k) + _strings_of(v) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return "".join(map(_strings_of, value))
    return ""


def _explain(value: object, what: str, error: Exception) -> PayloadError:
    found = _culprit(value, what, seen=())
    path, problem = found or (what, str(error))
    return PayloadError(
        f"{path}: {problem} cannot be carried as JSON.",
        hint="Pass a str, number, bool, None, list or dict; for a model instance its pk. "
        "serializer='tagged' carries more: docs/payloads.md.",
    )


def _culprit(value: object, path: str, seen: tuple[int, ...]) -> tuple[str, str] | None:
    """Path and description of the first value in ``value`` that JSON cannot carry."""
    if isinstance(value, _SCALARS):
        problem = flaw(value)
        return (path, problem) if problem else None
    if isinstance(value, (dict, list, tuple)):
        return _bad_container(value, path, seen)
    kind = type(value)
    return path, f"a value of type {kind.__module__}.{kind.__qualname__}".replace("builtins.", "")


def _bad_container(
    value: dict[Any, Any] | Sequence[Any], path: str, seen: tuple[int, ...]
) -> tuple[str, str] | None:
    if id(value) in seen:
        return path, "a value that contains itself"
    if len(seen) == MAX_DEPTH:
        return path, f"a value nested more than {MAX_DEPTH} levels deep"
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in pairs:
        if not isinstance(key, _SCALARS):
            return path, f"a key of type {type(key).__name__}"
        place = f"{path}[{reprlib.repr(key)}]"
        found = _culprit(key, f"{path} key", ()) or _culprit(item, place, (*seen, id(value)))
        if found:
            return found
    return None


def flaw(value: str | float | None) -> str | None:
    """Why a scalar cannot be carried; None where it can."""
    if isinstance(value, str):
        return _flaw_of_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    try:
        str(value)
    except ValueError:  # Python's own limit
        return "an int of more than 4,300 digits"
    return None


def _flaw_of_text(text: str) -> str | None:
    if "\x00" in text:
        return "a string with a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "a string with a lone surrogate"
    return None
