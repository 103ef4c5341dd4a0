"""Values that users give, checked where they are given: what is wrong with them, and the remedy."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from .exceptions import InvalidTask, nearest

MIN_PRIORITY, MAX_PRIORITY = -100, 100


def word(value: object, what: str, longest: int, wrong: str = "is not a name") -> str:
    """A name, for example of a queue.

    Args:
        value: what was given.
        what: the argument that it was given for.
        longest: characters that it may have.
        wrong: what the error says of it.

    Raises:
        InvalidTask: it is not a printable string of 1 to ``longest`` characters.
    """
    if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isprintable():
        raise InvalidTask(
            f"{what}={reprlib.repr(value)} {wrong}.",
            hint=f"Pass a printable string of 1 to {longest} characters.",
        )
    return value


def queue_name(value: object) -> str:
    """The name of a queue, as ``manage.py worker -Q`` can say it.

    Raises:
        InvalidTask: it is no name, contains a comma, or begins or ends with a space.
    """
    name = word(value, "queue", 100)
    if "," in name or name != name.strip():
        raise InvalidTask(
            f"queue={name!r} cannot be served: worker -Q splits its names at commas.",
            hint="Use a name without commas, and without spaces around it.",
        )
    return name


def task_name(value: object) -> str:
    """The name of a task."""
    return word(value, "name", 255)


def option_names(
    given: Iterable[str], allowed: Collection[str], known: Collection[str], what: str
) -> None:
    """Refuse an option that does not exist, as Python would, and name the nearest that does.

    Raises:
        TypeError: one of ``given`` is not ``allowed``.
    """
    for name in given:
        if name not in allowed:
            raise TypeError(f"{what} has no option {name!r}. Hint: {nearest(name, known)}")


def call(args: object, kwargs: object) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """The arguments of a call; None for none.

    Raises:
        TypeError: they are no list or tuple, and no dict.
    """
    args, kwargs = () if args is None else args, {} if kwargs is None else kwargs
    if not isinstance(args, (list, tuple)):
        shown = reprlib.repr(args)
        raise TypeError(f"args={shown} is no list or tuple. Hint: One argument is args=[{shown}].")
    if not isinstance(kwargs, Mapping):
        raise TypeError(f"kwargs={reprlib.repr(kwargs)} is no dict.")
    return args, kwargs


def priority(value: object) -> int:
    """A priority.

    Raises:
        InvalidTask: it is not a whole number of the range.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidTask(f"priority={value!r} is not a whole number.", hint="Pass an int.")
    if not MIN_PRIORITY <= value <= MAX_PRIORITY:
        raise InvalidTask(
            f"priority={value} is out of range.",
            hint=f"Pass {MIN_PRIORITY} to {MAX_PRIORITY}; larger runs first.",
        )
    return value


def owner_key(owner: object) -> str:
    """How rows name their owner: a user's primary key as text, or the string itself.

    Raises:
        InvalidTask: it cannot name one, for example a user that was not saved.
    """
    if owner is None:
        return ""
    key = owner.pk if isinstance(owner, models.Model) else owner
    if key is None or len(text := str(key)) > 255 or not text.isprintable():
        raise InvalidTask(
            f"owner={reprlib.repr(owner)} names nobody.",
            hint="Pass a saved user, or a printable string of up to 255 characters.",
        )
    return text


def seconds(value: object, what: str) -> float:
    """A duration in seconds.

    Raises:
        InvalidTask: it is neither a number nor a ``timedelta``.
    """
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, (int, float)) and not isinstance(number, bool) and abs(number) < 1e10:
        return float(number)
    raise InvalidTask(
        f"{what}={value!r} is not a duration.",
        hint="Pass seconds or a datetime.timedelta, of 300 years at most.",
    )


def time_limit(value: object, what: str) -> float | None:
    """A limit in seconds; None for none.

    Raises:
        InvalidTask: it is not a positive duration.
    """
    if value is None:
        return None
    limit = seconds(value, what)
    if limit <= 0:
        raise InvalidTask(f"{what}={value!r} is not positive.", hint="Leave it out for no limit.")
    return limit


#: As many of one key as may be allowed to run at once.
MOST_AT_ONCE = 32_767


def concurrency(value: object) -> tuple[str | Callable[..., str | None], int]:
    """A key, or what makes one of a call's arguments, and how many of its tasks run at once.

    Raises:
        InvalidTask: it is no such pair.
    """
    pair: Sequence[Any] = value if isinstance(value, (list, tuple)) else ()
    key, limit = pair if len(pair) == 2 else (None, None)
    limit = limit if isinstance(limit, int) and not isinstance(limit, bool) else 0
    if 0 < limit <= MOST_AT_ONCE and (isinstance(key, str) or callable(key)):
        return (word(key, "concurrency", 255) if isinstance(key, str) else key), limit
    raise InvalidTask(
        f"concurrency={reprlib.repr(value)} is no pair of a key and a number from 1.",
        hint='Write ("printer", 2): of its tasks two run at once. The key may be a function of the arguments.',
    )


def aware(value: object, what: str) -> datetime:
    """A time that means the same everywhere.

    Raises:
        InvalidTask: it is no ``datetime``, or naive under USE_TZ (aware without it).
    """
    if not isinstance(value, datetime):
        raise InvalidTask(f"{what}={value!r} is not a datetime.", hint="Pass timezone.now() + …")
    if timezone.is_aware(value) != settings.USE_TZ:
        kind = "naive although USE_TZ is on" if settings.USE_TZ else "aware although USE_TZ is off"
        raise InvalidTask(
            f"{what}={value!r} is {kind}.",
            hint="Use django.utils.timezone.now(), or timezone.make_aware(...).",
        )
    return value
