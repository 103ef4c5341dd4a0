"""The life of a task as its callers and its workers write it: enqueued, claimed, begun, settled."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import transaction

from .. import states
from ..agenda import Behind
from ..changes import Change, Held, NewLink, NewTask, Written
from ..conf import config
from ..exceptions import InvalidTask, WorkerLost
from ..models import Link, StateChange, TrackedTask
from ..outcomes import Claim, Error
from ..payloads import decode
from ..states import WAITING
from ..vendors import Vendor
from . import publishing
from .door import notify_after_commit, tried_again, vendor_of, whole, write_following


def enqueue(
    tasks: Sequence[NewTask], links: Sequence[NewLink] = (), *, using: str | None = None
) -> dict[UUID, UUID]:
    """Insert tasks in the caller's transaction: rolled back, they never were.

    Args:
        tasks: what to insert; all or none, but for those whose unique key an unfinished task has.
        links: what follows the end of which of them.
        using: database alias; by default the router's choice for TrackedTask.

    Returns:
        For the tasks that were not inserted, the id of the one that has their key.
    """
    vendor = vendor_of(using)
    tasks = publishing.before(tasks)
    if links:
        holders = whole(vendor, lambda: _enqueue_linked(vendor, tasks, links))
    elif any(task.unique_key for task in tasks):
        holders = whole(vendor, lambda: _enqueue_unique(vendor, tasks))
    else:
        holders = {}
        # Alone and outside of a transaction, one task is one statement, where the vendor has one for it.
        tried_again(vendor, lambda: _insert(vendor, tasks))
    if len(holders) < len(tasks):
        notify_after_commit(vendor, "due")
        publishing.after(vendor, tasks, holders)
    return holders


def _insert(vendor: Vendor, tasks: Sequence[NewTask]) -> None:
    if len(tasks) == 1:
        vendor.insert(tasks)
    else:  # more than one statement, perhaps
        with transaction.atomic(using=vendor.using, savepoint=False):
            vendor.insert(tasks)


def _enqueue_unique(vendor: Vendor, tasks: Sequence[NewTask]) -> dict[UUID, UUID]:
    if plain := [task for task in tasks if not task.unique_key]:
        vendor.insert(plain)
    keyed = [task for task in tasks if task.unique_key]
    return vendor.insert_unique(keyed) if keyed else {}


def _enqueue_linked(
    vendor: Vendor, tasks: Sequence[NewTask], links: Sequence[NewLink]
) -> dict[UUID, UUID]:
    holders = _enqueue_unique(vendor, tasks)
    if holders:
        raise InvalidTask(
            "Tasks that wait for each other cannot be enqueued: one of them has the unique key of task"
            f" {next(iter(holders.values()))}, which waits or runs.",
            hint="Wait for its end, or leave unique_key out.",
        )
    rows = [
        Link(**{**link._asdict(), "on_error": decode(link.on_error)})  # the field encodes it
        for link in links
    ]
    Link.objects.using(vendor.using).bulk_create(rows, batch_size=1000)
    return holders


def claim(
    vendor: Vendor,
    worker_id: int,
    queues: Sequence[str],
    names: Sequence[str],
    limit: int,
    *,
    behind: Behind | None = None,
    excluded: Sequence[str] = (),
) -> list[Claim]:
    """Take up to ``limit`` due tasks for a worker. Their state changes once their body starts."""
    return vendor.claim(worker_id, queues, names, limit, behind=behind, excluded=excluded)


def held(vendor: Vendor, worker_id: int) -> list[Held]:
    """What a worker has claimed and not settled."""
    rows = (
        TrackedTask.objects.using(vendor.using)
        .claimed_by(worker_id)
        .values_list("pk", "lease", "goal_id", "state", "revoke_requested_at")
    )
    return [
        Held(pk, lease, worker_id, goal_id, state not in WAITING, requested_at is not None)
        for pk, lease, goal_id, state, requested_at in rows
    ]


def unclaim(vendor: Vendor, claims: Sequence[Claim | Held]) -> int:
    """Give claimed tasks back whose body did not start; the attempt is not counted. Those that somebody
    holds stay claimed."""
    given_back = vendor.unclaim(claims)
    if given_back:
        vendor.notify("due")
    return given_back


def settle(vendor: Vendor, changes: Sequence[Change]) -> Written:
    """Write what a worker's tasks did: beginnings, labels, ends. Rows that someone holds are busy.

    The goals that ended tasks serve are settled in the same transaction, and what waited for them is released.
    """
    if all(change.goal_id is None and not change.releases for change in changes):
        return vendor.write(changes) if changes else Written()
    with transaction.atomic(using=vendor.using):
        return write_following(vendor, changes)


def was_written(vendor: Vendor, change: Change) -> bool:
    """Whether a change that was refused had been written before: the answer to it was lost.

    No other row of history has its lease, worker, state and reason.
    """
    rows = StateChange.objects.using(vendor.using).filter(
        task_id=change.task_id,
        lease=change.lease,
        worker=change.worker_id,
        state=change.target,
        reason=change.reason[:255],
    )
    return rows.exists()


def started(claim: Claim, began: float) -> Change:
    """The body of this claim began at that monotonic moment."""
    return Change(
        claim.task_id,
        states.START,
        claim.lease,
        claim.worker_id,
        happened=began,
        goal_id=claim.goal_id,
    )


def relabelled(claim: Claim, label: str, began: float, at: float) -> Change:
    """The running task has a new word for its state."""
    return Change(
        claim.task_id,
        states.RELABEL,
        claim.lease,
        claim.worker_id,
        label=label,
        began=began,
        happened=at,
        goal_id=claim.goal_id,
    )


def released(claim: Claim | Held, began: float | None, reason: str) -> Change:
    """A running task goes back to the queue because its worker ends; the attempt is not counted."""
    return Change(
        claim.task_id,
        states.RELEASE,
        claim.lease,
        claim.worker_id,
        attempt=-1,
        reason=reason,
        began=began,
        goal_id=claim.goal_id,
    )


def lost(claim: Claim, began: float, how: str) -> Change:
    """The process that ran this claim died under it, as its parent saw.

    Args:
        claim: what it ran.
        began: when its body began.
        how: what ended the process, for example "signal SIGSEGV".
    """
    return lost_attempt(
        claim.task_id,
        claim.lease,
        claim.worker_id,
        claim.goal_id,
        rerun=claim.rerun_if_lost,
        crashes=claim.crashes + 1,
        began=began,
        how=how,
    )


def lost_attempt(
    task_id: UUID,
    lease: int,
    worker_id: int | None,
    goal_id: int | None,
    *,
    rerun: bool,
    crashes: int,
    began: float | None,
    how: str,
    counted: bool = True,
) -> Change:
    """An attempt without an end is run again, until its task has taken too many processes along."""
    give_up = not rerun or (counted and crashes >= config().MAX_CRASHES)
    why = f"crash {crashes}, no further attempt" if rerun else "it must not run twice"
    return Change(
        task_id,
        states.FAIL if give_up else states.RETRY,
        lease,
        worker_id,
        delay=None if give_up else 0.0,
        error=Error(f"{WorkerLost.__module__}.{WorkerLost.__qualname__}", how),
        reason=f"lost: {how}" + (f"; {why}" if give_up else ""),
        began=began,
        began_reason="" if counted else "presumed",
        losses=1,
        crashes=int(counted),
        goal_id=goal_id,
    )
