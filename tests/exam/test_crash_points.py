"""A process that ends before and after every statement of every verb: each point is legal."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, get_args
from uuid import UUID

import pytest
from django.db import transaction

from django_tasktrack import chord, context, goals, purge, pursuit, transitions
from django_tasktrack.changes import Change, ProgressWrite
from django_tasktrack.ids import new_id
from django_tasktrack.models import (
    Goal,
    Link,
    Progress,
    Schedule,
    ScheduleSlot,
    StateChange,
    TrackedTask,
    Worker,
)
from django_tasktrack.outcomes import Claim, failed, retry_later, succeeded
from django_tasktrack.schedules import firing
from django_tasktrack.states import FINAL, Stage
from tests import invariants
from tests.app import tasks
from tests.exam.crashing import Place, crashes
from tests.exam.report import Figures
from tests.factories import NAME, make_schedule, make_worker, new_task
from tests.inline import the_vendor

#: Tasks of one try: enough to see half of them written.
COUNT = 3


def put(**values: Any) -> list[UUID]:
    new = [new_task(**values) for _ in range(COUNT)]
    transitions.enqueue(new)
    return [task.task_id for task in new]


def put_with_keys(*keys: str) -> list[UUID]:
    new = [new_task(unique_key=key) for key in keys]
    transitions.enqueue(new)
    return [task.task_id for task in new]


def claim(limit: int = COUNT) -> list[Claim]:
    names = [NAME, tasks.echo.name]
    return transitions.claim(the_vendor(), make_worker().pk, [], names, limit)


def claimed(begun: bool = True, **values: Any) -> list[Claim]:
    put(**values)
    claims = claim()
    if begun:
        now = time.monotonic()
        changes = [transitions.started(c, now) for c in claims]
        transitions.settle(the_vendor(), changes)
    return claims


def served(begun: bool = True) -> list[Claim]:
    """Claims of tasks that serve goals."""
    for number in range(COUNT):
        goals.pursue("crash", key=new_id(), task=tasks.echo, achieve_on_success=number % 2 == 0)
    claims = claim()
    if begun:
        now = time.monotonic()
        transitions.settle(the_vendor(), [transitions.started(c, now) for c in claims])
    return claims


def ids_of(claims: list[Claim]) -> list[UUID]:
    return [c.task_id for c in claims]


def settle(make: Callable[[Claim, float], Change], claims: list[Claim]) -> Callable[[], object]:
    """Write one change a claim, in a later moment."""
    return lambda: transitions.settle(the_vendor(), [make(c, time.monotonic()) for c in claims])


def finish(c: Claim, now: float) -> Change:
    return Change.of_outcome(c, succeeded("1"), now, now)


def fail(c: Claim, now: float) -> Change:
    return Change.of_outcome(c, failed(ValueError("no")), now, now)


def retry(c: Claim, now: float) -> Change:
    return Change.of_outcome(c, retry_later(ValueError("no"), 0.0), now, now)


# What each verb does, after what was there before it.


def enqueueing() -> Callable[[], object]:
    new = [new_task() for _ in range(COUNT)]
    return lambda: transitions.enqueue(new)


def enqueueing_one() -> Callable[[], object]:
    new = new_task()
    return lambda: transitions.enqueue([new])


def claiming() -> Callable[[], object]:
    put()
    worker = make_worker().pk
    return lambda: transitions.claim(the_vendor(), worker, [], [NAME], COUNT)


def unclaiming() -> Callable[[], object]:
    claims = claimed(begun=False)
    return lambda: transitions.unclaim(the_vendor(), claims)


def starting() -> Callable[[], object]:
    return settle(transitions.started, claimed(begun=False))


def labelling() -> Callable[[], object]:
    return settle(lambda c, now: transitions.relabelled(c, "HALFWAY", now, now), claimed())


def reporting() -> Callable[[], object]:
    writes = [ProgressWrite(c.task_id, c.lease, 1, 2, "half", "{}") for c in claimed()]
    return lambda: the_vendor().write_progress(writes)


def finishing() -> Callable[[], object]:
    return settle(finish, claimed())


def finishing_at_once() -> Callable[[], object]:
    """Its STARTED is written with its end."""
    return settle(finish, claimed(begun=False))


def retrying() -> Callable[[], object]:
    return settle(retry, claimed())


def releasing() -> Callable[[], object]:
    return settle(lambda c, now: transitions.released(c, now, "stopped"), claimed())


def achieving_by_success() -> Callable[[], object]:
    return settle(finish, served())


def failing_a_goal() -> Callable[[], object]:
    return settle(fail, served(begun=False))


def revoking_waiting() -> Callable[[], object]:
    ids = put()
    return lambda: transitions.revoke(ids, actor="user:boss")


def revoking_claimed() -> Callable[[], object]:
    ids = ids_of(claimed())
    return lambda: transitions.revoke(ids, actor="user:boss")


def terminating() -> Callable[[], object]:
    ids = ids_of(served())
    return lambda: transitions.revoke(ids, signal="SIGKILL")


def answering_a_wish() -> Callable[[], object]:
    claims = served()
    transitions.revoke(ids_of(claims), signal="SIGKILL")
    worker = claims[0].worker_id

    def answer() -> None:
        wishes = transitions.revoke_requests(the_vendor(), worker)
        now = time.monotonic()
        changes = [transitions.stopped(wish, worker, now) for wish in wishes]
        transitions.settle(the_vendor(), changes)

    return answer


def rescuing() -> Callable[[], object]:
    claimed()
    served(begun=False)
    transitions.revoke(ids_of(claimed(begun=False)))
    claimed(begun=False, rerun_if_lost=False)
    Worker.objects.update(stopped_at=the_vendor().now())
    return lambda: transitions.rescue(the_vendor(), 5.0)


def expiring() -> Callable[[], object]:
    put(expires_in=-1.0)
    return lambda: transitions.expire(the_vendor())


def running_again() -> Callable[[], object]:
    claims = [*claimed(), *served()]
    transitions.settle(the_vendor(), [fail(c, time.monotonic()) for c in claims])
    return lambda: transitions.rerun(ids_of(claims), actor="user:boss")


def pursuing() -> Callable[[], object]:
    key = new_id()
    return lambda: goals.pursue("crash", key=key, task=tasks.echo)


def achieving() -> Callable[[], object]:
    """Inside a task, with a write of the task's own."""
    one = served()[0]
    goal = Goal.objects.get(tasks=one.task_id)
    running = context.Context(one, context.Request, lambda _: None, lambda: False)

    def achieve() -> None:
        with context.running(running), transaction.atomic():
            Worker.objects.filter(pk=one.worker_id).update(version="paid")
            goals.get(goal.kind, goal.key).achieve(evidence={"paid": True})

    return achieve


def reconciling() -> Callable[[], object]:
    claims = served()
    transitions.settle(the_vendor(), [fail(c, time.monotonic()) for c in claims])
    soon = the_vendor().now()
    Goal.objects.filter(state=Goal.State.OPEN).update(next_attempt_at=soon)
    late = ids_of(served(begun=False))[:1]
    Goal.objects.filter(tasks__in=late).update(deadline=soon - timedelta(seconds=1))
    return lambda: pursuit.reconcile(the_vendor())


def purging() -> Callable[[], object]:
    claims = served()
    transitions.settle(the_vendor(), [finish(c, time.monotonic()) for c in claims])
    return lambda: purge.purge(older_than=0)


def enqueueing_with_a_key() -> Callable[[], object]:
    """Of three, one whose key another task has."""
    (held,) = put_with_keys("held")
    new = [new_task(unique_key=key) for key in ("one", "held", "two")]

    def enqueue() -> None:
        holders = transitions.enqueue(new)
        assert list(holders.values()) == [held]

    return enqueue


def running_again_with_a_key() -> Callable[[], object]:
    """Of three that have failed, one whose key another task has by now."""
    put_with_keys("one", "held", "two")
    claims = claim()
    transitions.settle(the_vendor(), [fail(c, time.monotonic()) for c in claims])
    put_with_keys("held")

    def rerun() -> None:
        answers = transitions.rerun(ids_of(claims), actor="user:boss")
        assert list(answers.values()).count(transitions.Answer.REFUSED) == 1

    return rerun


def enqueueing_a_chord() -> Callable[[], object]:
    header = [tasks.echo.s(number) for number in range(COUNT)]
    whole = chord(header, tasks.echo.s()) | tasks.echo.s()
    return whole.delay


def _chord_in_flight() -> list[Claim]:
    enqueueing_a_chord()()
    return claim()


def ending_a_header() -> Callable[[], object]:
    """All of it: the body is released once."""
    return settle(finish, _chord_in_flight())


def failing_in_a_header() -> Callable[[], object]:
    """The last of it: what waits for all of it is revoked."""
    claims = _chord_in_flight()
    settle(finish, claims[1:])()
    return settle(fail, claims[:1])


def calling_an_errback() -> Callable[[], object]:
    for _ in range(COUNT):
        tasks.echo.apply_async((1,), link_error=tasks.echo.s())
    return settle(fail, claim())


def revoking_what_others_wait_for() -> Callable[[], object]:
    result = (tasks.echo.s(1) | tasks.echo.s() | tasks.echo.s()).delay()
    first = UUID(result.parent.parent.id)
    return lambda: transitions.revoke([first], actor="user:boss")


def running_a_chain_again() -> Callable[[], object]:
    """What waited for the one that failed waits again."""
    (tasks.echo.s(1) | tasks.echo.s() | tasks.echo.s()).delay()
    claims = claim()
    settle(fail, claims)()
    return lambda: transitions.rerun(ids_of(claims), actor="user:boss")


def following_up() -> Callable[[], object]:
    """Ends that a worker of a version without links has written."""
    settle(finish, [c._replace(followed=False) for c in _chord_in_flight()])()
    return lambda: transitions.follow_up(the_vendor())


def running_a_schedule() -> Callable[[], object]:
    """Three slots that were missed: all of them, or none."""
    now = the_vendor().now()
    late = now - timedelta(seconds=61 * (COUNT - 1))
    make_schedule(task=tasks.echo.name, timing="every 61 s", catch_up=COUNT, next_at=late)
    return lambda: firing.fire_due(the_vendor(), [tasks.echo.name], now=now)


VERBS = [
    enqueueing_a_chord, ending_a_header, failing_in_a_header, calling_an_errback,
    revoking_what_others_wait_for, running_a_chain_again, following_up,
    enqueueing, enqueueing_one, enqueueing_with_a_key, running_again_with_a_key, claiming, unclaiming, starting, labelling, reporting, finishing,
    finishing_at_once, retrying, releasing, achieving_by_success, failing_a_goal, revoking_waiting,
    revoking_claimed, terminating, answering_a_wish, rescuing, expiring, running_again, pursuing,
    achieving, reconciling, purging, running_a_schedule,
]  # fmt: skip


#: How many tasks these enqueue: all of them or none, wherever they end. The others enqueue none.
NEW = {
    enqueueing: COUNT,
    enqueueing_one: 1,
    enqueueing_with_a_key: 2,
    enqueueing_a_chord: COUNT + 2,
    calling_an_errback: COUNT,
    pursuing: 1,
    reconciling: COUNT,
    running_a_schedule: COUNT,
}
#: Of these every point is tried in each run of the suite.
QUICK = {enqueueing, enqueueing_with_a_key, claiming, finishing_at_once, achieving, ending_a_header}


@pytest.mark.case(6)
@pytest.mark.parametrize(
    "verb",
    [pytest.param(v, id=v.__name__, marks=() if v in QUICK else pytest.mark.long) for v in VERBS],
)
def test_every_crash_point_is_legal(
    verb: Callable[[], Callable[[], object]], figures: Figures
) -> None:
    points = 0
    for place in get_args(Place):
        number = 1
        while crashes_legally(verb, number, place):
            number += 1
            points += 1
    assert points
    figures["crash points"] = points


def crashes_legally(prepare: Callable[[], Callable[[], object]], number: int, place: Place) -> bool:
    """Crash there, recover, run everything to its end; whether the verb came so far."""
    act = prepare()
    before = {str(pk) for pk in TrackedTask.objects.values_list("pk", flat=True)}
    crashed = crashes(act, number, place)
    new = TrackedTask.objects.exclude(pk__in=before).count()
    whole = NEW.get(prepare, 0)
    assert new in ({0, whole} if crashed else {whole}), "half of them, or none at its end"
    paid = Worker.objects.filter(version="paid").count()
    assert paid == Goal.objects.filter(evidence__paid=True).count(), "achieved without the work"
    invariants.check(quiet=False)
    recover()
    invariants.check()
    finish_all()
    invariants.check()
    _clear()
    return crashed


def recover() -> None:
    """What the other workers do once the lease has run out."""
    firing.fire_due(the_vendor(), [tasks.echo.name])
    slots = ScheduleSlot.objects.count()
    assert slots == COUNT * Schedule.objects.count(), "a slot was lost with its worker"
    Worker.objects.filter(lost_at=None).update(heartbeat_at=the_vendor().now() - timedelta(hours=1))
    transitions.rescue(the_vendor(), 0.0)
    transitions.expire(the_vendor())
    transitions.follow_up(the_vendor())
    assert not TrackedTask.objects.filter(stage=Stage.CLAIMED).exists()


def finish_all() -> None:
    """Nothing is stuck: a living worker runs what waits, and every goal is served or settled."""
    pursuit.reconcile(the_vendor())
    while claims := claim(100):
        now = time.monotonic()
        written = transitions.settle(the_vendor(), [finish(c, now) for c in claims])
        assert written.applied == set(ids_of(claims))
    left = TrackedTask.objects.exclude(state__in=FINAL).values_list("state", "stage")
    assert not list(left)


def _clear() -> None:
    for model in (StateChange, Progress, Link, TrackedTask, Worker, ScheduleSlot, Schedule):
        model._base_manager.all()._raw_delete("default")
    Goal.objects.all().delete()
