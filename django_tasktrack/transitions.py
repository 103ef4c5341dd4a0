"""The write door: the only module that changes the state of a task.

Every verb takes many tasks. The calls that settle what a worker did are fenced by the lease of the
claim; those that a person makes lock the row first and then pass the same fence. What was not
changed is told, never forced.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import Exists, F, OuterRef, Q

from . import goal_writes, liveness, states
from .changes import Change, Held, NewTask, RevokeRequest, Written
from .conf import config
from .exceptions import WorkerLost
from .models import Goal, TrackedTask, Worker
from .outcomes import Claim, Error
from .payloads import printable
from .querysets import TaskQuerySet
from .states import FINAL, WAITING, Stage, State
from .vendors import Vendor, errors, task_database, vendor_for

_T = TypeVar("_T")

#: How often a transaction is tried that the database breaks off by itself.
_TRIES = 5

#: Signals that may end a running body. SIGSTOP and its like would leave it in between.
SIGNALS = ("SIGTERM", "SIGINT", "SIGQUIT", "SIGKILL")


class Answer(StrEnum):
    """What a verb did with one task."""

    REVOKED = "revoked"  # it is final now, and its body never ran
    REQUESTED = "requested"  # a worker has it, and has been asked to stop it
    TERMINATING = (
        "terminating"  # its lease is taken away, and the process that runs it will be killed
    )
    QUEUED = "queued"  # it will run again
    REFUSED = "refused"  # its state does not allow it
    UNKNOWN = "unknown"  # no such task


def _vendor(using: str | None) -> Vendor:
    return vendor_for(using or task_database())


def _notify_after_commit(vendor: Vendor, topic: str) -> None:
    """Wake workers once the rows are there; they poll as well, so a failure is nobody's error."""
    transaction.on_commit(lambda: vendor.notify(topic), using=vendor.using, robust=True)


def _whole(vendor: Vendor, act: Callable[[], _T]) -> _T:
    """Do it in one transaction; one that the database breaks off, as for a deadlock, is tried again.

    Inside a transaction of the caller's nothing is: all of it is gone, and theirs to try again.
    """
    for _ in range(_TRIES - 1):
        try:
            with transaction.atomic(using=vendor.using):
                return act()
        except DatabaseError as error:
            if vendor.connection.in_atomic_block or not errors.passes_by_itself(error):
                raise
            time.sleep(random.uniform(0.0, 0.02))  # noqa: S311
    with transaction.atomic(using=vendor.using):
        return act()


# Enqueue and run


def enqueue(tasks: Sequence[NewTask], *, using: str | None = None) -> dict[UUID, UUID]:
    """Insert tasks in the caller's transaction: rolled back, they never were.

    Args:
        tasks: what to insert; all or none, but for those whose unique key an unfinished task has.
        using: database alias; by default the router's choice for TrackedTask.

    Returns:
        For the tasks that were not inserted, the id of the one that has their key.
    """
    vendor = _vendor(using)
    if any(task.unique_key for task in tasks):
        holders = _whole(vendor, lambda: _enqueue_unique(vendor, tasks))
    else:
        holders = {}
        _insert(vendor, tasks)
    if len(holders) < len(tasks):
        _notify_after_commit(vendor, "due")
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
    return vendor.insert_unique([task for task in tasks if task.unique_key])


def claim(
    vendor: Vendor, worker_id: int, queues: Sequence[str], names: Sequence[str], limit: int
) -> list[Claim]:
    """Take up to ``limit`` due tasks for a worker. Their state changes once their body starts."""
    return vendor.claim(worker_id, queues, names, limit)


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

    The goals that ended tasks serve are settled in the same transaction.
    """
    if all(change.goal_id is None for change in changes):
        return vendor.write(changes) if changes else Written()
    with transaction.atomic(using=vendor.using):
        return _write_following(vendor, changes)


def _write_following(vendor: Vendor, changes: Sequence[Change]) -> Written:
    """Write changes with what they mean for goals; a change whose goal someone holds is busy."""
    if not changes:
        return Written()
    goals, held_elsewhere = goal_writes.lock(vendor, (c.goal_id for c in changes), wait=False)
    ready = [change for change in changes if change.goal_id not in held_elsewhere]
    busy = frozenset(change.task_id for change in changes if change.goal_id in held_elsewhere)
    written = vendor.write(ready) if ready else Written()
    goal_writes.follow(vendor, goals, written.of(ready))
    return replace(written, busy=written.busy | busy)


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
    return _lost(
        claim.task_id,
        claim.lease,
        claim.worker_id,
        claim.goal_id,
        rerun=claim.rerun_if_lost,
        crashes=claim.crashes + 1,
        began=began,
        how=how,
    )


def _lost(
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


# Revoke


def revoke(
    ids: Iterable[UUID],
    *,
    signal: str | None = None,
    only_claimed: bool = False,
    actor: str = "",
    reason: str = "",
    using: str | None = None,
) -> dict[UUID, Answer]:
    """Stop tasks, in the caller's transaction.

    A task that no worker has claimed is REVOKED at once. A claimed one gets a request that its worker
    answers: a body that did not start never will; a running one raises ``TaskRevoked`` at its next
    checkpoint or, with ``signal`` and a pool that can, has its process killed.

    Args:
        ids: which tasks.
        signal: name of the signal that ends a running body, for example "SIGTERM"; None asks nicely.
        only_claimed: leave tasks alone that no worker has claimed.
        actor: who wants it; kept in history.
        reason: why; kept in history.
        using: database alias.

    Returns:
        For each id ``REVOKED``, ``REQUESTED``, ``TERMINATING``, ``REFUSED`` (it is final, or left alone)
        or ``UNKNOWN``. With ``signal``, ``REQUESTED`` says that its worker's pool cannot kill.
    """
    vendor, ids = _vendor(using), list(ids)
    actor, reason = _line(actor), _line(reason)
    return _whole(
        vendor,
        lambda: _revoke(
            vendor, ids, signal=signal, only_claimed=only_claimed, actor=actor, reason=reason
        ),
    )


def _revoke(
    vendor: Vendor,
    ids: Sequence[UUID],
    *,
    signal: str | None,
    only_claimed: bool,
    actor: str,
    reason: str,
) -> dict[UUID, Answer]:
    goals, tasks = _locked(vendor, ids)
    killers = _killers(vendor) if signal else frozenset()
    answers = _answers(ids, tasks, lambda task: _answer_to_revoke(task, killers, only_claimed))
    at_once = [
        Change(
            task.pk,
            states.REVOKE,
            task.lease,
            None,
            reason=reason,
            actor=actor,
            goal_id=task.goal_id,
        )
        for task in tasks
        if answers[task.pk] is Answer.REVOKED
    ]
    _write_locked(vendor, goals, at_once)
    claimed = [task for task in tasks if answers[task.pk] in _ASKING]
    for task in claimed:
        asked = (task.revoke_request or {}).get("signal")  # a kill is not taken back
        wish = {
            "signal": signal or asked,
            "actor": actor,
            "reason": reason,
            "ran_under": (task.revoke_request or {}).get("ran_under", task.lease),
        }
        _request_revoke(vendor, task, wish, kills=answers[task.pk] is Answer.TERMINATING)
    if claimed:
        _notify_after_commit(vendor, "revoke")
    return answers


_ASKING = (Answer.REQUESTED, Answer.TERMINATING)


def _killers(vendor: Vendor) -> frozenset[int]:
    """Workers that can end a body against its will."""
    killers = Worker.objects.using(vendor.using).alive().filter(can_terminate=True)
    return frozenset(killers.values_list("pk", flat=True))


def _answer_to_revoke(task: TrackedTask, killers: frozenset[int], only_claimed: bool) -> Answer:
    if task.state in FINAL:
        return Answer.REFUSED
    if task.stage == Stage.CLAIMED:
        return Answer.TERMINATING if task.worker_id in killers else Answer.REQUESTED
    return Answer.REFUSED if only_claimed else Answer.REVOKED


def _request_revoke(
    vendor: Vendor, task: TrackedTask, wish: dict[str, str | int | None], kills: bool
) -> None:
    """Leave the wish on the row. One that kills also takes the lease away, so that nothing that the
    body still does can change the task, its progress or its goal."""
    TrackedTask.objects.using(vendor.using).filter(pk=task.pk, lease=task.lease).update(
        lease=task.lease + int(kills),
        revoke_requested_at=task.revoke_requested_at or vendor.now(),
        revoke_request=wish,
    )


def revoke_requests(vendor: Vendor, worker_id: int) -> list[RevokeRequest]:
    """The wishes that a worker has to answer."""
    rows = (
        TrackedTask.objects.using(vendor.using)
        .claimed_by(worker_id)
        .filter(revoke_requested_at__isnull=False)
        .values_list("pk", "lease", "goal_id", "revoke_request")
    )
    return [RevokeRequest(pk, lease, goal_id, **(wish or {})) for pk, lease, goal_id, wish in rows]


def stopped(request: RevokeRequest, worker_id: int, began: float | None) -> Change:
    """A revoked claim has ended; ``began`` is None where its body never did."""
    return Change(
        request.task_id,
        states.REVOKE if began is None else states.STOP,
        request.lease,
        worker_id,
        reason=request.reason,
        actor=request.actor,
        began=began,
        began_lease=request.ran_under,
        attempt=-1 if began is None else 0,
        goal_id=request.goal_id,
    )


# Run again


def rerun(
    ids: Iterable[UUID], *, actor: str = "", reason: str = "", using: str | None = None
) -> dict[UUID, Answer]:
    """Put failed and revoked tasks back into their queue, with a fresh count of attempts.

    Returns:
        For each id, ``QUEUED``, ``REFUSED`` (it waits, runs or has succeeded, another task serves its goal
        now, or has its unique key) or ``UNKNOWN``.
    """
    vendor, ids = _vendor(using), list(ids)
    actor, reason = _line(actor), _line(reason)
    try:
        return _whole(vendor, lambda: _rerun(vendor, ids, actor, reason))
    except IntegrityError:
        # A task with the same key came between the look and the write: now it is seen.
        return _whole(vendor, lambda: _rerun(vendor, ids, actor, reason))


def _rerun(vendor: Vendor, ids: Sequence[UUID], actor: str, reason: str) -> dict[UUID, Answer]:
    goals, tasks = _locked(vendor, ids)
    taken = _keys_taken(vendor, tasks)
    answers = _answers(ids, tasks, lambda task: _answer_to_rerun(task, goals, taken))
    again = [task for task in tasks if answers[task.pk] is Answer.QUEUED]
    _write_locked(
        vendor,
        goals,
        [
            Change(
                task.pk,
                states.RERUN,
                task.lease,
                task.worker_id,
                delay=0.0,
                reason=reason,
                actor=actor,
                bump=1,
                afresh=True,
                goal_id=task.goal_id,
            )
            for task in again
        ],
    )
    # An expiry that has passed would revoke it again at once.
    TrackedTask.objects.using(vendor.using).many(t.pk for t in again).update(expires_at=None)
    if again:
        _notify_after_commit(vendor, "due")
    return answers


def _keys_taken(vendor: Vendor, tasks: Iterable[TrackedTask]) -> set[str]:
    """The unique keys of these tasks that unfinished ones have."""
    keys = [task.unique_key for task in tasks if task.unique_key]
    if not keys:
        return set()
    holding = TrackedTask.objects.using(vendor.using).filter(active_key__in=keys)
    return {key for key in holding.values_list("active_key", flat=True) if key}


def _answer_to_rerun(task: TrackedTask, goals: goal_writes.Held, taken: set[str]) -> Answer:
    """The answer; a task that is queued takes its key from the others."""
    goal = goals.get(task.goal_id or 0)
    if goal is not None and goal.state == Goal.State.ACTIVE:
        return Answer.REFUSED  # another task serves it now, and one at a time does
    if task.state not in states.RERUN.sources or task.unique_key in taken:
        return Answer.REFUSED
    if task.unique_key:
        taken.add(task.unique_key)
    return Answer.QUEUED


def _line(text: str) -> str:
    """What a person wrote, as history can keep it."""
    return printable(text)[:255]


def _locked(vendor: Vendor, ids: Sequence[UUID]) -> tuple[goal_writes.Held, list[TrackedTask]]:
    """These tasks, and before them the goals that they serve, held until the transaction ends."""
    tasks = TrackedTask.objects.using(vendor.using).many(ids).order_by("pk")
    served = tasks.filter(goal__isnull=False).values_list("goal_id", flat=True)
    goals, _ = goal_writes.lock(vendor, list(served), wait=True)
    return goals, list(vendor.locked(tasks.defer("args", "kwargs", "result", "traceback")))


def _answers(
    ids: Iterable[UUID], tasks: Iterable[TrackedTask], answer: Callable[[TrackedTask], Answer]
) -> dict[UUID, Answer]:
    found = {task.pk: answer(task) for task in tasks}
    return {task_id: found.get(task_id, Answer.UNKNOWN) for task_id in ids}


def _write_locked(vendor: Vendor, goals: goal_writes.Held, changes: Sequence[Change]) -> None:
    """Write changes of rows that this transaction has locked and just read."""
    if changes:
        written = vendor.write(changes, wait=True)
        goal_writes.follow(vendor, goals, written.of(changes))


# Upkeep, by whichever worker comes first


def rescue(vendor: Vendor, lease: float, limit: int = 500) -> Written:
    """Give back the tasks of workers that are gone.

    A worker that was silent for ``lease`` seconds, by the database's clock, is marked lost, where no lock
    tells more (``liveness``); claims of lost, stopped and vanished workers are settled: a task with a wish
    to revoke it is REVOKED, the others run again, until one has taken too many processes along.
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
    with transaction.atomic(using=vendor.using):
        orphans = vendor.locked(claimed.many(gone).order_by("pk"), wait=False)
        tasks = [t for t in orphans.defer("args", "kwargs") if t.worker_id == gone[t.pk]]
        changes = [_rescued(task) for task in tasks if not _returns_unchanged(task)]
        written = _write_following(vendor, changes)
        unchanged = [task.pk for task in tasks if _returns_unchanged(task)]
        claimed.many(unchanged).update(stage=Stage.DUE, worker=None, attempt=F("attempt") - 1)
    if written.applied:
        vendor.notify("due")
    return written


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
        request = RevokeRequest(task.pk, task.lease, task.goal_id, **(task.revoke_request or {}))
        began = None if _never_began(task) else now
        return replace(stopped(request, task.worker_id or 0, began), began_reason="presumed")
    return _lost(
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
    """End waiting tasks whose ``expires`` has passed: REVOKED, reason "expired"."""
    waiting = TrackedTask.objects.using(vendor.using).filter(
        stage__lt=Stage.CLAIMED, expires_at__lte=vendor.now()
    )
    if not waiting.exists():
        return Written()
    with transaction.atomic(using=vendor.using):
        tasks = vendor.locked(waiting.order_by("expires_at"), wait=False)
        changes = [
            Change(task_id, states.EXPIRE, lease, None, reason="expired", goal_id=goal_id)
            for task_id, lease, goal_id in tasks.values_list("pk", "lease", "goal_id")[:limit]
        ]
        return _write_following(vendor, changes)


def hold_unknown(vendor: Vendor, queues: Sequence[str], known: Iterable[str]) -> dict[str, int]:
    """Take due tasks that no worker knows out of the claims' way, looking at the head of the queue.

    Returns:
        How many of each name were held.
    """
    due = TrackedTask.objects.using(vendor.using).due()
    due = due.for_queue(*queues) if queues else due
    head = due.in_claim_order().values_list("pk", "name")[:1000]
    known = set(known)
    unknown = {task_id: name for task_id, name in head if name not in known}
    if unknown:
        _move(vendor, due.many(unknown), Stage.HELD)
    return dict(Counter(unknown.values()))


def _move(vendor: Vendor, tasks: TaskQuerySet, stage: Stage) -> int:
    """Put waiting tasks in another stage, as far as nobody holds them; returns how many."""
    with transaction.atomic(using=vendor.using):
        free = vendor.locked(tasks.order_by("pk"), wait=False).values_list("pk", flat=True)[:5000]
        return tasks.many(list(free)).update(stage=stage)


def unhold(vendor: Vendor, known: Iterable[str]) -> int:
    """Make held tasks due again whose name a worker knows now; returns how many."""
    held = TrackedTask.objects.using(vendor.using).filter(stage=Stage.HELD)
    # Asked by its index's order: an unordered look for any row reads the table until it finds one.
    some = held.order_by("name").values("name").first()
    released = _move(vendor, held.named(known), Stage.DUE) if some else 0
    if released:
        vendor.notify("due")
    return released


# Values


def forget(ids: Iterable[UUID], *, using: str | None = None) -> int:
    """Drop the results of finished tasks; their state and history stay. Returns how many."""
    vendor = _vendor(using)
    return TrackedTask.objects.using(vendor.using).many(ids).finished().update(result=None)
