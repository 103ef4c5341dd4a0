"""What every verb does alike: whole transactions, locks in one order, and the goals that follow."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar
from uuid import UUID

from django.db import DatabaseError, transaction

from .. import goal_writes
from ..changes import Change, Written
from ..models import TrackedTask
from ..payloads import printable
from ..states import State
from ..vendors import Vendor, errors, task_database, vendor_for
from . import links

_T = TypeVar("_T")

#: How often a transaction is tried that the database breaks off by itself.
_TRIES = 5


def vendor_of(using: str | None) -> Vendor:
    return vendor_for(using or task_database())


def notify_after_commit(vendor: Vendor, topic: str) -> None:
    """Wake workers once the rows are there; they poll as well, so a failure is nobody's error."""
    if vendor.in_transaction and not vendor.connection.in_atomic_block:
        return  # without autocommit nobody knows when
    transaction.on_commit(lambda: vendor.notify(topic), using=vendor.using, robust=True)


def whole(vendor: Vendor, act: Callable[[], _T]) -> _T:
    """Do it in one transaction; one that the database breaks off, as for a deadlock, is tried again."""

    def in_one() -> _T:
        with transaction.atomic(using=vendor.using):
            return act()

    return tried_again(vendor, in_one)


def tried_again(vendor: Vendor, act: Callable[[], _T]) -> _T:
    """Do what is one statement, or a transaction in itself; again, if the database breaks it off.

    Inside a transaction of the caller's it is not: all of that is gone, and theirs to try again.
    """
    for _ in range(_TRIES - 1):
        try:
            return act()
        except DatabaseError as error:
            if vendor.in_transaction or not errors.passes_by_itself(error):
                raise
            time.sleep(random.uniform(0.0, 0.02))  # noqa: S311
    return act()


def write_following(vendor: Vendor, changes: Sequence[Change]) -> Written:
    """Write changes with what they mean for goals, and for tasks that wait for them.

    A change whose goal or successor someone holds is busy.
    """
    if not changes:
        return Written()
    goals, served = goal_writes.lock(vendor, (c.goal_id for c in changes), wait=False)
    waiting, waited_for = links.lock(vendor, _releasing(changes), wait=False)
    busy = {c.task_id for c in changes if c.goal_id in served} | waited_for
    ready = [change for change in changes if change.task_id not in busy]
    written = vendor.write(ready) if ready else Written()
    _follow(vendor, goals, waiting, written.of(ready))
    return replace(written, busy=written.busy | busy)


def _releasing(changes: Iterable[Change]) -> list[UUID]:
    return [change.task_id for change in changes if change.releases]


def _follow(
    vendor: Vendor, goals: goal_writes.Held, waiting: links.Open, changes: Sequence[Change]
) -> None:
    goal_writes.follow(vendor, goals, changes)
    ended = {change.task_id: change.target for change in changes if change.releases}
    follow_ends(vendor, waiting, ended)


def follow_ends(vendor: Vendor, waiting: links.Open, ended: Mapping[UUID, State]) -> None:
    """Do what these ends mean for tasks that wait, whose links the transaction holds."""
    if waiting and links.follow(vendor, waiting, ended):
        notify_after_commit(vendor, "due")


def line(text: str) -> str:
    """What a person wrote, as history can keep it."""
    return printable(text)[:255]


def locked(
    vendor: Vendor, ids: Collection[UUID], behind: Collection[UUID] = ()
) -> tuple[goal_writes.Held, list[TrackedTask]]:
    """These tasks, and before them the goals that they serve, held until the transaction ends.

    Args:
        vendor: of their database.
        ids: of the tasks.
        behind: others that the transaction will hold. With the first they are locked in the order of the
            ids, so that two transactions that share some of them never wait for each other.
    """
    tasks = TrackedTask.objects.using(vendor.using).many(ids)
    served = tasks.filter(goal__isnull=False).values_list("goal_id", flat=True)
    goals, _ = goal_writes.lock(vendor, list(served), wait=True)
    rows = TrackedTask.objects.using(vendor.using).many({*ids, *behind}).order_by("pk")
    held = vendor.locked(rows.defer("args", "kwargs", "result", "traceback"))
    asked = set(ids)
    return goals, [task for task in held if task.pk in asked]


def write_locked(vendor: Vendor, goals: goal_writes.Held, changes: Sequence[Change]) -> None:
    """Write changes of rows that this transaction has locked and just read."""
    if changes:
        waiting, _ = links.lock(vendor, _releasing(changes), wait=True)
        written = vendor.write(changes, wait=True)
        _follow(vendor, goals, waiting, written.of(changes))
