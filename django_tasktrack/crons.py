"""Cron texts on the clocks of time zones: which instants they mean, also where clocks change.

The arithmetic of a text is cronsim's, on a clock without a zone. What becomes of a local time that does
not exist, or exists twice, is decided here (docs/adr/0009-slots-of-a-schedule.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from .exceptions import InvalidSchedule

if TYPE_CHECKING:
    from cronsim import CronSim

FIELDS = "minute hour day-of-month month day-of-week"
#: Celery's and cron's words for whole texts.
NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONG = re.compile(
    r"\b(sun|mon|tues|wednes|thurs|fri|satur)day\b"
    r"|\b(january|february|march|april|june|july|august|september|october|november|december)\b"
)
_RANGE = re.compile(r"(?<![\w/-])(\w+)-(\w+)(?![\w/-])")
_ONE_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron text that means something.

    Attributes:
        texts: what has to match, all of them: two, where both the day of the month and the weekday have to.
        by_elapsed: whether it runs by the time that passes, rather than at local times.
    """

    texts: tuple[str, ...]
    by_elapsed: bool

    @classmethod
    def parse(cls, text: str) -> Cron:
        """What a text means.

        Raises:
            InvalidSchedule: nothing, or cronsim is not installed.
        """
        fields = NICKNAMES.get(text, text).lower().split()
        if len(fields) != 5:
            raise _refused(text, f"has {len(fields)} fields")
        fields = [_LONG.sub(lambda word: word[0][:3], field) for field in fields]
        minute, hour, day, month, weekday = fields
        both = weekday.startswith("&")
        weekday = _RANGE.sub(_without_wrap, weekday.removeprefix("&"))
        texts = [f"{minute} {hour} {day} {month} {weekday}"]
        if both:
            texts = [f"{minute} {hour} {day} {month} *", f"{minute} {hour} * {month} {weekday}"]
        self = cls(tuple(texts), minute.startswith("*") or hour.startswith("*"))
        if next(self.walls(datetime(2000, 1, 1)), None) is None:
            raise _refused(text, "never comes")
        return self

    def walls(self, after: datetime) -> Iterator[datetime]:
        """The local times that match and are later than this one, without a zone."""
        return _in_both(*self.texts, after) if len(self.texts) == 2 else _sim(self.texts[0], after)

    def following(self, after: datetime, zone: ZoneInfo) -> datetime | None:
        """The first slot later than ``after``, both in UTC; None: there is none within fifty years."""
        slots = self._by_elapsed(after, zone) if self.by_elapsed else self._by_clock(after, zone)
        return next((slot for slot in slots if slot > after), None)

    def _by_clock(self, after: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """Each local time once: the first time that it comes, or when the gap that skips it ends."""
        for wall in self.walls(_wall(after, zone)):
            before, behind = _offsets(wall, zone)
            yield _end_of_gap(wall, zone) if before < behind else _utc(wall, before)

    def _by_elapsed(self, after: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """Every instant whose local time matches: those that come twice, twice; no others."""
        wall, again = _wall(after, zone), after.astimezone(zone).fold == 1
        before, behind = _offsets(wall, zone)
        start = wall
        if before > behind and not again:  # in the first pass of an hour that comes twice
            following = next(self.walls(wall), None)
            if following and following - wall < _ONE_DAY:
                still = _offsets(following, zone)
                if still == (before, behind):
                    yield _utc(following, before)
            start, again = wall - (before - behind) - _SECOND, True
        for match in self.walls(start):
            first, second = _offsets(match, zone)
            if first >= second:  # else it does not exist
                yield _utc(match, second if again and match - wall < _ONE_DAY else first)


def _sim(text: str, after: datetime) -> CronSim:
    """The local times of a text.

    Raises:
        InvalidSchedule: it is none, or the library is not installed, which only cron texts need.
    """
    try:
        from cronsim import CronSim, CronSimError  # optional
    except ImportError:
        raise InvalidSchedule(
            "Cron texts need the package cronsim.",
            hint='pip install "django-tasktrack[schedules]", or use an interval.',
        ) from None
    try:
        return CronSim(text, after)
    except CronSimError as error:
        raise _refused(text, f"has a {str(error).lower()}") from None


def _refused(text: str, problem: str) -> InvalidSchedule:
    return InvalidSchedule(
        f"The cron text {text!r} {problem}.",
        hint=f'Write {FIELDS}, such as "30 7 * * mon-fri", or {", ".join(NICKNAMES)}.',
    )


def _without_wrap(match: re.Match[str]) -> str:
    """A range of weekdays that goes on behind Saturday, as two."""
    first, last = (_DAYS.index(word) if word in _DAYS else word for word in match.groups())
    if not (str(first).isdigit() and str(last).isdigit() and int(last) < int(first)):
        return match[0]
    return f"{first}-6,0-{last}"


def _in_both(one: str, other: str, after: datetime) -> Iterator[datetime]:
    """The local times that match two texts."""
    first, second = next(_sim(one, after), None), next(_sim(other, after), None)
    while first and second and max(first, second).year < after.year + 50:
        if first == second:
            yield first
            first, second = next(_sim(one, first), None), next(_sim(other, second), None)
        elif first < second:
            first = next(_sim(one, second - _SECOND), None)
        else:
            second = next(_sim(other, first - _SECOND), None)


def _wall(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def _offsets(wall: datetime, zone: ZoneInfo) -> tuple[timedelta, timedelta]:
    """From UTC at this local time: before the nearest change and behind it.

    The first is larger where the time comes twice, and smaller where it does not exist.
    """
    before, behind = (wall.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    return before or timedelta(0), behind or timedelta(0)


def _utc(wall: datetime, offset: timedelta) -> datetime:
    return (wall - offset).replace(tzinfo=UTC)


def _end_of_gap(wall: datetime, zone: ZoneInfo) -> datetime:
    """The instant at which the clock was put forward past this local time."""
    before, behind = _offsets(wall, zone)
    early, late = _utc(wall, behind), _utc(wall, before)
    while late - early > _SECOND:
        middle = early + ((late - early) // 2 // _SECOND) * _SECOND
        if middle.astimezone(zone).utcoffset() == before:
            early = middle
        else:
            late = middle
    return late


def first_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """The instant of one local time, by the rule of those that run at local times."""
    before, behind = _offsets(wall, zone)
    return _end_of_gap(wall, zone) if before < behind else _utc(wall, before)
