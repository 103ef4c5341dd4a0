"""What cron texts mean, told minute by minute: slow, and nothing like the code that it judges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Fields:
    """A cron text as sets; None: a star. ``both``: day and weekday have to match, where both are given."""

    minutes: frozenset[int] | None
    hours: frozenset[int] | None
    days: frozenset[int] | None = None
    weekdays: frozenset[int] | None = None
    both: bool = False

    @property
    def text(self) -> str:
        minute, hour, day, weekday = (
            "*" if values is None else ",".join(map(str, sorted(values)))
            for values in (self.minutes, self.hours, self.days, self.weekdays)
        )
        mark = "&" if self.both and self.days and self.weekdays else ""
        return f"{minute} {hour} {day} * {mark}{weekday}"

    @property
    def by_elapsed(self) -> bool:
        return self.minutes is None or self.hours is None

    def match(self, wall: datetime) -> bool:
        """Whether a clock without a zone shows a time of these."""
        if self.minutes is not None and wall.minute not in self.minutes:
            return False
        if self.hours is not None and wall.hour not in self.hours:
            return False
        day = self.days is None or wall.day in self.days
        weekday = self.weekdays is None or wall.isoweekday() % 7 in self.weekdays
        if self.days is None or self.weekdays is None or self.both:
            return day and weekday
        return day or weekday


def slots(fields: Fields, zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    """The slots later than ``start``, up to ``end``, both whole minutes in UTC."""
    return [at for at in _from(fields, zone, start - timedelta(days=2), end) if start < at]


def _from(fields: Fields, zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[datetime]:
    shown: set[datetime] = set()
    at, before = start, _wall(start - MINUTE, zone)
    while at <= end:
        wall = _wall(at, zone)
        if fields.by_elapsed:
            if fields.match(wall):
                yield at
        else:  # each local time once, in the minute in which the clock shows it first, or has passed it
            passed = _walls(before, wall) if before < wall else [wall]
            if any(fields.match(one) and one not in shown for one in passed):
                yield at
            shown.update(passed)
        at, before = at + MINUTE, wall


def _walls(before: datetime, wall: datetime) -> list[datetime]:
    """What a clock passes on its way from one minute to another."""
    count = (wall - before) // MINUTE
    return [before + n * MINUTE for n in range(1, count + 1)]


def _wall(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


#: Where clocks change: half an hour, two hours, at midnight, over a whole day, and never.
CHANGES = {
    "Europe/Berlin": (datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)),
    "America/New_York": (
        datetime(2026, 3, 8, 7, tzinfo=UTC),
        datetime(2026, 11, 1, 6, tzinfo=UTC),
    ),
    "Australia/Lord_Howe": (
        datetime(2025, 10, 4, 15, 30, tzinfo=UTC),
        datetime(2026, 4, 4, 15, tzinfo=UTC),
    ),
    "America/Santiago": (
        datetime(2025, 9, 7, 4, tzinfo=UTC),
        datetime(2026, 4, 5, 3, tzinfo=UTC),
    ),
    "Antarctica/Troll": (
        datetime(2026, 3, 29, 1, tzinfo=UTC),
        datetime(2026, 10, 25, 1, tzinfo=UTC),
    ),
    "Pacific/Apia": (datetime(2011, 12, 30, 10, tzinfo=UTC),),
    "Asia/Kolkata": (datetime(2026, 1, 1, tzinfo=UTC),),
}


def changes(zone: str, year: int) -> list[datetime]:
    """When the clocks of a zone change in a year, to the half hour, in UTC."""
    place, half = ZoneInfo(zone), timedelta(minutes=30)
    at, end, found = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC), []
    while at < end:
        if at.astimezone(place).utcoffset() != (at - half).astimezone(place).utcoffset():
            found.append(at)
        at += half
    return found
