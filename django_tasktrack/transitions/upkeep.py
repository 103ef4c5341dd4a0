"""What whichever worker comes first does for all: rescue, expire, hold and unhold."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q

from .. import liveness, states
from ..changes import Change, RevokeRequest, Written
from ..models import Link, TrackedTask, Worker
from ..querysets import TaskQuerySet
from ..states import WAITING, Stage, State
from ..vendors import Vendor, errors
from . import links
from .attempts import lost_attempt
from .control import stopped
from .door import follow_ends, write_following

#: So many rows that the database refuses to write are left in one round.
_REFUSALS = 20


def rescue(vendor: Vendor, lease: float, limit: int = 500) -> Written:
    """Give back the tasks of workers that are gone.

    A worker that was silent for ``lease`` seconds, by the database's clock, is marked lost, where no lock
    tells more (``liveness``); claims of lost, stopped and vanished workers are settled: a task with a wish
    to revoke it is REVOKED, the others run again, until one has taken too many processes along. One that
    the database refuses to write is left, and told.
    """
    _mark_lost(vendor, lease)
    alive = Worker.objects.using(vendor.using).alive().filter(pk=OuterRef("worker_id"))
    claimed = TrackedTask.objects.using(vendor.using).filter(stage=Stage.CLAIMED)
    # Who is gone is asked before the rows are locked: a statement that did both could lock a row that was
    # rescued and claimed anew meanwhile, by a worker that it does not see yet.
    gone = dict(
        claimed.exclude(Exists(alive)).order_by("pk").values_list("pk", "worker_id")[:limit]
    )
    if not gone:
        return Written()
    returned = 0

    def rescue_some(ids: Sequence[UUID]) -> Written:
        nonlocal returned
        orphans = vendor.locked(claimed.many(ids).order_by("pk"), wait=False)
        tasks = [t for t in orphans.defer("args", "kwargs") if t.worker_id == gone[t.pk]]
        changes = [_rescued(task) for task in tasks if not _returns_unchanged(task)]
        written = write_following(vendor, changes)
        unchanged = [task.pk for task in tasks if _returns_unchanged(task)]
        back = claimed.many(unchanged).update(
            stage=Stage.DUE, worker=None, attempt=F("attempt") - 1
        )
        returned += back
        return written

    written = _in_halves(vendor, list(gone), rescue_some)
    if written.applied or returned:
        vendor.notify("due")
    return written


def _in_halves(
    vendor: Vendor, ids: Sequence[UUID], write: Callable[[Sequence[UUID]], Written]
) -> Written:
    """Write in one transaction; what the database refuses is halved until the culprits stand alone.

    So that one cannot hold up the others. Where many are refused, it is hardly their data: then it raises.
    """
    done, waiting = Written(), [ids]
    while waiting:
        some = waiting.pop()
        try:
            with transaction.atomic(using=vendor.using):
                written = write(some)
        except (*errors.TROUBLE, ValueError, TypeError) as error:
            if not errors.may_be_the_data_s(error) or len(done.refused) >= _REFUSALS:
                raise
            if len(some) == 1:
                written = Written(refused={some[0]: str(error).strip()})
            else:  # mixed, so that many culprits do not always come before the same others
                mixed, middle = random.sample(some, len(some)), len(some) // 2
                waiting += [mixed[:middle], mixed[middle:]]
                continue
        done |= written
    return done


def _mark_lost(vendor: Vendor, lease: float) -> None:
    now = vendor.now()
    workers = Worker.objects.using(vendor.using).alive()
    living, dead = liveness.verdicts(vendor.connection, workers.values_list("pk", flat=True))
    silent = Q(heartbeat_at__lt=now - timedelta(seconds=lease))
    workers.filter(silent | Q(pk__in=dead)).exclude(pk__in=living).update(lost_at=now)


def _never_began(task: TrackedTask) -> bool:
    """Whether the body of a lost claim certainly did not run: else its STARTED would be committed."""
    surely = task.losses > 0 or not task.rerun_if_lost  # as Claim.begins_surely
    return surely and task.state in WAITING


def _returns_unchanged(task: TrackedTask) -> bool:
    return _never_began(task) and not task.revoke_requested_at


def _rescued(task: TrackedTask) -> Change:
    # Without a committed STARTED nobody knows whether the body began: it is presumed, so that a
    # REVOKED task without STARTED never ran; and it does not count as the task's crash.
    seen = task.state == State.STARTED
    now = time.monotonic()
    if task.revoke_requested_at:
        request = RevokeRequest.of_row(task.pk, task.lease, task.goal_id, task.revoke_request)
        began = None if _never_began(task) else now
        return stopped(request, task.worker_id or 0, began)._replace(began_reason="presumed")
    return lost_attempt(
        task.pk,
        task.lease,
        task.worker_id,
        task.goal_id,
        rerun=task.rerun_if_lost,
        crashes=task.crashes + int(seen),
        began=None if seen else now,
        how=f"worker {task.worker_id} is gone",
        counted=seen,
    )


def expire(vendor: Vendor, limit: int = 500) -> Written:
    """End waiting tasks whose ``expires`` has passed: REVOKED, reason "expired".

    One that the database refuses to write is left, and told.
    """
    waiting = TrackedTask.objects.using(vendor.using).filter(
        stage__lt=Stage.CLAIMED, expires_at__lte=vendor.now()
    )
    ids = list(waiting.order_by("expires_at").values_list("pk", flat=True)[:limit])

    def expire_some(ids: Sequence[UUID]) -> Written:
        tasks = vendor.locked(waiting.many(ids).order_by("pk"), wait=False)
        changes = [
            Change(task_id, states.EXPIRE, lease, None, reason="expired", goal_id=goal_id)
            for task_id, lease, goal_id in tasks.values_list("pk", "lease", "goal_id")
        ]
        return write_following(vendor, changes)

    return _in_halves(vendor, ids, expire_some) if ids else Written()


def follow_up(vendor: Vendor, limit: int = 500) -> int:
    """Do what ends of tasks mean for those that wait for them, where that was not done with the end: by a
    worker of a version that knew no links, or because somebody held what waits. Returns for how many ends."""
    ended = TrackedTask.objects.using(vendor.using).filter(
        stage=Stage.DONE, links__state=Link.State.OPEN
    )
    ids = list(ended.order_by("pk").values_list("pk", flat=True).distinct()[:limit])
    if not ids:
        return 0

    def follow_some(ids: Sequence[UUID]) -> Written:
        # Held first: two workers may look at this at once, and a person may run one of them again.
        done = TrackedTask.objects.using(vendor.using).filter(stage=Stage.DONE)
        held = vendor.locked(done.many(ids).order_by("pk"), wait=False)
        states_of = {pk: State(state) for pk, state in held.values_list("pk", "state")}
        waiting, busy = links.lock(vendor, states_of, wait=False)
        free = {pk: state for pk, state in states_of.items() if pk not in busy}
        follow_ends(vendor, waiting, free)
        return Written(applied=frozenset(free))

    return len(_in_halves(vendor, ids, follow_some).applied)


def hold_unknown(
    vendor: Vendor, queues: Sequence[str], known: Iterable[str], excluded: Sequence[str] = ()
) -> dict[str, int]:
    """Take due tasks that no worker knows out of the claims' way, looking at the head of each queue.

    Args:
        vendor: of the database that holds them.
        queues: those to look at; empty for all of them.
        known: names.
        excluded: queues that are left out of all of them.

    Returns:
        How many of each name were held.
    """
    unknown = vendor.unknown(queues, set(known), excluded=excluded)
    if unknown:
        due = TrackedTask.objects.using(vendor.using).due()
        move(vendor, due.many(unknown), Stage.HELD)
    return dict(Counter(unknown.values()))


def move(vendor: Vendor, tasks: TaskQuerySet, stage: Stage) -> int:
    """Put waiting tasks in another stage, as far as nobody holds them; returns how many."""
    with transaction.atomic(using=vendor.using):
        free = vendor.locked(tasks.order_by("pk"), wait=False).values_list("pk", flat=True)[:5000]
        return tasks.many(list(free)).update(stage=stage)


def unhold(vendor: Vendor, known: Iterable[str]) -> int:
    """Make held tasks due again whose name a worker knows now; returns how many."""
    held = TrackedTask.objects.using(vendor.using).filter(stage=Stage.HELD)
    # Asked by its index's order: an unordered look for any row reads the table until it finds one.
    some = held.order_by("name").values("name").first()
    released = move(vendor, held.named(known), Stage.DUE) if some else 0
    if released:
        vendor.notify("due")
    return released
