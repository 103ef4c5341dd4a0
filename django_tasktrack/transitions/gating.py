"""Tasks that wait for a limit: moved out of the claims' way, and claimed as their limits allow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F

from ..models import TaskLimits, TrackedTask
from ..outcomes import Claim
from ..querysets import TaskQuerySet
from ..rates import Bucket
from ..states import Stage
from ..vendors import Vendor
from .upkeep import move

#: Keys, and names, that one look goes through.
LOOK = 200
#: Rows that are moved at once.
_BATCH = 1000
#: Seconds until a bucket is looked at again that another worker holds at this moment.
_SOON = 0.01


@dataclass(slots=True)
class Started:
    """What a look at gated tasks came to.

    Attributes:
        claims: what was taken.
        keyed: those of them that have a place of their concurrency key.
        empty: names whose tasks wait for a token → seconds until there is one.
        raced: another worker was faster, and nothing was taken.
        waiting: whether tasks may be left that wait for something else than a token.
        last_key: the key that was looked at last, if there may be more behind it.
    """

    claims: list[Claim] = field(default_factory=list)
    keyed: list[UUID] = field(default_factory=list)
    empty: dict[str, float] = field(default_factory=dict)
    raced: bool = False
    waiting: bool = False
    last_key: str = ""


class _Candidate(NamedTuple):
    """A task that may start, as it was seen before anything was locked."""

    task_id: UUID
    name: str
    priority: int
    key: str | None
    limit: int | None


_COLUMNS = ("pk", "name", "priority", "concurrency_key", "concurrency_limit")


def gate(
    vendor: Vendor,
    queues: Sequence[str],
    limited: Collection[str],
    *,
    excluded: Sequence[str] = (),
) -> int:
    """Move due tasks out of the claims' way that have to wait for a limit; returns how many.

    Args:
        vendor: of their database.
        queues: those to look at; empty for all of them.
        limited: names whose rate is limited.
        excluded: queues that are left out of all of them.
    """
    due = TrackedTask.objects.using(vendor.using).due()
    keyed = due.filter(concurrency_key__isnull=False).order_by("concurrency_key", "-priority", "pk")
    ids = list(keyed.values_list("pk", flat=True)[:_BATCH])
    if limited:
        ids += vendor.limited(queues, limited, _BATCH, excluded=excluded)
    return move(vendor, due.many(ids), Stage.GATED) if ids else 0


def ungate(vendor: Vendor, limited: Collection[str]) -> int:
    """Make gated tasks due again that no limit holds any more; returns how many.

    Args:
        vendor: of their database.
        limited: all names whose rate is limited.
    """
    free = [name for name in vendor.gated_values("name", "", LOOK) if name not in limited]
    gated = _gated(vendor).named(free).filter(concurrency_key__isnull=True)
    moved = 0
    while free and (some := move(vendor, gated, Stage.DUE)):
        moved += some
    if moved:
        vendor.notify("due")
    return moved


def claim_gated(
    vendor: Vendor,
    worker_id: int,
    queues: Sequence[str],
    names: Collection[str],
    *,
    rates: Mapping[str, float],
    limit: int,
    after: str = "",
    excluded: Sequence[str] = (),
) -> Started:
    """Take up to ``limit`` gated tasks whose limits let them start now.

    What is looked at first is not locked; what is taken then is, past rows that somebody holds. That no two
    workers take the same place of a key is a constraint of the database, that no two take the same token a
    lock of the row that holds them: who comes second takes nothing, and looks again. At a place that another
    one is just taking it waits for that one's commit.

    Args:
        vendor: of their database.
        worker_id: the owner to be.
        queues: those that it serves; empty for all of them.
        names: tasks that it knows.
        rates: name → starts a second, of those that are limited.
        limit: how many at most.
        after: the concurrency key behind which to look first, so that keys take turns.
        excluded: queues that are left out of all of them.
    """
    seen = Started()
    tasks = vendor.startable(_gated(vendor).named(names), queues, excluded)
    waiting = [name for name in vendor.gated_values("name", "", LOOK) if name in names]
    if not waiting:
        return seen
    found = _by_name(tasks, [name for name in waiting if name in rates], limit)
    found += _by_key(vendor, tasks, limit, after, seen)
    found.sort(key=lambda one: (-one.priority, one.task_id))
    if not found:
        return seen
    try:
        with transaction.atomic(using=vendor.using):
            taking = _Taking(vendor, worker_id, tasks, rates)
            seen.claims = taking.take(found, limit)
    except IntegrityError:
        seen.raced = True
        return seen
    seen.empty = taking.empty
    seen.waiting = seen.waiting or not (seen.claims or seen.empty)
    keyed = {one.task_id for one in found if one.key is not None}
    seen.keyed = [claim.task_id for claim in seen.claims if claim.task_id in keyed]
    return seen


def _gated(vendor: Vendor) -> TaskQuerySet:
    return TrackedTask.objects.using(vendor.using).filter(stage=Stage.GATED)


def _by_name(tasks: TaskQuerySet, limited: Iterable[str], limit: int) -> list[_Candidate]:
    """The first tasks without a key of each limited name."""
    keyless = tasks.filter(concurrency_key__isnull=True).in_claim_order()
    return [
        _Candidate(*row)
        for name in limited
        for row in keyless.filter(name=name).values_list(*_COLUMNS)[:limit]
    ]


def _by_key(
    vendor: Vendor, tasks: TaskQuerySet, limit: int, after: str, seen: Started
) -> list[_Candidate]:
    """The first tasks of keys that have a place free, key by key."""
    keys = vendor.gated_values("concurrency_key", after, LOOK)
    if after and len(keys) < LOOK:
        keys += [key for key in vendor.gated_values("concurrency_key", "", LOOK) if key <= after]
    taken = _places_taken(vendor, keys)
    found: list[_Candidate] = []
    for key in keys:
        if len(found) >= limit:
            break
        seen.last_key = key
        heads = tasks.filter(concurrency_key=key).in_claim_order().values_list(*_COLUMNS)
        here = [_Candidate(*row) for row in heads[: limit - len(found)]]
        seen.waiting = seen.waiting or bool(here)
        for running, one in enumerate(here, len(taken[key])):
            if one.limit is None or running < one.limit:
                found.append(one)
    return found


def _places_taken(vendor: Vendor, keys: Collection[str]) -> dict[str, set[int]]:
    """The places of these keys that running tasks have."""
    rows = _with_places(vendor, keys).filter(stage=Stage.CLAIMED)
    taken: dict[str, set[int]] = defaultdict(set)
    for key, place in _places(rows) if keys else ():
        taken[key].add(place)
    return taken


def _places(rows: TaskQuerySet) -> Iterable[tuple[str, int]]:
    return rows.values_list("concurrency_key", "concurrency_slot")  # type: ignore[return-value]  # not NULL


def _with_places(vendor: Vendor, keys: Collection[str]) -> TaskQuerySet:
    tasks = TrackedTask.objects.using(vendor.using)
    return tasks.filter(concurrency_key__in=list(keys), concurrency_slot__isnull=False)


class _Taking:
    """One transaction that takes gated tasks.

    Args:
        vendor: of their database.
        worker_id: the owner to be.
        tasks: those that may be taken, but for their limits.
        rates: name → starts a second.
    """

    def __init__(
        self, vendor: Vendor, worker_id: int, tasks: TaskQuerySet, rates: Mapping[str, float]
    ) -> None:
        self._vendor = vendor
        self._worker_id = worker_id
        self._tasks = tasks
        self._rates = rates
        #: Names that are out of tokens → seconds until there is one.
        self.empty: dict[str, float] = {}

    def take(self, found: Sequence[_Candidate], limit: int) -> list[Claim]:
        """Claim what may start of these, at most so many."""
        buckets = self._buckets({one.name for one in found} & self._rates.keys())
        ids = [one.task_id for one in found]
        free = self._vendor.locked(self._tasks.many(ids).order_by("pk"), wait=False)
        free_ids = set(free.values_list("pk", flat=True))
        places = self._places({one.key for one in found if one.key is not None})
        taken: list[tuple[_Candidate, int | None]] = []
        for one in found:
            if len(taken) < limit and one.task_id in free_ids:
                place = self._place(places, one)
                if (one.key is None or place) and self._token(buckets, one.name):
                    taken.append((one, place))
                    if one.key is not None and place:
                        places[one.key].add(place)
        # In one order of keys, so that no two workers wait for each other.
        for one, place in sorted(taken, key=lambda pair: (pair[0].key or "", pair[1] or 0)):
            self._claim(one.task_id, place)
        self._store(buckets, {one.name for one, _ in taken})
        return self._vendor.claims_of(self._worker_id, [one.task_id for one, _ in taken])

    # Rates

    def _buckets(self, names: Collection[str]) -> dict[str, Bucket]:
        """The buckets of these names that no other worker holds."""
        if not names:
            return {}
        rows = TaskLimits.objects.using(self._vendor.using).filter(name__in=names).order_by("name")
        held = list(self._vendor.locked(rows, wait=False))
        now = self._vendor.now()
        return {
            row.name: Bucket(
                self._rates[row.name],
                row.tokens,
                None if row.refilled_at is None else (now - row.refilled_at).total_seconds(),
            )
            for row in held
        }

    def _token(self, buckets: Mapping[str, Bucket], name: str) -> bool:
        """Take a token, where the name needs one."""
        if name not in self._rates:
            return True
        bucket = buckets.get(name)
        if bucket is not None and bucket.take():
            return True
        self.empty[name] = _SOON if bucket is None else bucket.next_in
        return False

    def _store(self, buckets: Mapping[str, Bucket], names: Collection[str]) -> None:
        rows, now = TaskLimits.objects.using(self._vendor.using), self._vendor.now()
        for name in buckets.keys() & names:
            rows.filter(name=name).update(tokens=buckets[name].tokens, refilled_at=now)

    # Keys

    def _places(self, keys: Collection[str]) -> dict[str, set[int]]:
        """The places of these keys that are taken, once those are cleared away that ended tasks have left."""
        if not keys:
            return {}
        left = _with_places(self._vendor, keys).exclude(stage=Stage.CLAIMED)
        free = self._vendor.locked(left.order_by("pk"), wait=False)
        if ids := list(free.values_list("pk", flat=True)):
            left.many(ids).update(concurrency_slot=None)
        taken: dict[str, set[int]] = defaultdict(set)
        for key, place in _places(_with_places(self._vendor, keys)):
            taken[key].add(place)
        return taken

    @staticmethod
    def _place(places: Mapping[str, set[int]], one: _Candidate) -> int | None:
        """The first place of the task's key that is free; None: there is none, or it needs none."""
        if one.key is None or one.limit is None or len(places[one.key]) >= one.limit:
            return None
        return next((n for n in range(1, one.limit + 1) if n not in places[one.key]), None)

    def _claim(self, task_id: UUID, place: int | None) -> None:
        rows = TrackedTask.objects.using(self._vendor.using).filter(pk=task_id, stage=Stage.GATED)
        rows.update(
            stage=Stage.CLAIMED,
            worker_id=self._worker_id,
            lease=F("lease") + 1,
            attempt=F("attempt") + 1,
            concurrency_slot=place,
        )
