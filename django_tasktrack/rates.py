"""Rates of starts, in Celery's words, and the bucket of tokens that keeps them. Pure: time is a parameter."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from .exceptions import InvalidTask

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_FORM = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:/([smh]))?")
_HINT = 'Write "10/m" for ten a minute, "2/h" or "100/s"; 0 for no limit.'
#: A bucket holds one token, as Celery's does. What is faster than a worker can look for single tokens may start
#: what has come together in so many seconds.
TOGETHER = 0.05


def rate(value: object, what: str = "rate_limit") -> str:
    """A rate as it is kept: "10/m" as it was given, a number as so many a second, empty for no limit.

    Args:
        value: None, a number (starts a second) or a text: a number, "100/s", "10/m" or "2.5/h".
        what: the argument that it was given for.

    Raises:
        InvalidTask: it is neither.
    """
    if value is None:
        return ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        text = f"{value:.6f}".rstrip("0").rstrip(".")
    else:
        text = value.strip() if isinstance(value, str) else ""
    found = _FORM.fullmatch(text)
    if not found or len(text) > 50 or not math.isfinite(float(found[1])):
        raise InvalidTask(
            f"{what}={value!r} is no rate.",
            hint=_HINT,
        )
    if value and not isinstance(value, str) and not float(found[1]):
        raise InvalidTask(f"{what}={value!r} is too small a number.", hint='Write "1/h".')
    return text if float(found[1]) else ""


def problems(value: object) -> Iterator[tuple[str, str]]:
    """What is wrong with a rate of the settings."""
    try:
        rate(value)
    except InvalidTask:
        yield f"{value!r} is no rate.", _HINT


def per_second(text: str) -> float:
    """Starts a second of a rate as ``rate()`` gives it; 0 for no limit."""
    found = _FORM.fullmatch(text)
    return float(found[1]) / _SECONDS[found[2] or ""] if found else 0.0


@dataclass(slots=True)
class Bucket:
    """Tokens, each of which lets one task start.

    Args:
        speed: tokens that come each second.
        tokens: how many there were.
        age: seconds since then; None: it was never used, and is full.
    """

    speed: float
    tokens: float
    age: float | None

    def __post_init__(self) -> None:
        # A clock that was set back gives none.
        come = math.inf if self.age is None else max(0.0, self.age) * self.speed
        self.tokens = min(self.capacity, max(0.0, self.tokens) + come)

    @property
    def capacity(self) -> float:
        return max(1.0, self.speed * TOGETHER)

    def take(self) -> bool:
        """Take a token, if there is one."""
        if self.tokens < 1.0 - 1e-9:
            return False
        self.tokens = max(0.0, self.tokens - 1.0)
        return True

    @property
    def next_in(self) -> float:
        """Seconds until there is a token."""
        return max(0.0, 1.0 - self.tokens) / self.speed
