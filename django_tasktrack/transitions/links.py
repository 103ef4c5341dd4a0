"""What the end of a task means for those that wait for it. Called in the transaction of that end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.db.models import Exists, F, OuterRef, TextField
from django.db.models.functions import Cast

from .. import serializers, states
from ..changes import Change, NewTask, Release
from ..exceptions import TasktrackError
from ..models import Link, TrackedTask
from ..planned import from_plan
from ..states import Stage, State
from ..vendors import Vendor
from . import announcing, publishing

#: The open links of some tasks, by task.
Open = dict[UUID, list[Link]]

#: So many tasks that wait, directly or not, are revoked in the transaction of the end that dooms them.
#: Upkeep revokes the others.
DOOMED_AT_ONCE = 10_000


def waiting_for(vendor: Vendor, ids: Iterable[UUID]) -> set[UUID]:
    """The tasks that wait for the end of one of these, as far as their links are open."""
    links = Link.objects.using(vendor.using).filter(task_id__in=list(ids), state=Link.State.OPEN)
    return set(links.exclude(successor=None).values_list("successor_id", flat=True))


def may_revive(vendor: Vendor, ids: Iterable[UUID]) -> set[UUID]:
    """The tasks that have waited for one of these in vain, directly or not."""
    found: set[UUID] = set()
    level = set(ids)
    while level:
        broken = Link.objects.using(vendor.using).filter(task_id__in=level)
        behind = broken.filter(state=Link.State.BROKEN).exclude(successor=None)
        level = set(behind.values_list("successor_id", flat=True)) - found
        found |= level
    return found


def lock(vendor: Vendor, ids: Iterable[UUID], *, wait: bool) -> tuple[Open, frozenset[UUID]]:
    """Hold what waits for these tasks until the transaction ends.

    So that of two ends that a task waits for, the later one sees the earlier.

    Args:
        ids: of tasks that end.
        wait: wait for successors that someone holds, instead of leaving out what they wait for.

    Returns:
        The open links of the tasks, and which tasks have a successor that someone else holds.
    """
    ending = list(ids)
    if not ending:
        return {}, frozenset()
    links: Open = defaultdict(list)
    for link in Link.objects.using(vendor.using).filter(task_id__in=ending, state=Link.State.OPEN):
        links[link.task_id].append(link)
    successors = _successors(links, links)
    if not successors:
        return links, frozenset()
    waiting = TrackedTask.objects.using(vendor.using).many(successors)
    held = set(vendor.locked(waiting.order_by("pk"), wait=wait).values_list("pk", flat=True))
    missing = successors - held
    elsewhere = set(waiting.many(missing).values_list("pk", flat=True)) if missing else set()
    busy = {
        link.task_id for its in links.values() for link in its if link.successor_id in elsewhere
    }
    return links, frozenset(busy)


def follow(vendor: Vendor, links: Open, ended: Mapping[UUID, State]) -> int:
    """Release or revoke what waited for tasks that have ended, and call what was to be called.

    Args:
        vendor: of their database.
        links: what ``lock`` gave.
        ended: the final states of tasks.

    Returns:
        How many tasks may run now.
    """
    waited_for = {task_id: state for task_id, state in ended.items() if task_id in links}
    passed = [task_id for task_id, state in waited_for.items() if state is State.SUCCESS]
    released = _pass_on(vendor, links, passed) if passed else 0
    for task_id, state in waited_for.items():
        if state is not State.SUCCESS:
            released += _break(vendor, links[task_id], task_id, state)
    return released


def _successors(links: Open, ids: Iterable[UUID]) -> set[UUID]:
    return {link.successor_id for one in ids for link in links[one] if link.successor_id}


# Success


def _pass_on(vendor: Vendor, links: Open, ids: Collection[UUID]) -> int:
    rows = Link.objects.using(vendor.using)
    rows.filter(task_id__in=ids, state=Link.State.OPEN).update(state=Link.State.PASSED)
    successors = _successors(links, ids)
    return _release(vendor, successors)


def _release(vendor: Vendor, waiting: Collection[UUID]) -> int:
    """Let those of these tasks run that wait for nothing any more; returns how many."""
    links = Link.objects.using(vendor.using).filter(successor_id__in=waiting)
    still = links.filter(state__in=(Link.State.OPEN, Link.State.BROKEN))
    ready = set(waiting) - set(still.values_list("successor_id", flat=True))
    released = vendor.release(_releases(vendor, ready)) if ready else []
    links.filter(successor_id__in=released).update(state=Link.State.HANDED)
    return len(released)


def _releases(vendor: Vendor, ready: Collection[UUID]) -> list[Release]:
    """What these tasks run with: their own arguments behind the values that they have waited for."""
    text = TextField()
    own = TrackedTask.objects.using(vendor.using).many(ready).annotate(text=Cast("args", text))
    links = (
        Link.objects.using(vendor.using)
        .filter(successor_id__in=ready)
        .annotate(value=Cast(F("task__result"), text))
        .order_by("place")
        .values_list("successor_id", "place", "collects", "value", "delay")
    )
    values: dict[UUID, list[str]] = defaultdict(list)
    lists: dict[UUID, list[str]] = defaultdict(list)
    delays: dict[UUID, float] = defaultdict(float)
    for successor, place, collects, value, delay in links:
        delays[successor] = max(delays[successor], delay)
        if place is not None:
            (lists if collects else values)[successor].append("null" if value is None else value)
    for successor, items in lists.items():
        values[successor].insert(0, serializers.listed(items))
    return [
        Release(task_id, serializers.put_before(values[task_id], args), delays[task_id])
        for task_id, args in own.values_list("pk", "text")
    ]


# Failure


def _break(vendor: Vendor, links: Sequence[Link], task_id: UUID, state: State) -> int:
    """Nothing that waits for this task can run: revoke it, with all that waits for it in turn.

    Returns:
        How many tasks were enqueued because it has failed.
    """
    called = [link.on_error for link in links if link.on_error and state is State.FAILURE]
    after = vendor.waiting_for(task_id, DOOMED_AT_ONCE)
    doomed = _revoke(vendor, after, task_id, state) if after else []
    rows = Link.objects.using(vendor.using)
    if doomed:  # what collects values tells of their lack
        bodies = rows.filter(successor_id__in=doomed, collects=True).values("successor_id")
        told = rows.filter(task_id__in=bodies, state=Link.State.OPEN, on_error__isnull=False)
        called += told.values_list("on_error", flat=True)
    # What still waits, because somebody holds it or it is beyond the limit, upkeep finds by its open link.
    waits = TrackedTask.objects.using(vendor.using).filter(
        pk=OuterRef("successor_id"), stage=Stage.BLOCKED
    )
    ended = rows.filter(task_id__in=[task_id, *doomed], state=Link.State.OPEN)
    ended.exclude(Exists(waits)).update(state=Link.State.BROKEN)
    return _call(vendor, called, task_id)


def _call(vendor: Vendor, planned: Sequence[Mapping[str, Any]], failed: UUID) -> int:
    """Enqueue what is to be called because a task has failed, each once; returns how many."""
    once = [task for number, task in enumerate(planned) if task not in planned[:number]]
    if not once:
        return 0
    root = TrackedTask.objects.using(vendor.using).values_list("root_id", flat=True).get(pk=failed)
    new: Sequence[NewTask] = [from_plan(plan, failed, root) for plan in once]
    with suppress(TasktrackError):  # what a receiver does to the headers must not cost the end
        new = publishing.before(new)
    vendor.insert(new)
    publishing.after(vendor, new)
    return len(new)


def _revoke(vendor: Vendor, ids: Sequence[UUID], cause: UUID, state: State) -> list[UUID]:
    """Revoke tasks that wait for one that has ended so; what somebody holds is left to upkeep. Returns which."""
    why = f"task {cause} ended in {state}"
    waiting = TrackedTask.objects.using(vendor.using).filter(stage=Stage.BLOCKED)
    free = vendor.locked(waiting.many(ids).order_by("pk"), wait=False)
    changes = [
        Change(pk, states.REVOKE, lease, None, reason=why)
        for pk, lease in free.values_list("pk", "lease")
    ]
    revoked = list(vendor.write(changes).applied) if changes else []
    # Nobody has wished it: they may wait again, if that task does.
    wish = {"waited_for": str(cause)}
    TrackedTask.objects.using(vendor.using).many(revoked).update(revoke_request=wish)
    announcing.revoked_after_commit(vendor, revoked)
    return revoked


# Again


def revive(vendor: Vendor, ids: Iterable[UUID], actor: str, reason: str) -> list[UUID]:
    """Let tasks wait again that were revoked because these had failed, and that wait for no other failed one.

    Args:
        vendor: of their database.
        ids: of tasks that run again.
        actor, reason: for history.

    Returns:
        Which tasks wait again.
    """
    revived: list[UUID] = []
    again = list(ids)
    while again:
        broken = Link.objects.using(vendor.using).filter(task_id__in=again, state=Link.State.BROKEN)
        successors = set(broken.values_list("successor_id", flat=True))
        waiting = TrackedTask.objects.using(vendor.using).many(successors).order_by("pk")
        # Held before it is asked what else they wait for: another one may fail at this moment.
        list(vendor.locked(waiting).values_list("pk", flat=True))
        broken.update(state=Link.State.OPEN)
        free = successors - in_vain(vendor, successors)
        again = _block(vendor, free, actor, reason) if free else []
        revived += again
    return revived


def _block(vendor: Vendor, ids: Collection[UUID], actor: str, reason: str) -> list[UUID]:
    revoked = TrackedTask.objects.using(vendor.using).many(ids).filter(state=State.REVOKED)
    tasks = revoked.filter(revoke_request__waited_for__isnull=False)
    rows = vendor.locked(tasks.order_by("pk")).values_list("pk", "lease", "worker_id")
    changes = [Change.again(*row, actor=actor, reason=reason) for row in rows]
    written = vendor.write(changes, wait=True).applied if changes else frozenset()
    TrackedTask.objects.using(vendor.using).many(written).update(stage=Stage.BLOCKED)
    return list(written)


def wait_again(vendor: Vendor, ids: Collection[UUID]) -> None:
    """Of tasks that are to run again, let those wait that were revoked before they got what they wait for."""
    waiting = Link.objects.using(vendor.using).filter(
        successor_id__in=ids, state__in=(Link.State.OPEN, Link.State.PASSED)
    )
    waiting_ids = set(waiting.values_list("successor_id", flat=True)) - {None}
    if waiting_ids:
        TrackedTask.objects.using(vendor.using).many(waiting_ids).update(stage=Stage.BLOCKED)
        _release(vendor, waiting_ids)


def in_vain(vendor: Vendor, ids: Iterable[UUID]) -> set[UUID]:
    """Those of these tasks that have waited for one that failed, and still would."""
    broken = Link.objects.using(vendor.using).filter(successor_id__in=ids, state=Link.State.BROKEN)
    return set(broken.values_list("successor_id", flat=True))
