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
from django_tasktrack.models import TrackedTask, Worker
from django_tasktrack.outcomes import Claim, Outcome, failed, retry_later, succeeded
from django_tasktrack.purge import purge
from django_tasktrack.states import FINAL, State
from django_tasktrack.transitions import Answer
from tests import invariants, ledger
from tests.app import tasks
from tests.exam import zombies
from tests.exam.report import Figures
from tests.factories import NAME, make_worker, new_task
from tests.inline import VENDORS, begin, finish, row, story, the_vendor
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


def claim_of_its_own(number: int, owner: Worker) -> Claim:
    """Of a task that nobody takes for one of another round."""
    new = new_task(queue=f"race-{number}")
    transitions.enqueue([new])
    (claim,) = transitions.claim(the_vendor(), owner.pk, [new.queue], [NAME], 1)
    return claim


def orphan(number: int) -> Claim:
    """The claim of a worker that has just stopped: there is no other for rescue to find."""
    claim = claim_of_its_own(number, make_worker(stopped_at=the_vendor().now()))
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
    # Nobody else writes here: what was rescued stays as the rescue has left it, if its owner's end is refused.
    zombies_ends = TrackedTask.objects.many(rescued).exclude(state=State.RETRY)
    figures |= {
        "races": races,
        "winners": _score(finish=finished, rescue=rescued),
        zombies.ACCEPTED: zombies_ends.count(),
        "seed": SEED,
    }
    assert figures[zombies.ACCEPTED] == 0
    assert not finished & rescued
    assert finished | rescued == {claim.task_id for claim in claims}
    assert set(TrackedTask.objects.finished().values_list("pk", flat=True)) == finished
    assert set(TrackedTask.objects.waiting().values_list("pk", flat=True)) == rescued
    assert min(len(finished), len(rescued)) > races / 20, "who always wins did not race"
    invariants.check([str(claim.task_id) for claim in claims])


def _score(**winners: set[UUID]) -> str:
    return ", ".join(f"{name} {len(ids)}" for name, ids in winners.items())


class Lead:
    """How long to wait before a task is revoked, so that a worker starts it at that moment.

    What a worker takes is the machine's affair, and changes: who has just won begins a tenth later the next
    time. A little chance is in it as well.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._seconds = 0.005

    def wait(self) -> None:
        time.sleep(self._seconds * self._chance.uniform(0.8, 1.2))

    def learn(self, *, started: bool) -> None:
        self._seconds = max(0.0005, self._seconds * (1 / 1.1 if started else 1.1))


def meeting(answer: Answer, *, ran: bool) -> str:
    """Where on its way a task was when it was revoked."""
    if answer is Answer.REQUESTED:
        return "running" if ran else "claimed, not begun"
    return {Answer.REVOKED: "waiting", Answer.REFUSED: "over"}[answer]


@pytest.mark.case(34)
@many(80, 5000)
def test_revoke_against_start(races: int, book: Path, figures: Figures) -> None:
    """One race at a time, each as close as it can be made: a task is revoked at the moment at which a free
    child takes it, or, every other time, at which a child is through with the one before it."""
    chance = random.Random(SEED)
    free, behind = Lead(chance), Lead(chance)
    met: Counter[str] = Counter()
    ids: list[str] = []
    with worker("-c", "1", tasktrack={"POLL_MIN": 0.01, "POLL_MAX": 0.01}):
        for number in range(races):
            # A free worker that is told of new tasks is quicker than any revoke: its task comes a moment
            # later.
            lead, calls, countdown = (behind, 2, 0.0) if number % 2 else (free, 1, 0.01)
            batch = enqueue_many(tasks.noted, [((number, 0.003), {})] * calls, countdown=countdown)
            lead.wait()
            answer = batch[-1].revoke(actor="user:boss")
            wait_until(lambda: all(task.ready() for task in batch), interval=0.002)  # noqa: B023
            ran = batch[-1].state == "SUCCESS"
            lead.learn(started=ran)
            met[meeting(answer, ran=ran)] += 1
            ids += [task.id for task in batch]
    states = TrackedTask.objects.values_list("state", "pk")
    revoked = {str(pk) for state, pk in states if state == State.REVOKED}
    started = {entry.task_id for entry in ledger.read(book)}
    figures |= {
        "races": races,
        "what was revoked was": ", ".join(f"{where} {met[where]}" for where in sorted(met)),
        "started though revoked": len(revoked & started),
        "seed": SEED,
    }
    assert figures["started though revoked"] == 0
    assert started | revoked == set(ids)
    assert min(len(revoked), races - len(revoked)) > races / 10, "who always wins did not race"
    if races >= 1000:  # a busy machine may miss it in a few
        assert met["claimed, not begun"] > races / 100, "none was close"
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
def test_after_a_rerun_no_late_write_of_the_same_attempt_number_is_taken(
    begun: bool, figures: Figures
) -> None:
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
    before = zombies.rows()
    answers = {name: write() for name, write in late_writes(stale).items()}
    returned = transitions.unclaim(the_vendor(), [stale])
    the_vendor().write_progress([ProgressWrite(task_id, stale.lease, 9, 9, "late", None)])
    figures[zombies.ACCEPTED] = zombies.accepted_since(before)
    assert figures[zombies.ACCEPTED] == returned == 0
    assert answers == dict.fromkeys(answers, Written(stale=frozenset({task_id})))
    assert end(claim, succeeded("2"))
    assert row(task_id).result == 2


@pytest.mark.case(9)
@pytest.mark.parametrize(
    "name", ["start", "label", "release", "loss", "finish", "failure", "retry"]
)
def test_between_rescue_and_the_next_claim_no_late_write_is_taken(
    name: str, figures: Figures
) -> None:
    """The row still shows the lease of the lost attempt; that nobody owns it is the fence."""
    (task_id,) = put(1)
    (stale,) = transitions.claim(the_vendor(), make_worker().pk, [], [NAME], 1)
    Worker.objects.update(stopped_at=the_vendor().now())
    assert transitions.rescue(the_vendor(), LEASE).applied
    before = zombies.rows()
    answer, returned = late_writes(stale)[name](), transitions.unclaim(the_vendor(), [stale])
    figures[zombies.ACCEPTED] = zombies.accepted_since(before)
    assert figures[zombies.ACCEPTED] == returned == 0
    assert answer == Written(stale=frozenset({task_id}))
    assert story(task_id) == ["PENDING", "STARTED", "RETRY"]


@pytest.mark.case(9)
@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="it has one writer at a time")
@pytest.mark.parametrize("kind", VENDORS)
def test_a_report_that_waits_for_a_later_attempt_s_is_left_out(kind: str, figures: Figures) -> None:
    """The lease was its own when it was said. When its turn comes, the next attempt has reported."""
    (task_id,) = put(1)
    (stale,) = transitions.claim(the_vendor(), make_worker().pk, [], [NAME], 1)
    late, mine = (
        ProgressWrite(task_id, stale.lease + later, 9 - later, 9, None, None) for later in (0, 1)
    )

    def report_late() -> None:
        the_vendor(kind).write_progress([late])
        connection.close()

    with ThreadPoolExecutor(1) as thread, transaction.atomic():
        TrackedTask.objects.filter(pk=task_id).update(lease=mine.lease)  # claimed again, in short
        the_vendor().write_progress([mine])
        waiting = thread.submit(report_late)
        time.sleep(0.5)
        assert not waiting.done(), "it met nobody"
        before = zombies.rows()
    waiting.result(30)
    figures[zombies.ACCEPTED] = zombies.accepted_since(before)
    assert figures[zombies.ACCEPTED] == 0


@pytest.mark.case(52)
@many(60, 500)
def test_purge_against_rerun(races: int, figures: Figures) -> None:
    """What runs again is there, with all of its history; what was deleted was not promised to run."""
    ids: list[UUID] = []

    def prepare(number: int) -> None:
        claim = claim_of_its_own(number, make_worker())
        assert end(claim, failed(ValueError("no")))
        ids.append(claim.task_id)

    answers, _ = Duel(SEED).fight(
        races,
        lambda number: transitions.rerun([ids[number]], actor="user:boss")[ids[number]],
        lambda _: purge(older_than=0),
        first_won=lambda answer: answer is Answer.QUEUED,
        prepare=prepare,
    )
    again = {pk for pk, answer in zip(ids, answers, strict=True) if answer is Answer.QUEUED}
    figures["purge against rerun"] = _score(rerun=again, purge=set(ids) - again)
    assert set(answers) <= {Answer.QUEUED, Answer.UNKNOWN}
    assert set(TrackedTask.objects.values_list("pk", flat=True)) == again
    assert {tuple(story(pk)) for pk in again} == {("PENDING", "STARTED", "FAILURE", "PENDING")}
    assert min(len(again), races - len(again)) > races / 20, "who always wins did not race"
    invariants.check([str(pk) for pk in ids], purged=races - len(again))


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
