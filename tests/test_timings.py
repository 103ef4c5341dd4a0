"""When the slots of a schedule are: at local times, by intervals, once; and which of them are run late."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from django_tasktrack import schedules, timings
from django_tasktrack.exceptions import InvalidSchedule
from django_tasktrack.schedules import crontab, every, once

from .cron_oracle import CHANGES, MINUTE, Fields, slots

NOW = datetime(2026, 5, 6, 7, 8, 9, 500_000, tzinfo=UTC)  # a Wednesday
BERLIN = "Europe/Berlin"


def first_slots(text: str, count: int = 3, now: datetime = NOW, zone: str = "UTC") -> list[str]:
    """In the zone's local time."""
    rule = timings.rule(text, zone)
    first = timings.first(rule, now)
    assert first is not None
    found = islice(timings.upcoming(rule, first), count)
    return [f"{at.astimezone(ZoneInfo(zone)):%m-%d %H:%M:%S%z}"[:-2] for at in found]


# What is written


@pytest.mark.parametrize(
    ("timing", "text"),
    [
        (crontab(), "* * * * *"),
        (crontab(30, 7, day_of_week="mon-fri"), "30 7 * * mon-fri"),
        (crontab(minute="*/15", hour={7, 19}), "*/15 7,19 * * *"),
        (crontab(0, 0, day_of_month="1, 15", month_of_year=[1, 7]), "0 0 1,15 1,7 *"),
        (crontab(0, 0, day_of_month=13, day_of_week="friday"), "0 0 13 * &friday"),
        (every(90), "every 90 s"),
        (every(timedelta(hours=2)), "every 7200 s"),
        (every(minutes=1, seconds=0.5), "every 60.5 s"),
        (once(datetime(2030, 1, 31, 7, 30)), "at 2030-01-31 07:30:00"),
        (once(datetime(2030, 1, 31, 7, 30, tzinfo=UTC)), "at 2030-01-31 07:30:00+00:00"),
        (schedules.at(date(2030, 1, 31)), "at 2030-01-31"),  # type: ignore[arg-type]
    ],
)
def test_words_of_code_become_a_text_that_a_person_could_have_written(
    timing: timings.Timing, text: str
) -> None:
    assert timing.text == text
    assert timings.rule(timing.text) == timings.rule(text)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (crontab(5), "5 * * * *"),
        ("@daily", "@daily"),
        (timedelta(minutes=5), "every 300 s"),
        (30, "every 30 s"),
        (2.5, "every 2.5 s"),
    ],
)
def test_a_declaration_may_say_it_in_many_ways(given: object, text: str) -> None:
    assert timings.timing_of(given).text == text


@pytest.mark.parametrize("given", [None, True, [], object(), NOW])
def test_what_says_no_time_is_refused(given: object) -> None:
    with pytest.raises(InvalidSchedule, match="says no time"):
        timings.timing_of(given)


def test_celery_s_own_crontab_is_told_where_ours_is() -> None:
    theirs = type("crontab", (), {"__module__": "celery.schedules"})()
    with pytest.raises(InvalidSchedule, match=r"from django_tasktrack\.schedules"):
        timings.timing_of(theirs)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "says no time"),
        ("x" * 300, "says no time"),
        ("soon", "1 fields"),
        ("* * * * * *", "6 fields"),
        ("61 * * * *", "bad minute"),
        ("* 25 * * *", "bad hour"),
        ("* * * * someday", "bad day-of-week"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("0 0 31 2 &mon", "bad day-of-month"),
        ("0 0 */20 * 1L", "never comes"),
        ("every 0 s", "cannot be"),
        ("every 0.5 s", "cannot be"),
        ("every 99999 d", "cannot be"),
        ("every 999999999999 d", "cannot be"),
        ("every s", "cannot be"),
        ("every -5 s", "cannot be"),
        ("at noon", "is no time"),
        ("at 2030-02-30 07:30", "is no time"),
        ("at 9999-12-31 23:59-12:00", "is no time"),
    ],
)
def test_a_text_that_means_nothing_says_why_and_how_to_write_it(text: str, problem: str) -> None:
    with pytest.raises(InvalidSchedule, match=f"{problem}.* Hint: "):
        timings.rule(text)


@pytest.mark.parametrize("name", ["Europe/Atlantis", "../etc/passwd", "Europe", "a\0b", "/etc"])
def test_a_zone_that_there_is_not(name: str) -> None:
    with pytest.raises(InvalidSchedule, match="is unknown"):
        timings.rule("@daily", name)


@override_settings(TIME_ZONE="Asia/Tokyo")
def test_without_a_zone_it_is_the_site_s() -> None:
    assert timings.first(timings.rule("0 9 * * *"), NOW) == datetime(2026, 5, 7, tzinfo=UTC)


def test_without_cronsim_intervals_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cronsim", None)
    assert timings.first(timings.rule("every 60 s"), NOW)
    with pytest.raises(InvalidSchedule, match=r"django-tasktrack\[schedules\]"):
        timings.rule("5 4 * * *")


# Cron texts


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("30 7 * * mon-fri", ["05-06 07:30:00+00", "05-07 07:30:00+00", "05-08 07:30:00+00"]),
        ("0 0 * * sat-mon", ["05-09 00:00:00+00", "05-10 00:00:00+00", "05-11 00:00:00+00"]),
        ("0 0 * * Friday,6", ["05-08 00:00:00+00", "05-09 00:00:00+00", "05-15 00:00:00+00"]),
        ("0 0 1 january,Jul *", ["07-01 00:00:00+00", "01-01 00:00:00+00", "07-01 00:00:00+00"]),
        ("0 0 13 * fri", ["05-08 00:00:00+00", "05-13 00:00:00+00", "05-15 00:00:00+00"]),
        ("0 0 13 * &fri", ["11-13 00:00:00+00", "08-13 00:00:00+00", "10-13 00:00:00+00"]),
        ("0 0 L * *", ["05-31 00:00:00+00", "06-30 00:00:00+00", "07-31 00:00:00+00"]),
        ("@hourly", ["05-06 08:00:00+00", "05-06 09:00:00+00", "05-06 10:00:00+00"]),
    ],
)
def test_cron_texts_mean_what_cron_means(text: str, found: list[str]) -> None:
    assert first_slots(text) == found


def test_a_local_time_that_does_not_exist_runs_right_after_the_gap() -> None:
    before = datetime(2026, 3, 28, 12, tzinfo=UTC)
    told = first_slots("30 2 * * *", 2, before, BERLIN)
    assert told == ["03-29 03:00:00+02", "03-30 02:30:00+02"]
    lord_howe = first_slots(
        "15 2 * * *", 2, datetime(2025, 10, 4, tzinfo=UTC), "Australia/Lord_Howe"
    )
    assert lord_howe == ["10-05 02:30:00+11", "10-06 02:15:00+11"]


def test_several_times_in_a_gap_run_once() -> None:
    before = datetime(2026, 3, 28, 12, tzinfo=UTC)
    told = first_slots("0,15,30,45 2,3 * * *", 5, before, BERLIN)
    assert told == [
        "03-29 03:00:00+02", "03-29 03:15:00+02", "03-29 03:30:00+02", "03-29 03:45:00+02",
        "03-30 02:00:00+02",
    ]  # fmt: skip


def test_a_local_time_that_comes_twice_runs_once() -> None:
    before = datetime(2026, 10, 24, 12, tzinfo=UTC)
    told = first_slots("30 2 * * *", 2, before, BERLIN)
    assert told == ["10-25 02:30:00+02", "10-26 02:30:00+01"]


def test_asked_in_the_second_pass_it_does_not_run_again() -> None:
    second = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)  # 02:10 for the second time
    assert first_slots("30 2 * * *", 1, second, BERLIN) == ["10-26 02:30:00+01"]


def test_what_runs_by_the_hour_goes_on_while_clocks_change() -> None:
    before = datetime(2026, 10, 24, 23, 10, tzinfo=UTC)
    told = first_slots("*/30 * * * *", 6, before, BERLIN)
    assert told == [
        "10-25 01:30:00+02", "10-25 02:00:00+02", "10-25 02:30:00+02",
        "10-25 02:00:00+01", "10-25 02:30:00+01", "10-25 03:00:00+01",
    ]  # fmt: skip


def test_the_overlap_of_next_year_is_not_taken_for_this_one() -> None:
    """The last Sunday of October, in the hour that comes twice: both years begin with the first pass."""
    text, last = "*/30 2 * 10 0L", datetime(2025, 10, 26, 1, 45, tzinfo=UTC)
    told = first_slots(text, 4, last, BERLIN)
    assert told == [
        "10-25 02:00:00+02",
        "10-25 02:30:00+02",
        "10-25 02:00:00+01",
        "10-25 02:30:00+01",
    ]
    early = datetime(2025, 10, 26, 0, 45, tzinfo=UTC)  # 02:45, for the first time
    assert first_slots(text, 1, early, BERLIN) == ["10-26 02:00:00+01"]


def numbers(most: int, least: int = 0) -> st.SearchStrategy[frozenset[int] | None]:
    return st.none() | st.frozensets(st.integers(least, most), min_size=1, max_size=4)


FIELDS = st.builds(
    Fields,
    # Around the hours in which clocks change, more often than elsewhere.
    minutes=numbers(59) | st.frozensets(st.sampled_from([0, 15, 29, 30, 31, 59]), min_size=1),
    hours=numbers(23) | st.frozensets(st.sampled_from([0, 1, 2, 3]), min_size=1),
    days=st.none() | numbers(31, 1),
    weekdays=st.none() | numbers(6),
    both=st.booleans(),
)


def rule_of(fields: Fields, zone: str) -> timings.Rule | None:
    """The rule; None for a day that no month has."""
    try:
        return timings.rule(fields.text, zone)
    except InvalidSchedule:
        days = fields.days or frozenset({1})
        if not days & set(range(1, 29)):
            return None
        raise


@pytest.mark.case("M5")
@given(
    fields=FIELDS,
    place=st.sampled_from([(zone, at) for zone, times in CHANGES.items() for at in times]),
    before=st.integers(0, 1500),
)
def test_slots_are_those_of_a_walk_minute_by_minute(
    fields: Fields, place: tuple[str, datetime], before: int
) -> None:
    zone, change = place
    start, end = change - before * MINUTE, change + 1500 * MINUTE
    told = slots(fields, ZoneInfo(zone), start, end)
    rule = rule_of(fields, zone)
    if rule is None:
        assert not told
        return
    found, at = [], rule.following(start, start)
    while at is not None and at <= end:
        found.append(at)
        at = rule.following(at, at)
    assert found == told


@pytest.mark.case("M5")
@given(fields=FIELDS, place=st.sampled_from(sorted(CHANGES)), offset=st.integers(0, 86_400 * 3))
def test_whenever_it_is_asked_the_answer_is_the_same(
    fields: Fields, place: str, offset: int
) -> None:
    """No slot depends on what was asked before: a worker that starts in between finds the same ones."""
    change = CHANGES[place][-1]
    rule = rule_of(fields, place)
    if rule is None:
        return
    after = change - timedelta(days=2) + timedelta(seconds=offset)
    slot = rule.following(after, after)
    if slot is None:
        return
    assert slot > after
    assert rule.following(slot - timedelta(microseconds=1), after) == slot
    for between in (after + (slot - after) / 3, after + (slot - after) * 0.9):
        assert rule.following(min(between, slot - timedelta(microseconds=1)), after) == slot


# Intervals and single times


def test_intervals_are_told_from_the_first_slot_on() -> None:
    assert first_slots("every 90 s") == [
        "05-06 07:09:39+00",
        "05-06 07:11:09+00",
        "05-06 07:12:39+00",
    ]
    assert first_slots("every 1 d", 2, datetime(2026, 3, 28, 12, tzinfo=UTC), BERLIN) == [
        "03-29 14:00:00+02", "03-30 14:00:00+02",
    ]  # fmt: skip


@given(
    st.timedeltas(timedelta(seconds=1), timedelta(days=400)),
    st.timedeltas(timedelta(days=-900), timedelta(days=900)),
)
def test_slots_of_an_interval_lie_on_its_grid(interval: timedelta, apart: timedelta) -> None:
    rule = timings.AtIntervals(interval)
    slot = rule.following(NOW + apart, NOW)
    assert slot is not None
    assert NOW + apart < slot <= NOW + apart + interval
    assert (slot - NOW) % interval == timedelta(0)


def test_an_interval_beyond_time_itself_ends() -> None:
    rule = timings.AtIntervals(timedelta(days=3000))
    assert rule.following(datetime(9998, 1, 1, tzinfo=UTC), NOW) is None


@pytest.mark.parametrize(
    ("text", "zone", "at"),
    [
        ("at 2030-01-31 07:30", "UTC", datetime(2030, 1, 31, 7, 30, tzinfo=UTC)),
        ("at 2030-01-31 07:30", BERLIN, datetime(2030, 1, 31, 6, 30, tzinfo=UTC)),
        ("at 2030-01-31T07:30:00-05:00", BERLIN, datetime(2030, 1, 31, 12, 30, tzinfo=UTC)),
        ("at 2030-03-31 02:30", BERLIN, datetime(2030, 3, 31, 1, 0, tzinfo=UTC)),  # in a gap
        ("at 2030-10-27 02:30", BERLIN, datetime(2030, 10, 27, 0, 30, tzinfo=UTC)),  # the first
    ],
)
def test_one_time(text: str, zone: str, at: datetime) -> None:
    rule = timings.rule(text, zone)
    assert list(timings.upcoming(rule, at)) == [at]
    assert timings.first(rule, NOW) == at
    assert timings.first(rule, at) is None


# What is run late


def missed(text: str, since: timedelta, catch_up: int, now: datetime = NOW) -> list[float]:
    """How many seconds ago the slots were that are run now, of a schedule whose last look was so long ago."""
    rule = timings.rule(text, "UTC")
    slot = timings.first(rule, now - since)
    assert slot is not None
    return [(now - at).total_seconds() for at in timings.due(rule, slot, now, catch_up)]


@pytest.mark.parametrize(
    ("catch_up", "ago"),
    [(0, []), (1, [489.5]), (2, [4089.5, 489.5]), (3, [7689.5, 4089.5, 489.5]), (1000, 49)],
)
def test_of_missed_slots_so_many_of_the_latest_are_run(
    catch_up: int, ago: list[float] | int
) -> None:
    found = missed("0 * * * *", timedelta(hours=49), catch_up)
    assert (found if isinstance(ago, list) else len(found)) == ago


@pytest.mark.parametrize(("late", "runs"), [(0.5, True), (60, True), (61, False)])
def test_a_slot_within_a_minute_was_not_missed(late: float, runs: bool) -> None:
    slot = datetime(2026, 5, 6, 8, tzinfo=UTC)
    rule = timings.rule("0 8 * * *", "UTC")
    assert bool(timings.due(rule, slot, slot + timedelta(seconds=late), 0)) is runs
    assert timings.due(rule, slot, slot + timedelta(seconds=late), 1) == [slot]


def test_of_ticks_that_were_missed_the_latest_is_on_time() -> None:
    assert missed("every 1 s", timedelta(seconds=15), 0) == [0.5]


def test_nothing_is_due_before_its_time() -> None:
    slot = NOW + timedelta(seconds=1)
    assert timings.due(timings.rule("every 1 s"), slot, NOW, 5) == []


def test_ten_years_of_seconds_are_not_walked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    following = timings.AtIntervals.following

    def counted(self: Any, after: datetime, since: datetime) -> datetime | None:
        nonlocal asked
        asked += 1
        return following(self, after, since)

    monkeypatch.setattr(timings.AtIntervals, "following", counted)
    assert len(missed("every 1 s", timedelta(days=3650), 100)) == 100
    assert asked < 1000


@given(
    text=st.sampled_from(["0 * * * *", "*/7 * * * *", "every 600 s", "30 2 * * *", "0 0 1 * *"]),
    absence=st.timedeltas(timedelta(0), timedelta(days=40)),
    catch_up=st.integers(1, 12),
)
def test_what_is_made_up_for_are_the_latest_of_all_that_came(
    text: str, absence: timedelta, catch_up: int
) -> None:
    rule = timings.rule(text, BERLIN)
    slot = timings.first(rule, NOW - absence)
    assert slot is not None
    everything = timings._between(rule, slot, slot, NOW)
    assert timings.due(rule, slot, NOW, catch_up) == everything[-catch_up:]
