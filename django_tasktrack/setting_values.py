"""What a setting may hold, by its type in ``Config``: what is wrong with a value, and what it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from .checked import MAX_PRIORITY, MIN_PRIORITY
from .retention import LEAST

#: Words that a setting may have, where these are few.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "SERIALIZER": ("json", "tagged"),
    "RESULT_SERIALIZER": ("json", "tagged"),
    "ACCEPT_CONTENT": ("json", "tagged"),
    "POOL": ("asyncio", "prefork", "solo", "threads"),
}
_POSITIVE = frozenset(
    {"HEARTBEAT", "LEASE", "MAINTENANCE", "POLL_MIN", "POLL_MAX", "MAX_PAYLOAD_BYTES"}
    | {"RESULT_EXPIRES"}
    | {
        "CONCURRENCY",
        "TIME_LIMIT",
        "SOFT_TIME_LIMIT",
        "MAX_TASKS_PER_CHILD",
        "MAX_MEMORY_PER_CHILD",
    }
)
_RANGES: Mapping[str, tuple[int, int]] = {"DEFAULT_PRIORITY": (MIN_PRIORITY, MAX_PRIORITY)}
_HOURS = frozenset({"RETENTION", "FAILURE_RETENTION", "REVOKED_RETENTION"})
#: The kinds of values: what they are called, and what has to be given.
_KINDS: Mapping[str, tuple[str, str]] = {
    "str": ("a string", "Give a string"),
    "float": ("a number of seconds", "Give seconds or a timedelta"),
    "int": ("a whole number", "Give a whole number"),
    "bool": ("True or False", "Give True or False."),
    "dict[str, Any]": (
        "a dict of schedules by name",
        'Write {"nightly": {"task": "app.tasks.tidy", "schedule": "0 3 * * *"}}.',
    ),
    "tuple[str, ...]": ("a list of strings", "Give a list of strings."),
}


def plain(value: Any) -> Any:
    """The value as ``Config`` has it: durations in seconds, lists as tuples."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    return tuple(value) if isinstance(value, (list, set, frozenset)) else value


def problem_of(name: str, annotation: str, value: Any, default: object) -> tuple[str, str] | None:
    """What is wrong with the value of a setting, and the remedy; None if nothing is.

    Args:
        name: of the setting.
        annotation: its type, as written in ``Config``.
        value: as ``plain`` has made it.
        default: of the setting, for the hint.
    """
    kind, optional = annotation.removesuffix("| None").strip(), annotation.endswith("| None")
    if kind == "Any" or (value is None and optional):
        return None
    if not _is_a(kind, value):
        what = "a number" if value is None and kind in ("float", "int") else _KINDS[kind][0]
        return f"is not {what}", _expected(name, kind, optional, default)
    strange = [word for word in _words(value) if word not in CHOICES.get(name, (word,))]
    if strange:
        return _not_among(strange[0], CHOICES[name])
    if kind in ("float", "int") and (wanted := _out_of_range(name, value)):
        return f"must be {wanted}", "Leave it out for its default."
    return None


def _is_a(kind: str, value: object) -> bool:
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "str":
        return isinstance(value, str) and bool(value)
    if kind == "dict[str, Any]":
        return isinstance(value, dict)
    if kind == "tuple[str, ...]":
        return isinstance(value, tuple) and all(isinstance(word, str) and word for word in value)
    number = isinstance(value, (int, float) if kind == "float" else int)
    return number and not isinstance(value, bool)


def _words(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return value if isinstance(value, tuple) else ()


def _not_among(word: str, choices: tuple[str, ...]) -> tuple[str, str]:
    if word.endswith("pickle"):
        hint = "Decoding a pickle runs whatever is in it. 'tagged' carries more types than 'json'."
        return "would decode pickles, which is never done", hint
    return f"has {word!r}, which is none of them", f"There are {', '.join(map(repr, choices))}."


def _out_of_range(name: str, number: float) -> str | None:
    """What a number has to be, if it is not."""
    if name in _RANGES:
        least, most = _RANGES[name]
        return None if least <= number <= most else f"{least} to {most}"
    if name in _HOURS:
        return None if math.isfinite(number) and number >= LEAST else "an hour (3600) or more"
    if name in _POSITIVE:
        return None if math.isfinite(number) and number > 0 else "positive"
    return None if math.isfinite(number) and number >= 0 else "zero or more, and finite"


def _expected(name: str, kind: str, optional: bool, default: object) -> str:
    hint = _KINDS[kind][1]
    if kind == "float":
        return f"{hint}{', or None for ever' if optional else ''}."
    if kind not in ("str", "int"):
        return hint
    such = "" if default is None else f", such as {default!r}"
    none = "one a processor" if name == "CONCURRENCY" else "no limit"
    return f"{hint}{such}{f', or None for {none}' if optional and kind == 'int' else ''}."
