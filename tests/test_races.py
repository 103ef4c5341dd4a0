"""Two connections at once: exactly one of them wins, whatever the order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import pytest
from django.db import connection, connections, transaction

from django_tasktrack import chord, goals, purge, pursuit, registry, states, transitions
from django_tasktrack.changes import Change
from django_tasktrack.goals import PursuedGoal
from django_tasktrack.models import Goal, GoalAttempt, StateChange, TrackedTask, Worker
from django_tasktrack.outcomes import Claim, Outcome, failed, succeeded
from django_tasktrack.states import State
from django_tasktrack.sweeping import Sweeping
from django_tasktrack.transitions import Answer
from django_tasktrack.vendors.base import Vendor

from .app.tasks import echo
from .factories import NAME, make_task, make_worker, new_task
from .inline import claim_all, finish, row, run, the_vendor, work
from .test_goals import fold_holds

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        connection.vendor == "sqlite", reason="SQLite has one writer: nothing can interleave"
    ),
]
_T = TypeVar("_T")


@pytest.fixture(params=["own", "portable"])
def vendor(request: pytest.FixtureRequest) -> Vendor:
    own = the_vendor()
    if request.param == "own":
        return own
    if type(own) is Vendor:
        pytest.skip("the portable vendor is this database's own")
    return Vendor("default")


def together(*bodies: Callable[[], _T]) -> list[_T]:
    """Run each in a thread with a connection of its own, all from the same moment."""
    barrier = threading.Barrier(len(bodies))

    def run(body: Callable[[], _T]) -> _T:
        try:
            connection.ensure_connection()
            barrier.wait(10)
            return body()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(bodies)) as threads:
        return [future.result(30) for future in [threads.submit(run, body) for body in bodies]]


def put(count: int, **values: Any) -> list[UUID]:
    tasks = [new_task(**values) for _ in range(count)]
    transitions.enqueue(tasks)
    return [task.task_id for task in tasks]


def finish_each(vendor: Vendor, claims: Sequence[Claim], outcome: Outcome) -> set[UUID]:
    """End one claim after the other; returns those whose fence held."""
    won: set[UUID] = set()
    now = time.monotonic()
    for claim in claims:
        end = Change.of_outcome(claim, outcome, began=now, ended=now)
        while (written := transitions.settle(vendor, [end])).busy:
            time.sleep(0)
        won |= written.applied
    return won


def histories() -> dict[UUID, list[str]]:
    found: dict[UUID, list[str]] = {}
    for change in StateChange.objects.in_order():
        found.setdefault(change.task_id, []).append(change.state)
        assert change.seq == len(found[change.task_id])
    return found


def check_histories() -> None:
    """I1 and I2: legal pairs, contiguous, the last row is the state, a final state is final."""
    told = histories()
    for task in TrackedTask.objects.all():
        story = told[task.pk]
        pairs = zip([None, *story], story, strict=False)
        assert all(states.is_legal(source, target) for source, target in pairs), story
        assert (story[-1], len(story)) == (task.state, task.seq)
        assert not set(story[:-1]) & states.FINAL


def test_two_claimers_never_get_the_same_row(vendor: Vendor) -> None:
    ids = put(600, queue="a") + put(200, queue="b")
    workers = [make_worker().pk for _ in range(4)]

    def claimer(worker_id: int) -> Callable[[], list[Claim]]:
        def claim() -> list[Claim]:
            taken: list[Claim] = []
            misses = 0
            while misses < 3:  # a batch may be empty because the others hold the head
                batch = vendor.claim(worker_id, [], [NAME], 7)
                misses = 0 if batch else misses + 1
                taken += batch
            return taken

        return claim

    claims = [claim for taken in together(*map(claimer, workers)) for claim in taken]
    assert sorted(claim.task_id for claim in claims) == sorted(ids)
    assert {claim.lease for claim in claims} == {1}
    assert {(task.pk, task.worker_id) for task in TrackedTask.objects.all()} == {
        (claim.task_id, claim.worker_id) for claim in claims
    }


def test_revoke_against_claim_has_one_winner(vendor: Vendor) -> None:
    ids = put(300)
    worker_id = make_worker().pk

    def claim() -> list[Claim]:
        taken: list[Claim] = []
        misses = 0
        while misses < 3:
            batch = vendor.claim(worker_id, [], [NAME], 5)
            misses = 0 if batch else misses + 1
            taken += batch
        return taken

    def revoke() -> dict[UUID, Answer]:
        answers: dict[UUID, Answer] = {}
        for start in range(len(ids) - 5, -1, -5):  # towards the claimer
            answers |= transitions.revoke(ids[start : start + 5])
        return answers

    results: Sequence[Any] = together(claim, revoke)
    claims, answers = results
    claimed = {claim.task_id for claim in claims}
    assert claimed == {i for i, answer in answers.items() if answer is Answer.REQUESTED}
    for task in TrackedTask.objects.all():
        asked = task.revoke_requested_at is not None
        assert (task.state, task.lease, asked) == (
            (State.PENDING, 1, True) if task.pk in claimed else (State.REVOKED, 0, False)
        )
    check_histories()


def test_finish_against_rescue_has_exactly_one_winner(vendor: Vendor) -> None:
    put(400)
    worker = make_worker()
    claims = vendor.claim(worker.pk, [], [NAME], 400)
    began = time.monotonic()
    for claim in claims[::2]:
        vendor.write([transitions.started(claim, began)])
    Worker.objects.filter(pk=worker.pk).update(stopped_at=vendor.now())

    def rescue() -> set[UUID]:
        won: set[UUID] = set()
        while len(finished := TrackedTask.objects.finished().values_list("pk", flat=True)) + len(
            won
        ) < len(claims):
            won |= transitions.rescue(vendor, 5.0, limit=3).applied
            assert not won & set(finished)
        return won

    finished, rescued = together(partial(finish_each, vendor, claims, succeeded("1")), rescue)
    assert not finished & rescued
    assert finished | rescued == {claim.task_id for claim in claims}
    assert set(TrackedTask.objects.finished().values_list("pk", flat=True)) == finished
    assert set(TrackedTask.objects.waiting().values_list("pk", flat=True)) == rescued
    check_histories()


def test_revoke_against_finish_leaves_one_final_state(vendor: Vendor) -> None:
    put(200)
    worker = make_worker()
    claims = vendor.claim(worker.pk, [], [NAME], 200)

    def kill() -> set[UUID]:
        asked: set[UUID] = set()
        for claim in reversed(claims):
            answer = transitions.revoke([claim.task_id], signal="SIGKILL")[claim.task_id]
            assert answer in {Answer.TERMINATING, Answer.REFUSED}
            asked |= {claim.task_id} if answer is Answer.TERMINATING else set()
        return asked

    finished, killed = together(partial(finish_each, vendor, claims, succeeded("1")), kill)
    assert not finished & killed
    assert finished | killed == {claim.task_id for claim in claims}
    check_histories()


def test_two_rescuers_give_each_task_back_once(vendor: Vendor) -> None:
    put(200)
    worker = make_worker()
    vendor.claim(worker.pk, [], [NAME], 200)
    Worker.objects.filter(pk=worker.pk).update(stopped_at=vendor.now())

    def rescue() -> int:
        given_back = 0
        while TrackedTask.objects.filter(stage=states.Stage.CLAIMED).exists():
            given_back += len(transitions.rescue(vendor, 5.0, limit=20).applied)
        return given_back

    assert sum(together(rescue, rescue)) == 200
    assert set(TrackedTask.objects.values_list("losses", flat=True)) == {1}
    check_histories()


def test_goal_that_two_pursue_at_once_is_one() -> None:
    for number in range(20):

        def pursue(key: int = number) -> int:
            with transaction.atomic():
                return goals.pursue("raced", key=key, task=echo).row.pk

        first, second = together(pursue, pursue)
        assert first == second
    assert Goal.objects.count() == TrackedTask.objects.count() == GoalAttempt.objects.count() == 20


def test_goal_that_two_take_up_again_gets_one_task() -> None:
    for number in range(20):
        goals.pursue("raced", key=number, task=echo).abandon()

        def reopen(key: int = number) -> int:
            with transaction.atomic():
                return goals.pursue("raced", key=key, task=echo, reopen=True).row.attempts

        assert together(reopen, reopen) == [2, 2]
    assert TrackedTask.objects.count() == GoalAttempt.objects.count() == 40
    assert fold_holds()


def test_two_reconcilers_start_one_task_a_goal() -> None:
    for number in range(30):
        goals.pursue("raced", key=number, task=echo)
    transitions.revoke(list(TrackedTask.objects.values_list("pk", flat=True)))
    now = the_vendor().now()
    assert Goal.objects.filter(state=Goal.State.OPEN).update(next_attempt_at=now) == 30
    started = together(*[lambda: pursuit.reconcile(the_vendor(), limit=7)] * 4)
    while more := pursuit.reconcile(the_vendor()):
        started.append(more)
    assert sum(started) == 30
    assert TrackedTask.objects.due().count() == 30
    assert set(Goal.objects.values_list("attempts", flat=True)) == {2}


def test_goals_stay_the_fold_of_their_attempts_whoever_comes_at_once() -> None:
    """Ends of tasks, revokes, reruns, people and the reconciler: no deadlock, and I9 holds."""
    pursued = [goals.pursue("raced", key=number, task=echo) for number in range(30)]
    claims = the_vendor().claim(make_worker().pk, [], [echo.name], 20)
    ids = list(TrackedTask.objects.values_list("pk", flat=True))
    bodies: list[Callable[[], object]] = [
        partial(finish_each, the_vendor(), claims, failed(ValueError("no"))),
        partial(revoke_backwards, ids),
        partial(rerun_each, ids),
        partial(change_minds, pursued),
        reconcile_often,
    ]
    together(*bodies)
    assert fold_holds()
    told = histories()
    for attempt in GoalAttempt.objects.all():
        assert told[attempt.task_id][-1] == attempt.state


def revoke_backwards(ids: Sequence[UUID]) -> None:
    for start in range(0, len(ids), 5):
        transitions.revoke(reversed(ids[start : start + 10]))


def rerun_each(ids: Sequence[UUID]) -> None:
    for task_id in reversed(ids):
        transitions.rerun([task_id])


def change_minds(pursued: Sequence[PursuedGoal]) -> None:
    for goal in pursued[::3]:
        goal.abandon("enough")
        goals.pursue("raced", key=goal.key, task=echo, reopen=True)
    for goal in pursued[1::3]:
        goal.achieve()


def reconcile_often() -> None:
    for _ in range(10):
        waiting = Goal.objects.filter(state=Goal.State.OPEN)
        for goal_id in list(waiting.values_list("pk", flat=True)):  # one by one: no order of locks
            one = waiting.filter(pk=goal_id)
            # MariaDB locks what lies between rows too, and breaks one of two off.
            transitions.whole(the_vendor(), partial(one.update, next_attempt_at=the_vendor().now()))
        pursuit.reconcile(the_vendor(), limit=5)
        pursuit.adopt_orphans(the_vendor())


# Retention


def aged(ids: Sequence[UUID], days: float) -> None:
    at = the_vendor().now() - timedelta(days=days)
    TrackedTask.objects.filter(pk__in=ids).update(finished_at=at)


def test_of_two_workers_that_sweep_one_does_each_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_definitions", {})  # no rule but the settings'
    worker = make_worker()
    ids = [make_task(State.SUCCESS, worker=worker, result=n).pk for n in range(30)]
    aged(ids, 8)
    sweepings = [Sweeping(the_vendor(), 1.0) for _ in range(2)]
    follow, began = purge.follow, threading.Barrier(2)

    def slow(*args: Any, **options: Any) -> purge.Looked:
        with suppress(threading.BrokenBarrierError):
            began.wait(
                1
            )  # the other one is let come, and comes only where both follow the rule at once
            met.append(True)
        return follow(*args, **options)

    met: list[bool] = []
    monkeypatch.setattr(purge, "follow", slow)
    together(*(one.sweep for one in sweepings))
    assert met == []
    assert TrackedTask.objects.filter(result_expired_at__isnull=False).count() == 30
    assert sum(one._values for one in sweepings) == 30


def test_sweeping_waits_for_nobody_who_holds_a_row() -> None:
    worker = make_worker()
    kept, gone = (make_task(State.SUCCESS, worker=worker) for _ in range(2))
    aged([kept.pk, gone.pk], 20)
    with transaction.atomic():
        TrackedTask.objects.select_for_update().get(pk=kept.pk)
        together(Sweeping(the_vendor(), 1.0).sweep)
    assert list(TrackedTask.objects.all()) == [kept]


def test_values_that_are_handed_on_while_retention_comes_by() -> None:
    for _ in range(15):
        result = chord([echo.s(1), echo.s(2)], echo.s()).delay()
        first, second = claim_all(make_worker().pk)
        finish(first, run(first))
        TrackedTask.objects.filter(pk=first.task_id).update(group_id=None)  # links alone protect it
        aged([first.task_id], 8)
        outcome = run(second)

        def end(claim: Claim = second, outcome: Outcome = outcome) -> None:
            while finish(claim, outcome).busy:
                time.sleep(0.001)

        def purge_often() -> None:
            for _ in range(3):
                purge.purge()

        together(end, purge_often)
        assert row(result.id).args == [[1, 2]]
        purge.purge()
        assert row(first.task_id).result is None
        work()
        assert result.get(timeout=0) == [1, 2]
