"""A slot has come: its task is enqueued, once, whoever looks."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Min

from .. import timings, transitions
from ..changes import NewTask
from ..models import Schedule, ScheduleSlot
from ..timings import aware, stored
from ..vendors import Vendor, errors
from . import planning

logger = logging.getLogger("django_tasktrack.worker")


@dataclass(frozen=True, slots=True)
class Fired:
    """A slot that was run.

    Attributes:
        schedule: its name.
        slot: the time that it stands for.
        task_id: the task that was enqueued for it, or the one that has its unique key.
        joined: whether it is the latter.
    """

    schedule: str
    slot: datetime
    task_id: UUID
    joined: bool


def fire_due(
    vendor: Vendor, known: Collection[str], *, now: datetime | None = None, limit: int = 100
) -> list[Fired]:
    """Enqueue the tasks of all slots that have come, each schedule in a transaction of its own.

    A schedule that cannot be run says why, goes on with its next slot, and holds up no other.

    Args:
        vendor: of the database that holds them.
        known: the tasks that this worker knows; schedules of others are left to others.
        now: what time it is; by default the database's.
        limit: how many schedules.
    """
    now = vendor.now() if now is None else now
    due = Schedule.objects.using(vendor.using).awaited(known).filter(next_at__lte=now)
    fired: list[Fired] = []
    for pk in list(due.order_by("next_at").values_list("pk", flat=True)[:limit]):
        try:
            fired += transitions.whole(vendor, partial(_fire, vendor, pk, now))
        except Exception as error:
            if isinstance(error, errors.TROUBLE) and not errors.may_be_the_data_s(error):
                raise  # the database: the next look does it
            transitions.whole(vendor, partial(_go_on, vendor, pk, now, planning.told(error)))
    return fired


def next_in(vendor: Vendor, known: Collection[str]) -> float | None:
    """Seconds until the next slot of these tasks' schedules; None: there is none."""
    awaited = Schedule.objects.using(vendor.using).awaited(known)
    following = awaited.aggregate(at=Min("next_at"))["at"]
    return None if following is None else (following - vendor.now()).total_seconds()


def _held(vendor: Vendor, pk: int, now: datetime) -> Schedule | None:
    """The schedule, locked, if it is still due; None where another worker runs it, or has."""
    due = Schedule.objects.using(vendor.using).active().filter(pk=pk, next_at__lte=now)
    return vendor.locked(due.order_by("pk"), wait=False).first()


def _fire(vendor: Vendor, pk: int, now: datetime) -> list[Fired]:
    row = _held(vendor, pk, now)
    if row is None or row.next_at is None:
        return []
    rule = timings.rule(row.timing, row.timezone)
    slots = timings.due(rule, aware(row.next_at), aware(now), row.catch_up)
    fired = [one for slot in slots if (one := _fire_slot(vendor, row, slot, now))]
    if slots:
        row.last_at = stored(slots[-1])
    row.next_at, row.problem = planning.next_after(rule, now, aware(row.next_at)), ""
    row.save(using=vendor.using, update_fields=["last_at", *planning.PLANNED])
    return fired


def _fire_slot(vendor: Vendor, row: Schedule, slot: datetime, now: datetime) -> Fired | None:
    """Enqueue the task of one slot; None where it has been already."""
    new = planning.entry_of_row(row).new_task(actor=f"schedule:{row.name}"[:255])
    taken = ScheduleSlot(
        schedule_id=row.pk, name=row.name, slot=stored(slot), task_id=new.task_id, enqueued_at=now
    )
    try:
        with transaction.atomic(using=vendor.using):
            taken.save(using=vendor.using, force_insert=True)
    except IntegrityError:
        return None
    holder = _enqueue(vendor, new, taken)
    return Fired(row.name, slot, holder or new.task_id, joined=holder is not None)


def _enqueue(vendor: Vendor, new: NewTask, taken: ScheduleSlot) -> UUID | None:
    """Insert the task of a slot; returns the one that has its unique key, if another one has."""
    holder = transitions.enqueue([new], using=vendor.using).get(new.task_id)
    if holder is not None:
        taken.task_id, taken.joined = holder, True
        taken.save(using=vendor.using, update_fields=["task_id", "joined"])
    return holder


def run_now(vendor: Vendor, row: Schedule, actor: str) -> Fired:
    """Enqueue a schedule's task at once, whether it is enabled or not; its slots stay as they are.

    Args:
        vendor: of its database.
        row: the schedule.
        actor: who wants it, for history.

    Raises:
        TypeError, PayloadError, InvalidTask, NotRegistered: as enqueueing it would.
    """
    new = planning.entry_of_row(row).new_task(actor=actor[:255])

    def run() -> Fired:
        now = vendor.now()
        taken = ScheduleSlot(
            schedule_id=row.pk,
            name=row.name,
            slot=now,
            task_id=new.task_id,
            by_hand=True,
            enqueued_at=now,
        )
        taken.save(using=vendor.using, force_insert=True)
        holder = _enqueue(vendor, new, taken)
        return Fired(row.name, aware(now), holder or new.task_id, joined=holder is not None)

    return transitions.whole(vendor, run)


def _go_on(vendor: Vendor, pk: int, now: datetime, problem: str) -> None:
    """Say on the schedule why it was not run, and leave it for its next slot."""
    row = _held(vendor, pk, now)
    if row is None:
        return
    if row.problem != problem:
        logger.error("Schedule %s cannot be run: %s", row.name, problem)
    planning.plan(row, now)
    row.problem = problem
    row.save(using=vendor.using, update_fields=planning.PLANNED)
