"""When a schedule's tasks are wanted: at the slots of a cron text, of an interval, or once.

Pure: what time it is, is a parameter; only the default zone comes from the settings. It may be imported
by them, and so imports no models.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

from django.conf import settings

from .crons import Cron, first_instant
from .exceptions import InvalidSchedule

#: A slot that is noticed no later than this was not missed.
ON_TIME = timedelta(seconds=60)
#: Slots that one schedule can make up for.
MOST = 1000
LONGEST = 255
_SHORTEST_INTERVAL, _LONGEST_INTERVAL = timedelta(seconds=1), timedelta(days=3660)

_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_EVERY = re.compile(r"every\s+(\d{1,12}(?:\.\d{1,6})?)\s*(s|min|h|d)")
_HOW = (
    'Write a cron text ("30 7 * * mon-fri"), an interval ("every 90 s", "every 15 min", "every 2 h", '
    '"every 1 d"), or one time ("at 2030-01-31 07:30").'
)


@dataclass(frozen=True, slots=True)
class Timing:
    """When, as it was written: what ``crontab()``, ``every()`` and ``once()`` return.

    Attributes:
        text: a cron text, ``every 90 s`` or ``at 2030-01-31 07:30``.
        timezone: whose clock it goes by; empty for ``TIME_ZONE``.
    """

    text: str
    timezone: str = ""


def crontab(
    minute: object = "*",
    hour: object = "*",
    *,
    day_of_week: object = "*",
    day_of_month: object = "*",
    month_of_year: object = "*",
    timezone: str = "",
) -> Timing:
    """At local times, in Celery's words: each field a number, a text such as ``*/15`` or ``mon-fri``, or
    several of them. A day has to fit both of ``day_of_week`` and ``day_of_month``.

    What is wrong with it is told by ``manage.py check``.

    Args:
        minute, hour, day_of_week, day_of_month, month_of_year: when; left out, all of them.
        timezone: such as "Europe/Berlin"; by default ``TIME_ZONE``.
    """
    month, day, weekday = map(_field, (month_of_year, day_of_month, day_of_week))
    both = "&" if not (day.startswith("*") or weekday.startswith("*")) else ""
    return Timing(f"{_field(minute)} {_field(hour)} {day} {month} {both}{weekday}", timezone)


def _field(value: object) -> str:
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ",".join(sorted((_field(one) for one in value), key=lambda one: (len(one), one)))
    return "".join(str(value).split())


def every(
    interval: float | timedelta = 0,
    *,
    seconds: float = 0,
    minutes: float = 0,
    hours: float = 0,
    days: float = 0,
) -> Timing:
    """Again and again after so long: a ``timedelta``, seconds, or their sum; of 1 second at least."""
    length = interval if isinstance(interval, timedelta) else timedelta(seconds=interval)
    length += timedelta(seconds=seconds, minutes=minutes, hours=hours, days=days)
    return Timing(f"every {_number(length.total_seconds())} s")


def _number(seconds: float) -> str:
    return f"{seconds:f}".rstrip("0").rstrip(".")


def once(moment: datetime, *, timezone: str = "") -> Timing:
    """One time: with a zone of its own, or on the clock of ``timezone`` (default: ``TIME_ZONE``)."""
    return Timing(f"at {moment}", timezone)


def timing_of(value: object) -> Timing:
    """What a declaration has given: a ``Timing``, its text, a ``timedelta``, or seconds.

    Raises:
        InvalidSchedule: it is none of them.
    """
    if isinstance(value, Timing):
        return value
    if isinstance(value, str):
        return Timing(value)
    if isinstance(value, (timedelta, int, float)) and not isinstance(value, bool):
        return every(value)
    hint = _HOW
    if type(value).__module__.startswith("celery."):
        hint = "Import crontab from django_tasktrack.schedules instead of celery.schedules."
    raise InvalidSchedule(f"schedule={value!r} says no time.", hint=hint)


class Rule(Protocol):
    """Where the slots are."""

    def following(self, after: datetime, since: datetime) -> datetime | None:
        """The first slot later than ``after``.

        Args:
            after: in UTC.
            since: a slot of the same schedule, or when it began.
        """


@dataclass(frozen=True, slots=True)
class AtTimes:
    """The slots of a cron text in a zone."""

    cron: Cron
    zone: ZoneInfo

    def following(self, after: datetime, since: datetime) -> datetime | None:
        return self.cron.following(after, self.zone)


@dataclass(frozen=True, slots=True)
class AtIntervals:
    """Slots that are so far apart, whatever the clocks say."""

    interval: timedelta

    def following(self, after: datetime, since: datetime) -> datetime | None:
        try:
            return since + ((after - since) // self.interval + 1) * self.interval
        except OverflowError:
            return None


@dataclass(frozen=True, slots=True)
class Once:
    """The one slot."""

    at: datetime

    def following(self, after: datetime, since: datetime) -> datetime | None:
        return self.at if self.at > after else None


def rule(text: str, timezone: str = "") -> Rule:
    """Where the slots of a timing are.

    Raises:
        InvalidSchedule: it says no time, or names no zone; or it is a cron text, and cronsim is not installed.
    """
    return _rule(text, zone_of(timezone))


@lru_cache(maxsize=256)
def _rule(text: str, zone: ZoneInfo) -> Rule:
    words = " ".join(text.split())
    if not words or len(words) > LONGEST:
        raise InvalidSchedule(f"schedule={text[:50]!r} says no time.", hint=_HOW)
    if words.startswith("every"):
        return AtIntervals(_interval(words))
    if words.startswith("at "):
        return Once(_moment(words.removeprefix("at "), zone))
    return AtTimes(Cron.parse(words), zone)


def zone_of(name: str) -> ZoneInfo:
    """The zone of this name; without one, that of the settings.

    Raises:
        InvalidSchedule: there is none.
    """
    name = name or settings.TIME_ZONE or "UTC"
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, no relative path, a directory
        raise InvalidSchedule(
            f"timezone={name!r} is unknown.", hint="Write a name such as 'Europe/Berlin' or 'UTC'."
        ) from None


def _interval(words: str) -> timedelta:
    match = _EVERY.fullmatch(words)
    length = timedelta(seconds=min(float(match[1]) * _UNITS[match[2]], 1e10) if match else 0)
    if not _SHORTEST_INTERVAL <= length <= _LONGEST_INTERVAL:
        raise InvalidSchedule(
            f"The interval {words!r} cannot be.",
            hint='Write "every 90 s" (or min, h, d), from 1 second to 10 years.',
        )
    return length


def _moment(text: str, zone: ZoneInfo) -> datetime:
    try:
        given = datetime.fromisoformat(text)
        return first_instant(given, zone) if given.tzinfo is None else given.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidSchedule(
            f"{text!r} is no time.",
            hint='Write "at 2030-01-31 07:30", or with a zone: "... 07:30+01:00".',
        ) from None


def first(of: Rule, now: datetime) -> datetime | None:
    """The first slot of a schedule that begins now."""
    return of.following(now, now.replace(microsecond=0))


def upcoming(of: Rule, slot: datetime) -> Iterator[datetime]:
    """This slot and those that follow it."""
    following: datetime | None = slot
    while following is not None:
        yield following
        following = of.following(following, slot)


def due(of: Rule, slot: datetime, now: datetime, catch_up: int) -> list[datetime]:
    """The slots that are to be run now, oldest first.

    The latest of those that have come is run where it was not missed. Of those that were missed, so many
    of the latest are made up for.

    Args:
        of: the schedule's rule.
        slot: the first that was not run yet.
        now: what time it is.
        catch_up: 0 for none; 1 for the latest; or how many of the latest.
    """
    found = _latest(of, slot, now, max(1, catch_up))
    return found if catch_up else [one for one in found if now - one <= ON_TIME]


def _latest(of: Rule, slot: datetime, now: datetime, count: int) -> list[datetime]:
    """The last ``count`` slots up to now, from this one on, without walking through all of a long absence."""
    window = timedelta(minutes=1)
    while True:
        start = of.following(now - window, slot) if now - window >= slot else slot
        found = _between(of, start, slot, now)
        if len(found) >= count or now - window < slot:
            return found[-count:]
        window *= 2


def _between(of: Rule, start: datetime | None, since: datetime, now: datetime) -> list[datetime]:
    found: list[datetime] = []
    while start is not None and start <= now:
        found.append(start)
        start = of.following(start, since)
    return found


def aware(at: datetime) -> datetime:
    """A time of a row, in UTC."""
    if at.tzinfo is None:  # without USE_TZ
        # A column cannot say which pass of an hour it means, and PostgreSQL answers the second always.
        return at.replace(tzinfo=zone_of(""), fold=0).astimezone(UTC)
    return at.astimezone(UTC)


def stored(at: datetime) -> datetime:
    """A time in UTC as rows have it."""
    if settings.USE_TZ:
        return at
    return at.astimezone(zone_of("")).replace(tzinfo=None)
