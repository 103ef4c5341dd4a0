"""What verbs take on the command line, and what it means."""

from __future__ import annotations

import getpass
import json
import re
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from ...states import State

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def duration(bare: str) -> Callable[[str], float]:
    """Reads seconds in words like ``90s``, ``12h``, ``7d``; a bare number counts units of ``bare``."""

    def read(text: str) -> float:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw]?)", text.strip())
        if not match:
            raise ArgumentTypeError(f"{text!r} is no duration; write for example 12h or 7d")
        return float(match[1]) * _UNITS[match[2] or bare]

    return read


def moment(text: str) -> timedelta | datetime:
    """A time, such as ``2026-05-01T12:00``, or how long ago it was, such as ``90m``."""
    try:
        return timedelta(seconds=duration("s")(text))
    except (ArgumentTypeError, OverflowError):
        at = _time(text)
    if at is None:
        said = f"{text!r} is neither a duration, such as 90m, nor a time, such as 2026-05-01T12:00"
        raise ArgumentTypeError(said)
    return at


def _time(text: str) -> datetime | None:
    """A time as the project has it: aware or naive."""
    try:
        at = parse_datetime(text) or parse_datetime(f"{text}T00:00")
    except ValueError:
        return None
    if at is None or timezone.is_aware(at) == settings.USE_TZ:
        return at
    return timezone.make_aware(at) if settings.USE_TZ else timezone.make_naive(at)


def state(text: str) -> str:
    """A state, in whatever case."""
    if text.upper() not in set(State):
        raise ArgumentTypeError(f"{text!r} is no state; known: {', '.join(State)}")
    return text.upper()


def count(text: str) -> int:
    """A number from one."""
    if not text.isascii() or not text.isdigit() or not int(text):
        raise ArgumentTypeError(f"{text!r} is no number from 1")
    return int(text)


def json_of(kind: type, example: str) -> Callable[[str], Any]:
    """Reads a JSON list or object."""

    def read(text: str) -> Any:
        try:
            value = json.loads(text)
        except ValueError as error:
            raise ArgumentTypeError(
                f"{text!r} is not JSON ({error}); write for example {example}"
            ) from None
        if not isinstance(value, kind):
            raise ArgumentTypeError(f"{text!r} is not what is wanted; write for example {example}")
        return value

    return read


def add_reason(parser: ArgumentParser) -> None:
    """``--reason``, for verbs whose doing is kept in history."""
    parser.add_argument("--reason", default="", metavar="TEXT", help="why; kept in history")


def add_yes(parser: ArgumentParser) -> None:
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask first")


def actor() -> str:
    """Who types here, for history."""
    try:
        return f"cli:{getpass.getuser()}"[:255]
    except (KeyError, OSError, ImportError):  # a user without a name, as in some containers
        return "cli"
