"""Two who want the same row, many times over: one wins, and no late write changes anything."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest
from django.db import OperationalError, connection, connections, transaction

from django_tasktrack import enqueue_many, transitions
from django_tasktrack.changes import Change, ProgressWrite, Written
from django_tasktrack.models import Progress, TrackedTask, Worker
from django_tasktrack.outcomes import Claim, Outcome, failed, retry_later, succeeded
from django_tasktrack.states import FINAL, Stage, State
from django_tasktrack.transitions import Answer
from tests import invariants, ledger
from tests.app import tasks
from tests.exam import load
from tests.exam.report import Figures
from tests.factories import NAME, make_worker, new_task
from tests.inline import begin, finish, row, story, the_vendor
from tests.workers import wait_until, worker

SEED = 11
LEASE = 5.0
_T = TypeVar("_T")
_S = TypeVar("_S")


def put(count: int) -> list[UUID]:
    new = [new_task() for _ in range(count)]
    transitions.enqueue(new)
    return [task.task_id for task in new]


def claim_each(count: int) -> list[Claim]:
    """So many tasks, claimed by one worker, every other one with its beginning written."""
    put(count)
    claims = transitions.claim(the_vendor(), make_worker().pk, [], [NAME], count)
    for claim in claims[::2]:
        begin(claim, ago=0.0)
    return claims


def orphan(number: int) -> Claim:
    """The claim of a worker that has just stopped: there is no other for rescue to find."""
    new, owner = new_task(queue=f"race-{number}"), make_worker(stopped_at=the_vendor().now())
    transitions.enqueue([new])
    (claim,) = transitions.claim(the_vendor(), owner.pk, [new.queue], [NAME], 1)
    if number % 2:
        begin(claim, ago=0.0)
    return claim


def end(claim: Claim, outcome: Outcome) -> bool:
    """Write the end, as often as the row is busy; whether the fence held."""
    while (written := finish(claim, outcome, began_ago=0.0)).busy:
        time.sleep(0)
    return bool(written.applied)


class Duel:
    """Two threads with a connection each, that come to the same row at the same moment.

    One of them may have a longer way to it: who has just won begins a little later the next time.

    Args:
        seed: of the small delays that let now the one, now the other be first.
    """

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._barrier = threading.Barrier(2)
        self._lead = 0.0  # of the first, in seconds

    def fight(
        self,
        rounds: int,
        first: Callable[[int], _T],
        second: Callable[[int], _S],
        first_won: Callable[[_T], bool] = bool,
        prepare: Callable[[int], object] = lambda _: None,
    ) -> tuple[list[_T], list[_S]]:
        """What each answered, round by round.

        Args:
            rounds: how many.
            first, second: what they do in a round.
            first_won: what the first one's answer says of it.
            prepare: what is done before a round begins.
        """
        leads = [self._chance.uniform(-0.003, 0.003) for _ in range(rounds)]
        with ThreadPoolExecutor(2) as threads:
            learning = self._learning(first, first_won)
            one = threads.submit(self._side, learning, -1, leads, prepare)
            other = threads.submit(self._side, second, 1, leads, lambda _: None)
            return one.result(900), other.result(900)

    def _learning(
        self, act: Callable[[int], _T], has_won: Callable[[_T], bool]
    ) -> Callable[[int], _T]:
        def learning(number: int) -> _T:
            answer = act(number)
            self._lead += -0.001 if has_won(answer) else 0.001
            return answer

        return learning

    def _side(
        self,
        act: Callable[[int], _T],
        sign: int,
        leads: Sequence[float],
        prepare: Callable[[int], object],
    ) -> list[_T]:
        answers = []
        try:
            connection.ensure_connection()
            for number, lead in enumerate(leads):
                prepare(number)
                self._barrier.wait(30)
                time.sleep(max(0.0, sign * (self._lead + lead)))
                answers.append(act(number))
                self._barrier.wait(30)  # who is late must not meet what the next round prepares
        except BaseException:
            self._barrier.abort()
            raise
        finally:
            connections.close_all()
        return answers


def many(few: int, all_of_them: int) -> pytest.MarkDecorator:
    """A few races in every run of the suite, all of them in the exam."""
    return pytest.mark.parametrize(
        "races", [few, pytest.param(all_of_them, marks=pytest.mark.long)]
    )


@pytest.mark.case(11)
@many(100, 1000)
def test_rescue_against_finish(races: int, figures: Figures) -> None:
    claims: list[Claim] = []

    def rescue(_: int) -> frozenset[UUID]:
        return transitions.rescue(the_vendor(), LEASE, limit=1).applied

    ended, rescues = Duel(SEED).fight(
        races,
        lambda number: end(claims[number], succeeded("1")),
        rescue,
        prepare=lambda number: claims.append(orphan(number)),
    )
    finished = {claim.task_id for claim, won in zip(claims, ended, strict=True) if won}
    rescued = set().union(*rescues)
    figures |= {"races": races, "winners": _score(finish=finished, rescue=rescued), "seed": SEED}
    assert not finished & rescued
    assert finished | rescued == {claim.task_id for claim in claims}
    assert set(TrackedTask.objects.finished().values_list("pk", flat=True)) == finished
    assert set(TrackedTask.objects.waiting().values_list("pk", flat=True)) == rescued
    assert min(len(finished), len(rescued)) > races / 20, "who always wins did not race"
    invariants.check([str(claim.task_id) for claim in claims])


def _score(**winners: set[UUID]) -> str:
    return ", ".join(f"{name} {len(ids)}" for name, ids in winners.items())


@pytest.mark.case(34)
@many(300, 5000)
def test_revoke_against_start(races: int, book: Path, figures: Figures) -> None:
    """Real workers start from the front what is revoked from the back: they meet in the middle."""
    chance = random.Random(SEED)
    answers: Counter[Answer] = Counter()
    ids: list[str] = []
    lead = 0.005  # on average, of the worker
    with worker("-c", "2"):
        while len(ids) < races:
            before = load.began(book)
            batch = enqueue_many(tasks.noted, [((n, 0.004), {}) for n in range(20)])
            ids += [task.id for task in batch]
            time.sleep(chance.uniform(0, 2 * lead))
            answers.update(task.revoke(actor="user:boss") for task in reversed(batch))
            # Whoever was mostly first begins later the next time.
            lead *= 1 / 1.5 if load.began(book) - before > len(batch) / 2 else 1.5
        wait_until(load.is_done, timeout=60)
    ran = {entry.task_id for entry in ledger.read(book)}
    figures |= {
        "races": len(ids),
        "revoked before start": len(ids) - len(ran),
        "started": len(ran),
        "seed": SEED,
    }
    assert set(TrackedTask.objects.values_list("state", flat=True)) <= {"REVOKED", "SUCCESS"}
    for task in TrackedTask.objects.filter(state="REVOKED"):
        assert str(task.pk) not in ran or "STARTED" in story(task.pk)
    assert answers[Answer.REVOKED] <= len(ids) - len(ran)
    assert min(len(ran), len(ids) - len(ran)) > len(ids) / 20, "who always wins did not race"
    invariants.check(ids, book)


#: What revoke answers where it was before the rival.
CAME_FIRST = (Answer.REQUESTED, Answer.TERMINATING)

RIVALS: dict[str, Callable[[Claim], bool]] = {
    "finish": lambda claim: end(claim, succeeded("1")),
    "failure": lambda claim: end(claim, failed(ValueError("no"))),
    "retry": lambda claim: end(claim, retry_later(ValueError("no"), 0.0)),
    # More than one: what somebody held in an earlier round is still there.
    "rescue": lambda _: bool(transitions.rescue(the_vendor(), LEASE, limit=10).applied),
}


@pytest.mark.case(35)
@many(40, 500)
@pytest.mark.parametrize("signal", [None, "SIGKILL"])
@pytest.mark.parametrize("rival", RIVALS)
def test_revoke_against_an_end(
    rival: str, signal: str | None, races: int, figures: Figures
) -> None:
    claims = [] if rival == "rescue" else claim_each(races)

    def prepare(number: int) -> None:
        if rival == "rescue":
            claims.append(orphan(number))

    def revoke(number: int) -> Answer:
        task_id = claims[number].task_id
        return transitions.revoke([task_id], signal=signal)[task_id]

    answers, _ = Duel(SEED).fight(
        races,
        revoke,
        lambda number: RIVALS[rival](claims[number]),
        first_won=lambda answer: answer in CAME_FIRST,
        prepare=prepare,
    )
    first = sum(answer in CAME_FIRST for answer in answers)
    assert min(first, races - first) > races / 20, "who always wins did not race"
    _answer_wishes(claims)
    again = transitions.claim(the_vendor(), make_worker().pk, [], [NAME], races)
    wanted = {c.task_id for c, a in zip(claims, answers, strict=True) if a is not Answer.REFUSED}
    assert not wanted & {claim.task_id for claim in again}, "revoked, and would run again"
    assert set(TrackedTask.objects.many(wanted).values_list("state", flat=True)) <= FINAL
    if signal and rival != "rescue":  # the lease was taken away with the answer
        killed = {
            c.task_id
            for c, a in zip(claims, answers, strict=True)
            if a in (Answer.TERMINATING, Answer.REVOKED)
        }
        ends = set(TrackedTask.objects.many(killed).values_list("state", flat=True))
        assert ends <= {State.REVOKED}
    figures[f"{rival}{' (kill)' if signal else ''}"] = ", ".join(
        f"{answer} {count}" for answer, count in sorted(Counter(answers).items())
    )
    Worker.objects.update(stopped_at=the_vendor().now())
    transitions.rescue(the_vendor(), LEASE, limit=races)
    invariants.check([str(claim.task_id) for claim in claims])


def _answer_wishes(claims: Sequence[Claim]) -> None:
    """As the worker does, or whoever rescues its tasks."""
    for worker_id in {claim.worker_id for claim in claims}:
        for request in transitions.revoke_requests(the_vendor(), worker_id):
            change = transitions.stopped(request, worker_id, time.monotonic())
            transitions.settle(the_vendor(), [change])


def late_writes(claim: Claim) -> dict[str, Callable[[], Written]]:
    """All that an attempt can still write of its task."""
    now = time.monotonic()
    ends: dict[str, Outcome] = {
        "finish": succeeded("1"),
        "failure": failed(ValueError("late")),
        "retry": retry_later(ValueError("late"), 0.0),
    }
    changes: dict[str, Change] = {
        "start": transitions.started(claim, now),
        "label": transitions.relabelled(claim, "LATE", now, now),
        "release": transitions.released(claim, now, "late"),
        "loss": transitions.lost(claim, now, "late"),
        **{name: Change.of_outcome(claim, outcome, now, now) for name, outcome in ends.items()},
    }
    return {
        name: partial(transitions.settle, the_vendor(), [change])
        for name, change in changes.items()
    }


@pytest.mark.case(9)
@pytest.mark.parametrize("begun", [False, True], ids=["claimed", "begun"])
def test_after_a_rerun_no_late_write_of_the_same_attempt_number_is_taken(begun: bool) -> None:
    """Claimed, lost for good, run again by an operator, claimed again: attempt 1 both times."""
    (task_id,) = put(1)
    (stale,) = transitions.claim(the_vendor(), make_worker().pk, [], [NAME], 1)
    begin(stale, ago=0.0)
    assert end(stale, failed(ValueError("no")))
    assert transitions.rerun([task_id], actor="user:boss")[task_id] is Answer.QUEUED
    (claim,) = transitions.claim(the_vendor(), stale.worker_id, [], [NAME], 1)
    assert (claim.attempt, claim.worker_id) == (stale.attempt, stale.worker_id)
    if begun:
        begin(claim, ago=0.0)
    before = (story(task_id), row(task_id).lease, row(task_id).stage)
    for name, write in late_writes(stale).items():
        assert write() == Written(stale=frozenset({task_id})), name
    assert transitions.unclaim(the_vendor(), [stale]) == 0
    the_vendor().write_progress([ProgressWrite(task_id, stale.lease, 9, 9, "late", None)])
    assert not Progress.objects.exists()
    assert before == (story(task_id), row(task_id).lease, Stage.CLAIMED)
    assert end(claim, succeeded("2"))
    assert row(task_id).result == 2


@pytest.mark.case(9)
@pytest.mark.parametrize(
    "name", ["start", "label", "release", "loss", "finish", "failure", "retry"]
)
def test_between_rescue_and_the_next_claim_no_late_write_is_taken(name: str) -> None:
    """The row still shows the lease of the lost attempt; that nobody owns it is the fence."""
    (task_id,) = put(1)
    (stale,) = transitions.claim(the_vendor(), make_worker().pk, [], [NAME], 1)
    Worker.objects.update(stopped_at=the_vendor().now())
    assert transitions.rescue(the_vendor(), LEASE).applied
    assert late_writes(stale)[name]() == Written(stale=frozenset({task_id}))
    assert transitions.unclaim(the_vendor(), [stale]) == 0
    assert story(task_id) == ["PENDING", "STARTED", "RETRY"]


def breaking_off(times: int) -> Callable[..., Any]:
    """The database ends so many transactions at their first write, as a deadlock's victim."""
    left = [times]

    def wrapper(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if left[0] and sql.startswith(("UPDATE", "INSERT", "\nWITH asked")):
            left[0] -= 1
            raise OperationalError(1213, "Deadlock found when trying to get lock")
        return execute(sql, *rest)

    return wrapper


@pytest.mark.case(24)
@pytest.mark.parametrize("verb", [transitions.revoke, transitions.rerun])
def test_a_deadlock_is_nobody_s_error(verb: Callable[..., dict[UUID, Answer]]) -> None:
    (task_id,) = put(1)
    if verb is transitions.rerun:
        transitions.revoke([task_id])
    with connection.execute_wrapper(breaking_off(2)):
        assert verb([task_id], actor="user:boss")[task_id] in {Answer.REVOKED, Answer.QUEUED}
    invariants.check([str(task_id)])


@pytest.mark.case(24)
def test_a_deadlock_in_the_caller_s_transaction_is_the_caller_s() -> None:
    """Its own writes are gone with it: nobody else can try it again."""
    (task_id,) = put(1)
    with (
        pytest.raises(OperationalError, match="Deadlock"),
        connection.execute_wrapper(breaking_off(1)),
        transaction.atomic(),
    ):
        transitions.revoke([task_id])
    assert story(task_id) == ["PENDING"]
