"""M2: two connections in many orders of their statements; the invariants hold after each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from uuid import UUID

import pytest
from django.db import transaction

from django_tasktrack import purge, transitions
from django_tasktrack.changes import Change, ProgressWrite
from django_tasktrack.models import (
    Progress,
    PurgeHorizon,
    Schedule,
    ScheduleSlot,
    StateChange,
    TrackedTask,
    Worker,
)
from django_tasktrack.outcomes import Claim, Outcome, failed, retry_later, succeeded
from django_tasktrack.schedules import firing, planning
from django_tasktrack.states import FINAL, State
from django_tasktrack.transitions import Answer
from django_tasktrack.transitions.door import whole
from django_tasktrack.vendors import Vendor
from tests import invariants
from tests.exam import interleaver
from tests.exam.interleaver import Body, Orders
from tests.exam.report import Figures
from tests.factories import NAME, make_schedule, make_worker, new_task
from tests.inline import VENDORS, row, the_vendor

COUNT = 2
#: The unique key that some of them want.
KEY = "invoice:42"


@pytest.fixture(params=VENDORS)
def vendor(request: pytest.FixtureRequest) -> Vendor:
    return the_vendor(request.param)


def put() -> list[UUID]:
    new = [new_task() for _ in range(COUNT)]
    transitions.enqueue(new)
    return [task.task_id for task in new]


def claimed(vendor: Vendor) -> list[Claim]:
    """One with its beginning written, one without."""
    put()
    claims = vendor.claim(make_worker().pk, [], [NAME], COUNT)
    vendor.write([transitions.started(claims[0], time.monotonic())])
    return claims


def orphaned(vendor: Vendor) -> list[Claim]:
    claims = claimed(vendor)
    Worker.objects.update(stopped_at=vendor.now())
    return claims


def ended(vendor: Vendor, outcome: Outcome) -> list[Claim]:
    claims = claimed(vendor)
    now = time.monotonic()
    vendor.write([Change.of_outcome(claim, outcome, now, now) for claim in claims])
    return claims


class Ending:
    """A worker that writes ends: once, and what somebody held then, after the other has gone."""

    def __init__(self, vendor: Vendor, claims: Sequence[Claim], outcome: Outcome) -> None:
        now = time.monotonic()
        self._vendor = vendor
        self._left = [Change.of_outcome(claim, outcome, now, now) for claim in claims]
        self._won: set[UUID] = set()

    def write(self) -> None:
        written = self._vendor.write(self._left)
        self._won |= written.applied
        self._left = [change for change in self._left if change.task_id in written.busy]

    def won(self) -> set[UUID]:
        """Whose fence held in the end."""
        while self._left:
            self.write()
        return self._won


def ids_of(claims: Sequence[Claim]) -> list[UUID]:
    return [claim.task_id for claim in claims]


Check = Callable[[list[object]], None]
Pair = Callable[[Vendor], tuple[list[Body], Check]]


def claim_and_claim(vendor: Vendor) -> tuple[list[Body], Check]:
    put()
    workers = [make_worker().pk for _ in range(2)]
    bodies: list[Body] = [
        lambda w=worker: vendor.claim(w, [], [NAME], COUNT)  # type: ignore[misc]
        for worker in workers
    ]

    def check(answers: list[object]) -> None:
        first, second = (set(ids_of(claims)) for claims in answers)  # type: ignore[arg-type]
        assert not first & second

    return bodies, check


def revoke_and_claim(vendor: Vendor) -> tuple[list[Body], Check]:
    ids = put()
    worker = make_worker().pk
    bodies: list[Body] = [
        lambda: transitions.revoke(ids),
        lambda: vendor.claim(worker, [], [NAME], COUNT),
    ]

    def check(answers: list[object]) -> None:
        answer, claims = answers
        claimed_ids = set(ids_of(claims))  # type: ignore[arg-type]
        for task_id in ids:
            asked = answer[task_id] is Answer.REQUESTED  # type: ignore[index]
            assert asked is (task_id in claimed_ids)
            assert row(task_id).state == (State.PENDING if asked else State.REVOKED)

    return bodies, check


def _and_rescue(vendor: Vendor, outcome: Outcome) -> tuple[list[Body], Check]:
    claims = orphaned(vendor)
    ending = Ending(vendor, claims, outcome)
    bodies: list[Body] = [
        ending.write,
        lambda: transitions.rescue(vendor, 3600.0).applied,
    ]

    def check(answers: list[object]) -> None:
        won, rescued = ending.won(), answers[1]
        assert not won & rescued  # type: ignore[operator]
        rescued |= transitions.rescue(vendor, 3600.0).applied  # type: ignore[operator]
        assert won | rescued == set(ids_of(claims))
        for task_id in ids_of(claims):
            assert row(task_id).losses == int(task_id in rescued)

    return bodies, check


def finish_and_rescue(vendor: Vendor) -> tuple[list[Body], Check]:
    return _and_rescue(vendor, succeeded("1"))


def retry_and_rescue(vendor: Vendor) -> tuple[list[Body], Check]:
    return _and_rescue(vendor, retry_later(ValueError("no"), 0.0))


def purge_and_finish(vendor: Vendor) -> tuple[list[Body], Check]:
    old, running = ended(vendor, succeeded("1")), claimed(vendor)
    ending = Ending(vendor, running, succeeded("1"))
    bodies: list[Body] = [lambda: purge.purge(older_than=0), ending.write]

    def check(answers: list[object]) -> None:
        assert ending.won() == set(ids_of(running))
        assert not TrackedTask.objects.many(ids_of(old)).exists()
        left = TrackedTask.objects.many(ids_of(running))
        assert set(left.values_list("state", flat=True)) <= {State.SUCCESS}

    return bodies, check


def rerun_and_rescue(vendor: Vendor) -> tuple[list[Body], Check]:
    """One has ended, and is run again; the other is lost at the same time."""
    lost, failed_ones = claimed(vendor), ended(vendor, failed(ValueError("no")))
    Worker.objects.update(stopped_at=vendor.now())
    ids = [*ids_of(lost), *ids_of(failed_ones)]
    bodies: list[Body] = [
        lambda: transitions.rerun(ids, actor="user:boss"),
        lambda: transitions.rescue(vendor, 3600.0).applied,
    ]

    def check(answers: list[object]) -> None:
        answer, _ = answers
        transitions.rescue(vendor, 3600.0)  # of what the rerun has held meanwhile
        for task_id in ids_of(failed_ones):
            assert answer[task_id] is Answer.QUEUED  # type: ignore[index]
            assert (row(task_id).attempt, row(task_id).losses) == (0, 0)
        for task_id in ids_of(lost):
            assert answer[task_id] is Answer.REFUSED  # type: ignore[index]
            assert row(task_id).losses == 1

    return bodies, check


def revoke_and_finish(vendor: Vendor) -> tuple[list[Body], Check]:
    claims = claimed(vendor)
    ending = Ending(vendor, claims, succeeded("1"))
    bodies: list[Body] = [
        lambda: transitions.revoke(ids_of(claims), signal="SIGKILL"),
        ending.write,
    ]

    def check(answers: list[object]) -> None:
        answer, won = answers[0], ending.won()
        for task_id in ids_of(claims):
            terminated = answer[task_id] is Answer.TERMINATING  # type: ignore[index]
            assert terminated is (task_id not in won)
            assert (row(task_id).state in FINAL) is not terminated

    return bodies, check


def achieve_and_terminate(vendor: Vendor) -> tuple[list[Body], Check]:
    """A write of the task's own, under a lease that is checked first, against its taking away."""
    claims = claimed(vendor)[:1]
    (claim,) = claims

    def pay() -> bool:
        with transaction.atomic():
            mine = TrackedTask.objects.filter(pk=claim.task_id, lease=claim.lease)
            owned = vendor.locked(mine.only("pk")).first() is not None
            if owned:
                Worker.objects.filter(pk=claim.worker_id).update(version="paid")
            return owned

    bodies: list[Body] = [pay, lambda: transitions.revoke(ids_of(claims), signal="SIGKILL")]

    def check(answers: list[object]) -> None:
        paid = Worker.objects.filter(version="paid").exists()
        assert paid is answers[0]
        assert row(claim.task_id).lease == claim.lease + 1

    return bodies, check


def late_progress_and_next_attempt(vendor: Vendor) -> tuple[list[Body], Check]:
    """A lost worker reports while the task is rescued, claimed and reported of by another."""
    claims = orphaned(vendor)[:1]
    (claim,) = claims
    other = make_worker().pk

    def report(lease: int, current: float) -> None:
        vendor.write_progress([ProgressWrite(claim.task_id, lease, current, 100, None, None)])

    def go_on() -> bool:
        transitions.rescue(vendor, 3600.0)
        mine = {c.task_id: c for c in vendor.claim(other, [], [NAME], COUNT)}.get(claim.task_id)
        if mine:
            report(mine.lease, 1.0)
        return mine is not None

    def check(answers: list[object]) -> None:
        if answers[1]:
            told = Progress.objects.get(pk=claim.task_id)
            assert (told.lease, told.current) == (claim.lease + 1, 1.0), "a lost attempt's progress"

    return [lambda: report(claim.lease, 99.0), go_on], check


def enqueueing(vendor: Vendor) -> Body:
    """As a call with the key: its task's id, or that of the one which has it."""
    new = new_task(unique_key=KEY)

    def enqueue() -> UUID:
        holders = whole(vendor, lambda: vendor.insert_unique([new]))
        return holders.get(new.task_id, new.task_id)

    return enqueue


def holding(vendor: Vendor) -> Claim:
    """A running task that has the key."""
    transitions.enqueue([new_task(unique_key=KEY)])
    (claim,) = vendor.claim(make_worker().pk, [], [NAME], 1)
    vendor.write([transitions.started(claim, time.monotonic())])
    return claim


def active() -> list[UUID]:
    """Who has the key."""
    return list(TrackedTask.objects.filter(active_key=KEY).values_list("pk", flat=True))


def enqueue_and_enqueue(vendor: Vendor) -> tuple[list[Body], Check]:
    def check(answers: list[object]) -> None:
        assert answers == active() * 2

    return [enqueueing(vendor), enqueueing(vendor)], check


def enqueue_and_finish(vendor: Vendor) -> tuple[list[Body], Check]:
    claim = holding(vendor)
    ending = Ending(vendor, [claim], succeeded("1"))

    def check(answers: list[object]) -> None:
        assert ending.won() == {claim.task_id}
        assert row(claim.task_id).state == State.SUCCESS
        told = answers[0]
        assert active() == ([] if told == claim.task_id else [told])

    return [enqueueing(vendor), ending.write], check


def enqueue_and_rerun(vendor: Vendor) -> tuple[list[Body], Check]:
    claim = holding(vendor)
    Ending(vendor, [claim], failed(ValueError("no"))).write()
    rerun: Body = lambda: transitions.rerun([claim.task_id], actor="user:boss")  # noqa: E731

    def check(answers: list[object]) -> None:
        told, answer = answers
        again = answer[claim.task_id] is Answer.QUEUED  # type: ignore[index]
        assert again is (told == claim.task_id)
        assert active() == [told]

    return [enqueueing(vendor), rerun], check


def ticking(vendor: Vendor, row: Schedule) -> Body:
    return lambda: firing.fire_due(vendor, [row.task], now=row.next_at)


def tick_and_tick(vendor: Vendor) -> tuple[list[Body], Check]:
    row = make_schedule(next_at=vendor.now())

    def check(answers: list[object]) -> None:
        assert sum(map(len, answers)) == 1  # type: ignore[arg-type]
        assert TrackedTask.objects.count() == ScheduleSlot.objects.count() == 1

    return [ticking(vendor, row), ticking(vendor, row)], check


def tick_and_disable(vendor: Vendor) -> tuple[list[Body], Check]:
    row = make_schedule(next_at=vendor.now())

    def disable() -> None:
        changed = Schedule.objects.get(pk=row.pk)
        changed.enabled = False
        planning.change(vendor, changed, ["enabled"])

    def check(answers: list[object]) -> None:
        now = Schedule.objects.get()
        assert (now.enabled, now.next_at) == (False, None)
        assert (now.last_at is not None) == bool(answers[0])

    return [ticking(vendor, row), disable], check


PAIRS: list[Pair] = [
    claim_and_claim, revoke_and_claim, finish_and_rescue, retry_and_rescue, purge_and_finish,
    rerun_and_rescue, revoke_and_finish, achieve_and_terminate, late_progress_and_next_attempt,
    enqueue_and_enqueue, enqueue_and_finish, enqueue_and_rerun, tick_and_tick, tick_and_disable,
]  # fmt: skip


@pytest.mark.case("M2")
@pytest.mark.parametrize("kind", ["interrupted once", pytest.param("many", marks=pytest.mark.long)])
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.__name__)
def test_every_order_of_statements_is_legal(
    pair: Pair, kind: str, vendor: Vendor, figures: Figures
) -> None:
    """In a quick run those with one interruption at the most; in the exam all up to a thousand of them, those
    with fewer interruptions first, and a sample of the others."""
    orders = Orders(1) if kind == "interrupted once" else Orders(2, most=1000, sample=200)
    for choose in orders:
        bodies, check = pair(vendor)
        check(interleaver.run(bodies, choose))
        invariants.check(quiet=False)
        _clear(vendor)
    figures[f"orders of {pair.__name__}"] = orders.told()


def _clear(vendor: Vendor) -> None:
    """Delete what was tried, as purge does."""
    Worker.objects.update(stopped_at=vendor.now())
    for model in (StateChange, Progress, TrackedTask, PurgeHorizon, Worker, ScheduleSlot, Schedule):
        model._base_manager.all()._raw_delete("default")
