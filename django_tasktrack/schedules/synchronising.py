"""From what is declared to rows, without taking back what a person has changed."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

from .. import transitions
from ..models import Schedule
from ..vendors import Vendor
from . import declared, planning
from .declared import Entry, Wrong

logger = logging.getLogger("django_tasktrack.worker")


def synchronise(vendor: Vendor, known: Collection[str]) -> None:
    """Bring the rows in line with the code that this worker runs. The worker that started last decides.

    A column that a person has changed stays as it is, and so does whether a schedule is enabled. One that is
    not declared any more is withdrawn: it stays, and none of its slots is run. What means nothing is told,
    and neither changed nor withdrawn.

    Args:
        vendor: of the database that holds the schedules.
        known: the tasks that this worker knows.
    """
    found = declared.declared()
    for one in found:
        if isinstance(one, Wrong):
            logger.error("Schedule %s: %s %s", one.name, one.problem, one.hint)
        else:
            transitions.whole(vendor, partial(_follow, vendor, one))
    _withdraw_others(vendor, [one.name for one in found], known)


def _follow(vendor: Vendor, entry: Entry) -> None:
    rows = Schedule.objects.using(vendor.using).filter(name=entry.name)
    declaration = entry.declaration()
    if (found := rows.first()) and _is_in_line(found, declaration):
        return
    made = {**declaration, "enabled": entry.enabled, "declaration": declaration}
    _, created = rows.get_or_create(name=entry.name, defaults=made)
    row = vendor.locked(rows).get()
    changed = {"declaration"} if created else _merge(row, entry)
    if created or changed & planning.WHEN:
        planning.plan(row, vendor.now())
        changed.update(planning.PLANNED)
    row.save(using=vendor.using, update_fields=sorted(changed))


def _is_in_line(row: Schedule, declaration: dict[str, Any]) -> bool:
    return row.declaration == declaration and row.withdrawn_at is None


def _merge(row: Schedule, entry: Entry) -> set[str]:
    """Let the row follow the code, but for what a person has changed; returns the columns that are others."""
    before, after = row.declaration or {}, entry.declaration()
    changed = {"declaration"}
    for name, value in after.items():
        untouched = name in before and getattr(row, name) == before[name]
        if untouched and before[name] != value:
            setattr(row, name, value)
            changed.add(name)
    row.declaration = after
    if row.withdrawn_at is not None:
        row.withdrawn_at = None
        changed.add("withdrawn_at")
    return changed


def _withdraw_others(vendor: Vendor, declared_names: Sequence[str], known: Collection[str]) -> None:
    """Those that were declared and are no more; but not those of tasks that only other workers know, which
    run newer code."""
    rows = Schedule.objects.using(vendor.using).filter(
        declaration__isnull=False, withdrawn_at__isnull=True
    )
    gone = list(rows.exclude(name__in=declared_names).values_list("pk", "task"))
    if not gone:
        return
    theirs = planning.known_to_living(vendor) - set(known)
    ids = [pk for pk, task in gone if task not in theirs]
    rows.filter(pk__in=ids).update(withdrawn_at=vendor.now(), next_at=None, problem="")
