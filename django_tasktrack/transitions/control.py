"""What people do to tasks, and the wishes that workers answer: revoke, run again, forget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from enum import StrEnum
from functools import partial
from uuid import UUID

from django.db import IntegrityError

from .. import goal_writes, states
from ..changes import Change, RevokeRequest
from ..models import Goal, TrackedTask, Worker
from ..states import FINAL, Stage, State
from ..vendors import Vendor
from . import links
from .announcing import revoked_after_commit
from .door import line, locked, notify_after_commit, vendor_of, whole, write_locked

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


def _answers(
    ids: Iterable[UUID], tasks: Iterable[TrackedTask], answer: Callable[[TrackedTask], Answer]
) -> dict[UUID, Answer]:
    found = {task.pk: answer(task) for task in tasks}
    return {task_id: found.get(task_id, Answer.UNKNOWN) for task_id in ids}


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
    vendor, ids = vendor_of(using), list(ids)
    actor, reason = line(actor), line(reason)
    return whole(
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
    goals, tasks = locked(vendor, ids, links.waiting_for(vendor, ids))
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
    write_locked(vendor, goals, at_once)
    revoked_after_commit(vendor, [change.task_id for change in at_once])
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
        notify_after_commit(vendor, "revoke")
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
        .values_list("pk", "lease", "goal_id", "revoke_request", "state")
    )
    return [
        replace(RevokeRequest.of_row(pk, lease, goal_id, wish), started=state == State.STARTED)
        for pk, lease, goal_id, wish, state in rows
    ]


def stopped(request: RevokeRequest, worker_id: int, began: float | None) -> Change:
    """A revoked claim has ended; ``began`` is None where its body never did.

    Its attempt was none then, unless its beginning was committed first, and so counts.
    """
    return Change(
        request.task_id,
        states.REVOKE if began is None else states.STOP,
        request.lease,
        worker_id,
        reason=request.reason,
        actor=request.actor,
        began=began,
        began_lease=request.ran_under,
        attempt=-1 if began is None and not request.started else 0,
        goal_id=request.goal_id,
    )


# Run again

#: How often it is looked who has the keys, before the tasks are tried one by one.
_LOOKS = 3


def rerun(
    ids: Iterable[UUID], *, actor: str = "", reason: str = "", using: str | None = None
) -> dict[UUID, Answer]:
    """Put failed and revoked tasks back into their queue, with a fresh count of attempts.

    Returns:
        For each id, ``QUEUED``, ``REFUSED`` (it waits, runs or has succeeded, another task serves its goal
        now or has its unique key, or the one that it waited for has failed: run that one again) or
        ``UNKNOWN``.
    """
    vendor, ids = vendor_of(using), list(ids)
    actor, reason = line(actor), line(reason)
    for look in range(1, _LOOKS + 1):
        act = partial(_rerun, vendor, ids, actor, reason, surely=look > 1)
        try:
            return whole(vendor, act)
        except IntegrityError as error:
            # A task with the same key came between the look and the write.
            if look == _LOOKS and len(ids) == 1:
                if "active_key" not in str(error):
                    raise
                return {ids[0]: Answer.REFUSED}  # whether this transaction sees the other or not
    answers: dict[UUID, Answer] = {}
    for task_id in ids:
        answers |= rerun([task_id], actor=actor, reason=reason, using=using)
    return answers


def _rerun(
    vendor: Vendor, ids: Sequence[UUID], actor: str, reason: str, *, surely: bool
) -> dict[UUID, Answer]:
    goals, left = locked(vendor, ids, links.may_revive(vendor, ids))
    taken = _keys_taken(vendor, left, surely=surely)
    answers = _answers(ids, left, lambda _: Answer.REFUSED)
    # Round by round: what has waited for one of these in vain may run again once that one does.
    while True:
        in_vain = links.in_vain(vendor, [task.pk for task in left])
        ready = [task for task in left if task.pk not in in_vain]
        again = [t for t in ready if _answer_to_rerun(t, goals, taken) is Answer.QUEUED]
        if not again:
            break
        changes = [
            Change.again(
                task.pk,
                task.lease,
                task.worker_id,
                actor=actor,
                reason=reason,
                goal_id=task.goal_id,
            )
            for task in again
        ]
        write_locked(vendor, goals, changes)
        afresh = {task.pk for task in again}
        afresh.update(_free_what_waited(vendor, again, actor, reason))
        # An expiry that has passed would revoke it again at once.
        TrackedTask.objects.using(vendor.using).many(afresh).update(expires_at=None)
        answers |= {task.pk: Answer.QUEUED for task in left if task.pk in afresh}
        left = [task for task in left if task.pk in in_vain - afresh]
    if Answer.QUEUED in answers.values():
        notify_after_commit(vendor, "due")
    return answers


def _free_what_waited(
    vendor: Vendor, again: Sequence[TrackedTask], actor: str, reason: str
) -> list[UUID]:
    """Put the links of tasks that run again in order; returns what waits again because they do."""
    ids = [task.pk for task in again]
    followed = any(task.followed for task in again)
    revived = links.revive(vendor, ids, actor, reason) if followed else []
    links.wait_again(vendor, ids)
    return revived


def _keys_taken(vendor: Vendor, tasks: Iterable[TrackedTask], *, surely: bool) -> set[str]:
    """The unique keys of these tasks that unfinished ones have.

    Args:
        vendor: of their database.
        tasks: those that are to run again.
        surely: look past this transaction's snapshot, and wait for others that may end with the key.
    """
    keys = [task.unique_key for task in tasks if task.unique_key]
    if not keys:
        return set()
    holding = TrackedTask.objects.using(vendor.using).filter(active_key__in=keys).order_by("pk")
    rows = (vendor.locked(holding) if surely else holding).values_list("active_key", "stage")
    if ended := [key for key, stage in rows if stage == Stage.DONE]:
        vendor.free_ended(ended)
    return {key for key, stage in rows if key and stage != Stage.DONE}


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


# Values


def forget(ids: Iterable[UUID], *, using: str | None = None) -> int:
    """Drop the results of finished tasks that no other waits for; their state and history stay. Returns how
    many."""
    vendor = vendor_of(using)
    finished = TrackedTask.objects.using(vendor.using).many(ids).finished().not_awaited()
    return finished.update(result=None)
