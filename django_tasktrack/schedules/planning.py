"""A schedule's next slot: what its row says of when, made a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from functools import partial

from .. import timings, transitions
from ..exceptions import InvalidSchedule, TasktrackError
from ..models import Schedule, Worker
from ..payloads import printable
from ..timings import Rule, aware, stored
from ..vendors import Vendor
from .declared import Entry

#: The columns that planning writes.
PLANNED = ("next_at", "problem")
#: Those that say when: where one of them is changed, the schedule begins anew.
WHEN = frozenset({"timing", "timezone", "enabled", "withdrawn_at"})


def plan(row: Schedule, now: datetime) -> None:
    """Begin anew: the first slot after ``now``, a time of the database's. What came before was not missed."""
    row.next_at, row.problem = None, ""
    if not row.is_active:
        return
    try:
        rule = timings.rule(row.timing, row.timezone)
    except InvalidSchedule as error:
        row.problem = told(error)
    else:
        row.next_at = next_after(rule, now, since=aware(now).replace(microsecond=0))


def next_after(rule: Rule, now: datetime, since: datetime) -> datetime | None:
    """The first slot after ``now``, both as rows have them.

    Without USE_TZ the second pass of an hour that comes twice looks like the first, and is left out.
    """
    slot = rule.following(aware(now), since)
    while slot is not None and stored(slot) <= now:
        slot = rule.following(slot, since)
    return None if slot is None else stored(slot)


def told(error: BaseException) -> str:
    """An error as a row can keep it."""
    text = str(error) if isinstance(error, (TasktrackError, TypeError)) else repr(error)
    return printable(text)[:255]


def entry_of_row(row: Schedule) -> Entry:
    """What a row says."""
    columns = {name: getattr(row, name) for name in Entry.__dataclass_fields__}
    return Entry(**columns)


def problem_of(row: Schedule) -> str:
    """Why a row cannot be run; nothing, where it can."""
    try:
        entry_of_row(row).check()
    except Exception as error:  # noqa: BLE001  a task's unique_key is code of the project's
        return told(error)
    return ""


def change(vendor: Vendor, row: Schedule, changed: Iterable[str]) -> None:
    """Write what a person has changed of a schedule, and nothing that a worker may have written meanwhile.

    Args:
        vendor: of its database.
        row: as it is to be.
        changed: the columns that are others now.
    """
    columns = set(changed)

    def write() -> None:
        rows = vendor.locked(Schedule.objects.using(vendor.using).filter(pk=row.pk))
        row.next_at = rows.values_list("next_at", flat=True).get()
        if columns & WHEN:
            plan(row, vendor.now())
            columns.update(PLANNED)
        row.save(using=vendor.using, update_fields=sorted(columns))

    if columns:
        transitions.whole(vendor, write)


def replan(vendor: Vendor, known: Collection[str]) -> None:
    """Plan what nobody has planned, for example rows that were made by hand; and say which tasks nobody knows."""
    now = vendor.now()
    active = Schedule.objects.using(vendor.using).active()
    for row in active.filter(next_at__isnull=True):
        before = row.next_at, row.problem
        plan(row, now)
        if (row.next_at, row.problem) != before:
            transitions.whole(vendor, partial(_write_plan, vendor, row))
    overdue = active.filter(next_at__lt=now - timings.ON_TIME - timedelta(minutes=1))
    waiting = overdue.exclude(task__in=list(known))
    if waiting:
        unknown = waiting.exclude(task__in=known_to_living(vendor))
        unknown.update(problem="No living worker knows this task.")


def _write_plan(vendor: Vendor, row: Schedule) -> None:
    unplanned = Schedule.objects.using(vendor.using).active().filter(pk=row.pk)
    unplanned.filter(next_at__isnull=True).update(next_at=row.next_at, problem=row.problem)


def known_to_living(vendor: Vendor) -> set[str]:
    alive = Worker.objects.using(vendor.using).alive()
    return set[str]().union(*alive.values_list("known_tasks", flat=True))
