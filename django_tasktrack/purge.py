"""The one place that deletes tasks, with their history and progress, and before them the values of results.

What goes when: ``retention``. Who comes by: the workers (``sweeping``), and ``manage.py tasktrack purge``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple
from uuid import UUID

from django.db.models import Exists, JSONField, OuterRef, Q, Value

from . import registry, transitions
from .conf import config
from .ids import is_ours
from .models import (
    Link,
    Progress,
    PurgeHorizon,
    ScheduleSlot,
    StateChange,
    TrackedTask,
    Worker,
)
from .querysets import TaskQuerySet
from .retention import Retention, Rule, RuleBook
from .states import FINAL, Stage, State
from .vendors import Vendor, task_database, vendor_for

#: Rows that one transaction looks at, and deletes.
BATCH = 1000


@dataclass(frozen=True, slots=True)
class Purged:
    """What went of the tasks in a state, or would have gone.

    Attributes:
        state: of the tasks.
        tasks: how many were deleted.
        values: of how many others the value of the result was emptied.
    """

    state: State
    tasks: int
    values: int


class Place(NamedTuple):
    """A place in the order of ends."""

    ended_at: datetime
    task_id: UUID


class Looked(NamedTuple):
    """What one batch came to.

    Attributes:
        gone: how many rows, or values.
        place: the last that was looked at; None where there was nothing.
        more: whether there may be more behind it.
    """

    gone: int
    place: Place | None
    more: bool


def purge(
    *, older_than: float | None = None, dry_run: bool = False, using: str | None = None
) -> list[Purged]:
    """Do all that is to be done by now. Goals and their attempts stay.

    Args:
        older_than: delete what ended so many seconds ago, in each state and of every task, instead of what
            the settings and the tasks say.
        dry_run: count only.
        using: database alias.

    Returns:
        One line a state; none for a state whose tasks are all kept for ever.
    """
    vendor = vendor_for(using or task_database())
    book = book_of(vendor) if older_than is None else RuleBook(Retention(None, *[older_than] * 3))
    now = vendor.now()
    went = {rule: sum(_all_of(vendor, book, rule, now, dry_run=dry_run)) for rule in book.rules()}
    if not dry_run:
        for _ in slots(vendor, book.usual, now):
            pass

    def of(state: State, *, values: bool) -> int:
        return sum(n for rule, n in went.items() if (rule.state, rule.values) == (state, values))

    states = sorted({rule.state for rule in went})
    return [Purged(state, of(state, values=False), of(state, values=True)) for state in states]


def book_of(vendor: Vendor) -> RuleBook:
    """The rules in force: the settings', and those of the tasks that this process knows.

    What only others know among the living workers is theirs.
    """
    usual, known = config().retention, registry.names()
    own = {name: usual.with_own(said) for name, said in registry.keeping().items()}
    alive = Worker.objects.using(vendor.using).alive().values_list("known_tasks", flat=True)
    return RuleBook(usual, own, frozenset().union(*alive) - frozenset(known))


def _all_of(
    vendor: Vendor, book: RuleBook, rule: Rule, now: datetime, *, dry_run: bool
) -> Iterator[int]:
    """Follow one rule to its end, batch by batch, so that no transaction is long."""
    looked = Looked(0, None, True)
    while looked.more:
        batch = partial(follow, vendor, book, rule, now, after=looked.place, dry_run=dry_run)
        looked = transitions.whole(vendor, batch)
        yield looked.gone


def follow(
    vendor: Vendor,
    book: RuleBook,
    rule: Rule,
    now: datetime,
    *,
    after: Place | None = None,
    limit: int | None = None,
    dry_run: bool = False,
) -> Looked:
    """Do what a rule says about the next tasks in the order of their ends, in the caller's transaction.

    Args:
        vendor: of their database.
        book: all the rules.
        rule: the one to follow.
        now: the database's time.
        after: where the last batch came to.
        limit: how many tasks to look at.
        dry_run: count only.
    """
    limit = BATCH if limit is None else limit
    rows = list(
        ended(vendor, rule, now, after).values_list("finished_at", "pk", "name", "group_id")[:limit]
    )
    open_groups = _open_groups(vendor, {group for *_, group in rows if group})
    ids = [
        pk
        for at, pk, name, group in rows
        if book.applies(rule, name)
        and group not in open_groups
        # Only counted, a row that goes is still there when values are.
        and not (dry_run and rule.values and at and book.deletes(name, rule.state, now - at))
    ]
    gone = _let_go(vendor, rule, now, ids, dry_run=dry_run) if ids else 0
    return Looked(gone, _place_of(rows), len(rows) == limit)


def _place_of(rows: Sequence[tuple[datetime | None, UUID, str, UUID | None]]) -> Place | None:
    """The place of the last of these."""
    ended_at, task_id, *_ = rows[-1] if rows else (None, None)
    return Place(ended_at, task_id) if ended_at and task_id else None


def ended(vendor: Vendor, rule: Rule, now: datetime, after: Place | None = None) -> TaskQuerySet:
    """The tasks in a rule's state that ended before its time, in the order of their ends."""
    before = now - timedelta(seconds=rule.after)
    tasks = TrackedTask.objects.using(vendor.using).filter(
        stage=Stage.DONE, state=rule.state, finished_at__lte=before
    )
    if after:
        behind = Q(finished_at__gt=after.ended_at) | Q(pk__gt=after.task_id)
        tasks = tasks.filter(behind, finished_at__gte=after.ended_at)
    return tasks.order_by("finished_at", "pk")


def going(vendor: Vendor, rule: Rule, now: datetime, ids: Iterable[UUID]) -> TaskQuerySet:
    """Of these tasks, those that the rule's time has come for, with something to go that nobody waits for."""
    tasks = ended(vendor, rule, now).many(ids).not_awaited()
    if rule.values:  # a None that was returned stays: it takes no room, and is the truth
        none = Value(None, JSONField())
        tasks = tasks.filter(result__isnull=False).exclude(result=none)
    return tasks.order_by("pk")


def _open_groups(vendor: Vendor, groups: Collection[UUID]) -> frozenset[UUID | None]:
    """Those of these groups that have not ended: somebody may be gathering their values."""
    if not groups:
        return frozenset()
    members = TrackedTask.objects.using(vendor.using).filter(group_id__in=groups)
    unfinished = members.exclude(stage=Stage.DONE).values_list("group_id", flat=True)
    return frozenset(unfinished.distinct())


def _let_go(
    vendor: Vendor, rule: Rule, now: datetime, ids: Sequence[UUID], *, dry_run: bool
) -> int:
    """Delete these tasks or empty their values, as far as nobody holds them or waits for them."""
    tasks = going(vendor, rule, now, ids)
    if dry_run:
        return tasks.count()
    free = list(vendor.locked(tasks, wait=False).values_list("pk", flat=True))
    if free and rule.values:
        written = TrackedTask.objects.using(vendor.using).many(free)
        written.update(result=None, result_expired_at=now)
    elif free:
        _delete(vendor, free)
    return len(free)


def _delete(vendor: Vendor, ids: Sequence[UUID]) -> None:
    """Delete these tasks with all that hangs on them, and remember how far purge has come.

    ``_raw_delete`` is the queryset's own single DELETE: the public one is refused, and would collect
    related rows first.
    """
    using = vendor.using
    StateChange.objects.using(using).filter(task_id__in=ids)._raw_delete(using)
    Progress.objects.using(using).filter(task_id__in=ids)._raw_delete(using)
    TrackedTask.objects.using(using).filter(pk__in=ids)._raw_delete(using)
    _delete_links(vendor, ids)
    # An id that somebody chose says nothing of those that were issued before it.
    if last := max(filter(is_ours, ids), default=None):
        horizon = PurgeHorizon.objects.using(using)
        horizon.get_or_create(pk=1, defaults={"task_id": last})
        horizon.filter(task_id__lt=last).update(task_id=last)


def _delete_links(vendor: Vendor, ids: Sequence[UUID]) -> None:
    """Delete the links of tasks that are gone, but those that somebody has waited on in vain: he must not
    be run again without the value."""
    links = Link.objects.using(vendor.using)
    broken = links.filter(task_id__in=ids, state=Link.State.BROKEN, successor_id__isnull=False)
    successors = list(broken.values_list("successor_id", flat=True))
    left = TrackedTask.objects.using(vendor.using).filter(pk__in=successors)
    in_vain = list(left.values_list("pk", flat=True)) if successors else []
    theirs = links.filter(task_id__in=ids)
    if in_vain:
        theirs = theirs.exclude(state=Link.State.BROKEN, successor_id__in=in_vain)
    theirs._raw_delete(vendor.using)
    links.filter(successor_id__in=ids)._raw_delete(vendor.using)


def slots(
    vendor: Vendor, usual: Retention, now: datetime, limit: int | None = None
) -> Iterator[int]:
    """Delete the slots of schedules that are older than any task that is kept; yields how many each time.

    Where tasks are kept for ever, so are they.
    """
    kept = [usual.of_row(state) for state in FINAL]
    longest = [seconds for seconds in kept if seconds is not None]
    if len(longest) < len(kept):
        return
    tasks = TrackedTask.objects.using(vendor.using).filter(pk=OuterRef("task_id"))
    rows = ScheduleSlot.objects.using(vendor.using)
    old = rows.filter(enqueued_at__lte=now - timedelta(seconds=max(longest)))
    free = old.exclude(Exists(tasks)).order_by("enqueued_at").values_list("pk", flat=True)

    def delete_some() -> int:
        return rows.filter(pk__in=list(free[: limit or BATCH])).delete()[0]

    while free.exists():
        yield transitions.whole(vendor, delete_some)
