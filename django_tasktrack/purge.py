"""The one place that deletes tasks: finished ones, old enough, with their history and progress."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Exists, OuterRef

from . import transitions
from .conf import config
from .models import Link, Progress, PurgeHorizon, ScheduleSlot, StateChange, TrackedTask
from .states import FINAL, Stage, State
from .vendors import Vendor, task_database, vendor_for

#: Rows that one transaction deletes.
BATCH = 1000


@dataclass(frozen=True, slots=True)
class Purged:
    """How many tasks of a state were (or would be) deleted."""

    state: State
    before: datetime
    tasks: int


def purge(
    *, older_than: float | None = None, dry_run: bool = False, using: str | None = None
) -> list[Purged]:
    """Delete finished tasks whose retention is over. Goals and their attempts stay.

    Args:
        older_than: seconds since the end, instead of what the settings say for each state.
        dry_run: count only.
        using: database alias.

    Returns:
        One line a state; none for a state whose tasks are kept for ever.
    """
    vendor = vendor_for(using or task_database())
    now = vendor.now()
    kept = {state: _retention(state, older_than) for state in sorted(FINAL)}
    longest = [retention for retention in kept.values() if retention is not None]
    if len(longest) == len(kept) and not dry_run:
        _purge_slots(vendor, now - timedelta(seconds=max(longest)))
    return [
        _purge_state(vendor, state, now - timedelta(seconds=retention), dry_run)
        for state, retention in kept.items()
        if retention is not None
    ]


def _retention(state: State, older_than: float | None) -> float | None:
    """Seconds that tasks of a state are kept; None for ever."""
    if older_than is not None:
        return older_than
    settings = config()
    return settings.FAILURE_RETENTION if state is State.FAILURE else settings.RETENTION


def _purge_slots(vendor: Vendor, before: datetime) -> None:
    """Delete slots of schedules that are older than any task that is kept."""
    old = ScheduleSlot.objects.using(vendor.using).filter(enqueued_at__lte=before)
    tasks = TrackedTask.objects.using(vendor.using).filter(pk=OuterRef("task_id"))

    def delete_some() -> int:
        ids = list(
            old.exclude(Exists(tasks)).order_by("enqueued_at").values_list("pk", flat=True)[:BATCH]
        )
        ScheduleSlot.objects.using(vendor.using).filter(pk__in=ids).delete()
        return len(ids)

    while transitions.whole(vendor, delete_some) == BATCH:
        pass


def _purge_state(vendor: Vendor, state: State, before: datetime, dry_run: bool) -> Purged:
    ended = TrackedTask.objects.using(vendor.using).filter(
        stage=Stage.DONE, state=state, finished_at__lte=before
    )
    old = ended.not_awaited()
    if dry_run:
        return Purged(state, before, old.count())
    return Purged(state, before, sum(_batches(vendor, old.order_by("finished_at"))))


def _batches(vendor: Vendor, old) -> Iterator[int]:  # type: ignore[no-untyped-def]
    """Delete batch by batch, so that no transaction is long; yields how many each time."""

    def delete_some() -> int:
        ids = list(vendor.locked(old, wait=False).values_list("pk", flat=True)[:BATCH])
        if ids:
            _delete(vendor, ids)
        return len(ids)

    while deleted := transitions.whole(vendor, delete_some):
        yield deleted


def _delete(vendor: Vendor, ids: Sequence[UUID]) -> None:
    """Delete these tasks with all that hangs on them, and remember how far purge has come.

    ``_raw_delete`` is the queryset's own single DELETE: the public one is refused, and would collect
    related rows first.
    """
    using = vendor.using
    StateChange.objects.using(using).filter(task_id__in=ids)._raw_delete(using)
    Progress.objects.using(using).filter(task_id__in=ids)._raw_delete(using)
    Link.objects.using(using).filter(task_id__in=ids)._raw_delete(using)
    TrackedTask.objects.using(using).filter(pk__in=ids)._raw_delete(using)
    horizon = PurgeHorizon.objects.using(using)
    horizon.get_or_create(pk=1, defaults={"task_id": max(ids)})
    horizon.filter(task_id__lt=max(ids)).update(task_id=max(ids))
