"""M1: random steps through the write door, against a model of it in plain Python."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from django_tasktrack import states, transitions
from django_tasktrack.changes import Change, ProgressWrite
from django_tasktrack.conf import config
from django_tasktrack.models import Progress, StateChange, TrackedTask, Worker
from django_tasktrack.outcomes import Claim, failed, retry_later, succeeded
from django_tasktrack.states import FINAL, WAITING, Stage, State
from django_tasktrack.transitions import Answer
from django_tasktrack.vendors import Vendor
from tests import invariants
from tests.exam.report import Figures
from tests.factories import NAME, make_worker, new_task
from tests.inline import VENDORS, the_vendor

WORKERS = 3
#: So few that tasks want the same one.
KEYS = ("a", "b")


@dataclass
class Modelled:
    """What a row must say. ``worker`` is a number of ours; ``reported`` is (lease, current)."""

    state: State = State.PENDING
    stage: Stage = Stage.DUE
    lease: int = 0
    attempt: int = 0
    losses: int = 0
    crashes: int = 0
    worker: int | None = None
    wish: bool = False
    labelled: bool = False
    key: str | None = None
    story: list[tuple[State, int]] = field(default_factory=lambda: [(State.PENDING, 0)])
    reported: tuple[int, float] | None = None

    def passes(self, claim: Claim, change: Change) -> bool:
        """Whether the fence lets this change of that claim through."""
        return (
            self.state in change.transition.stored_sources
            and (self.lease, self.worker) == (claim.lease, claim.worker_id)
            and not (self.wish and change.transition.yields)
            and not (self.labelled and change.label)
        )

    @property
    def active_key(self) -> str | None:
        return None if self.state in FINAL else self.key

    def begin(self) -> None:
        if self.state in WAITING:
            self.state = State.STARTED
            self.story.append((State.STARTED, self.lease))

    def become(self, state: State, stage: Stage) -> None:
        self.state, self.stage, self.labelled = state, stage, False
        self.story.append((state, self.lease))
        if stage in (Stage.DUE, Stage.SCHEDULED):
            self.worker = None

    def lose(self, counted: bool) -> None:
        """An attempt without an end."""
        crashes = self.crashes + int(counted)
        self.begin()
        self.losses, self.crashes = self.losses + 1, crashes
        if counted and crashes >= config().MAX_CRASHES:
            self.become(State.FAILURE, Stage.DONE)
        else:
            self.become(State.RETRY, Stage.DUE)

    def shown(self) -> tuple[Any, ...]:
        return (
            self.state, self.stage, self.lease, self.attempt, self.losses, self.crashes,
            self.worker, self.wish, len(self.story), self.active_key,
        )  # fmt: skip


Write = tuple[Callable[[Claim, float], Change], Callable[[Modelled], None]]


def _ended(outcome: Any) -> Callable[[Claim, float], Change]:
    return lambda claim, now: Change.of_outcome(claim, outcome, now, now)


def _becomes(state: State, stage: Stage) -> Callable[[Modelled], None]:
    def become(row: Modelled) -> None:
        row.begin()
        row.become(state, stage)

    return become


def _label(row: Modelled) -> None:
    row.begin()
    row.become(State.STARTED, Stage.CLAIMED)
    row.labelled = True


def _release(row: Modelled) -> None:
    row.begin()
    row.attempt -= 1
    row.become(State.PENDING, Stage.DUE)


#: What an attempt may write, and what it makes of the row where the fence holds.
WRITES: dict[str, Write] = {
    "start": (transitions.started, lambda row: row.become(State.STARTED, Stage.CLAIMED)),
    "label": (
        lambda claim, now: transitions.relabelled(claim, "HALFWAY", now, now),
        _label,
    ),
    "finish": (_ended(succeeded("1")), _becomes(State.SUCCESS, Stage.DONE)),
    "fail": (_ended(failed(ValueError("no"))), _becomes(State.FAILURE, Stage.DONE)),
    "retry": (_ended(retry_later(ValueError("no"), 0.0)), _becomes(State.RETRY, Stage.DUE)),
    "retry later": (
        _ended(retry_later(ValueError("no"), 3600.0)),
        _becomes(State.RETRY, Stage.SCHEDULED),
    ),
    "release": (lambda claim, now: transitions.released(claim, now, "stopped"), _release),
    "lose": (
        lambda claim, now: transitions.lost(claim, now, "signal SIGKILL"),
        lambda row: row.lose(counted=True),
    ),
}

#: Which of the tasks, claims or workers there are: reduced to how many there are when it is used.
some = st.integers(0, 10_000)


class WriteDoor(RuleBasedStateMachine):
    """One example: a transaction that is rolled back at its end."""

    vendor: Vendor

    def __init__(self) -> None:
        super().__init__()
        self._transaction = transaction.atomic()
        self._transaction.__enter__()
        self.rows: dict[UUID, Modelled] = {}
        self.claims: list[Claim] = []
        self.workers = [make_worker().pk for _ in range(WORKERS)]

    def teardown(self) -> None:
        invariants.check(quiet=False)
        transaction.set_rollback(True)
        self._transaction.__exit__(None, None, None)

    def _some_task(self, number: int) -> UUID:
        return sorted(self.rows)[number % len(self.rows)]

    # Rules

    @initialize()
    def find_some_tasks_claimed(self) -> None:
        """Each example goes without some of the rules, and without these it might see no claim at all."""
        for scheduled in (False, False, False, True):
            self.enqueue(scheduled=scheduled, key=None)
        self.enqueue(scheduled=False, key=KEYS[0])
        self.claim(worker=0, limit=2)

    @rule(scheduled=st.booleans(), key=st.none() | st.sampled_from(KEYS))
    def enqueue(self, scheduled: bool, key: str | None) -> None:
        new = new_task(delay=3600.0 if scheduled else 0.0, unique_key=key)
        holder = self._holder(key)
        if key is None:
            self.vendor.insert([new])
        else:
            told = self.vendor.insert_unique([new])
            assert told == ({new.task_id: holder} if holder else {})
        if holder is None:
            stage = Stage.SCHEDULED if scheduled else Stage.DUE
            self.rows[new.task_id] = Modelled(stage=stage, key=key)

    def _holder(self, key: str | None) -> UUID | None:
        """Who has that key now."""
        holders = [i for i, row in self.rows.items() if key is not None and row.active_key == key]
        assert len(holders) <= 1
        return holders[0] if holders else None

    @rule(worker=some, limit=st.integers(0, 3))
    def claim(self, worker: int, limit: int) -> None:
        worker = self.workers[worker % WORKERS]
        claims = self.vendor.claim(worker, [], [NAME], limit)
        due = sorted(task_id for task_id, row in self.rows.items() if row.stage is Stage.DUE)
        assert [claim.task_id for claim in claims] == due[:limit]
        for claim in claims:
            row = self.rows[claim.task_id]
            row.lease, row.attempt = row.lease + 1, row.attempt + 1
            row.stage, row.worker = Stage.CLAIMED, worker
            assert (claim.lease, claim.attempt) == (row.lease, row.attempt)
        self.claims += claims

    @precondition(lambda self: self.claims)
    @rule(number=some, kind=st.sampled_from(sorted(WRITES)))
    def write(self, number: int, kind: str) -> None:
        """Of any claim that ever was, the stale ones too."""
        claim = self.claims[number % len(self.claims)]
        make, apply = WRITES[kind]
        change, row = make(claim, time.monotonic()), self.rows[claim.task_id]
        passes = row.passes(claim, change)
        written = self.vendor.write([change])
        assert (bool(written.applied), bool(written.stale)) == (passes, not passes)
        if passes:
            apply(row)

    @precondition(lambda self: self.claims)
    @rule(number=some)
    def unclaim(self, number: int) -> None:
        claim = self.claims[number % len(self.claims)]
        row = self.rows[claim.task_id]
        mine = (row.stage, row.lease, row.worker) == (Stage.CLAIMED, claim.lease, claim.worker_id)
        back = mine and row.state in WAITING and not row.wish
        assert transitions.unclaim(self.vendor, [claim]) == int(back)
        if back:
            row.stage, row.worker, row.attempt = Stage.DUE, None, row.attempt - 1

    @precondition(lambda self: self.claims)
    @rule(number=some, current=st.integers(0, 100))
    def report(self, number: int, current: int) -> None:
        claim = self.claims[number % len(self.claims)]
        row = self.rows[claim.task_id]
        self.vendor.write_progress(
            [ProgressWrite(claim.task_id, claim.lease, current, 100, None, None)]
        )
        if row.stage is Stage.CLAIMED and row.lease == claim.lease:
            row.reported = claim.lease, float(current)

    @precondition(lambda self: self.rows)
    @rule(number=some, signal=st.sampled_from([None, "SIGKILL"]))
    def revoke(self, number: int, signal: str | None) -> None:
        task_id = self._some_task(number)
        row = self.rows[task_id]
        answer = transitions.revoke([task_id], signal=signal)[task_id]
        if row.state in FINAL:
            assert answer is Answer.REFUSED
        elif row.stage is not Stage.CLAIMED:
            assert answer is Answer.REVOKED
            row.become(State.REVOKED, Stage.DONE)
        else:
            kills = signal is not None and row.worker in self.workers
            assert answer is (Answer.TERMINATING if kills else Answer.REQUESTED)
            row.wish, row.lease = True, row.lease + int(kills)

    @rule(worker=some, began=st.booleans())
    def answer_wishes(self, worker: int, began: bool) -> None:
        worker = self.workers[worker % WORKERS]
        for wish in transitions.revoke_requests(self.vendor, worker):
            row = self.rows[wish.task_id]
            ran = began or row.state is State.STARTED
            change = transitions.stopped(wish, worker, time.monotonic() if ran else None)
            assert self.vendor.write([change]).applied
            if ran and row.state in WAITING:
                row.state = State.STARTED
                row.story.append((State.STARTED, wish.ran_under or wish.lease))
            row.attempt -= 0 if ran else 1
            row.become(State.REVOKED, Stage.DONE)
        assert not any(
            row.wish and row.stage is Stage.CLAIMED and row.worker == worker
            for row in self.rows.values()
        )

    @rule(worker=some)
    def lose_worker(self, worker: int) -> None:
        """It is gone, and another one comes; its claims may still be written of."""
        number = worker % WORKERS
        Worker.objects.filter(pk=self.workers[number]).update(stopped_at=self.vendor.now())
        self.workers[number] = make_worker().pk

    @rule()
    def rescue(self) -> None:
        transitions.rescue(self.vendor, 3600.0)
        for row in self.rows.values():
            if row.stage is Stage.CLAIMED and row.worker not in self.workers:
                self._rescue(row)

    def _rescue(self, row: Modelled) -> None:
        never_began = row.losses > 0 and row.state in WAITING
        if row.wish:
            # The start that is presumed stands under the lease that the body ran with: not compared.
            if not never_began:
                row.begin()
            row.attempt -= int(never_began)
            row.become(State.REVOKED, Stage.DONE)
        elif never_began:
            row.stage, row.worker, row.attempt = Stage.DUE, None, row.attempt - 1
        else:
            row.lose(counted=row.state is State.STARTED)

    @precondition(lambda self: self.rows)
    @rule(numbers=st.lists(some, min_size=1, max_size=3))
    def rerun(self, numbers: list[int]) -> None:
        ids = sorted({self._some_task(number) for number in numbers})
        answers = transitions.rerun(ids, actor="user:boss")
        for task_id in ids:
            row = self.rows[task_id]
            again = row.state in states.RERUN.sources and self._holder(row.key) is None
            assert answers[task_id] is (Answer.QUEUED if again else Answer.REFUSED)
            if again:
                row.lease += 1
                row.attempt = row.losses = row.crashes = 0
                row.wish = False
                row.become(State.PENDING, Stage.DUE)

    @precondition(lambda self: self.rows)
    @rule(number=some)
    def pass_expiry(self, number: int) -> None:
        task_id = self._some_task(number)
        past = self.vendor.now() - timedelta(seconds=1)
        TrackedTask.objects.filter(pk=task_id).update(expires_at=past)
        transitions.expire(self.vendor)
        TrackedTask.objects.filter(pk=task_id).update(expires_at=None)
        row = self.rows[task_id]
        if row.stage < Stage.CLAIMED:
            row.become(State.REVOKED, Stage.DONE)

    @rule()
    def pass_an_hour(self) -> None:
        past = self.vendor.now() - timedelta(seconds=1)
        TrackedTask.objects.filter(stage=Stage.SCHEDULED).update(run_after=past)
        self.vendor.promote()
        for row in self.rows.values():
            if row.stage is Stage.SCHEDULED:
                row.stage = Stage.DUE

    # What must be true after each of them

    @invariant()
    def rows_say_what_the_model_says(self) -> None:
        rows = {
            task.pk: (
                task.state, task.stage, task.lease, task.attempt, task.losses, task.crashes,
                task.worker_id, task.revoke_requested_at is not None, task.seq, task.active_key,
            )
            for task in TrackedTask.objects.all()
        }  # fmt: skip
        assert rows == {task_id: row.shown() for task_id, row in self.rows.items()}

    @invariant()
    def history_says_what_the_model_says(self) -> None:
        told: dict[UUID, list[str]] = {task_id: [] for task_id in self.rows}
        for task_id, state in StateChange.objects.in_order().values_list("task_id", "state"):
            told[task_id].append(state)
        assert told == {i: [state for state, _ in row.story] for i, row in self.rows.items()}

    @invariant()
    def progress_says_what_the_model_says(self) -> None:
        rows = Progress.objects.values_list("pk", "lease", "current")
        assert {pk: (lease, current) for pk, lease, current in rows} == {
            task_id: row.reported for task_id, row in self.rows.items() if row.reported
        }


def machine(vendor: Vendor) -> type[WriteDoor]:
    return type("WriteDoorOf", (WriteDoor,), {"vendor": vendor})


QUICK = settings(
    max_examples=25,
    stateful_step_count=30,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
)
EXAM = settings(max_examples=400, stateful_step_count=60, print_blob=True)


@pytest.mark.case("M1")
@pytest.mark.parametrize(
    "profile",
    [pytest.param(QUICK, id="quick"), pytest.param(EXAM, id="exam", marks=pytest.mark.long)],
)
@pytest.mark.parametrize("kind", VENDORS)
def test_the_write_door_does_what_the_model_does(
    kind: str, profile: settings, figures: Figures
) -> None:
    vendor = the_vendor(kind)
    checked = settings(
        profile, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(machine(vendor), settings=checked)
    figures["examples"] = checked.max_examples
