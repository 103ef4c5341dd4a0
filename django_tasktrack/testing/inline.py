"""A worker in the test's own thread and on its connection: one task after the other, no process."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import reduce
from types import TracebackType
from typing import NamedTuple, Self

from django.db import DatabaseError
from django.db.models import Min

from .. import __version__, liveness, registry, runner, states, transitions
from ..changes import Change, ProgressWrite, RevokeRequest
from ..conf import config
from ..eager import is_in_a_loop, run_here
from ..engines.settling import BUSY_PAUSE
from ..engines.tasklog import TaskLog
from ..epilogue import Epilogue
from ..exceptions import TasktrackError
from ..heartbeat import Heartbeat
from ..maintenance import Maintenance
from ..models import Goal, TrackedTask, Worker
from ..outcomes import Claim, Outcome, Report, failed
from ..registration import Identity, Registration
from ..states import Stage, Transition
from ..vendors import task_database, vendor_for
from .isolation import as_by_itself

#: Seconds after which a row that another connection holds is an error.
PATIENCE = 5.0


class Ran(NamedTuple):
    """One attempt that has ended, with the exception that ended it, if one did."""

    claim: Claim
    transition: Transition
    error: BaseException | None


class InlineWorker:
    """Claims, runs and settles as every worker does, one step at a time, when it is asked to.

    A context manager: its row is alive inside of the block.

    Args:
        queues: those that it serves; empty for all.
        names: the tasks that it takes.
    """

    def __init__(self, queues: Sequence[str], names: Sequence[str]) -> None:
        self._vendor = vendor_for(task_database())
        self._queues = queues
        self._names = names
        self._log = TaskLog()
        self._name = f"test@{socket.gethostname()}"
        identity = Identity(
            name=self._name,
            pool="inline",
            concurrency=1,
            can_terminate=False,
            queues=queues,
            known_tasks=registry.names(),
            version=__version__,
        )
        self._registration = Registration(
            self._vendor,
            identity,
            _NoProcess(),
            config().LEASE,
            on_lost=lambda _: None,
            on_dead=lambda: None,
        )

    def __enter__(self) -> Self:
        self._id = self._registration.register()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._log.sum_up()
        with suppress(DatabaseError):  # the transaction may be broken, and ``error`` says why
            self._vendor.connection.ensure_connection()
            self._registration.stop()
        liveness.release(self._vendor.connection, self._id)  # its number may be rolled back

    def run_next(self) -> Ran | None:
        """Run the first task that is due to its end. None: none is due."""
        claim = self._claim()
        if claim is None:
            self._keep_up()
            claim = self._claim()
        return None if claim is None else self._run(claim)

    def next_in(self) -> float | None:
        """Seconds until a task is due that waits for its time, or that a goal waits for; None: none does."""
        tasks = TrackedTask.objects.using(self._vendor.using).named(self._names)
        tasks = tasks.for_queue(*self._queues) if self._queues else tasks
        goals = Goal.objects.using(self._vendor.using).filter(task_name__in=self._names)
        moments: list[datetime | None] = [
            tasks.filter(stage=Stage.SCHEDULED).aggregate(at=Min("run_after"))["at"],
            goals.filter(state=Goal.State.OPEN).aggregate(at=Min("next_attempt_at"))["at"],
        ]
        at = min(filter(None, moments), default=None)
        if at is None:
            return None
        return max(0.0, (at - self._vendor.now()).total_seconds()) + 0.001

    def _claim(self) -> Claim | None:
        self._vendor.promote()
        claims = transitions.claim(self._vendor, self._id, self._queues, self._names, 1)
        return claims[0] if claims else self._claim_gated()

    def _claim_gated(self) -> Claim | None:
        """The next task with a concurrency key. Rates limit nothing here: a test waits for no token."""
        there_is = self._vendor.gates()
        if not (there_is.gated or there_is.gateable):
            return None
        transitions.gate(self._vendor, self._queues, ())
        found = transitions.claim_gated(
            self._vendor, self._id, self._queues, self._names, rates={}, limit=1
        )
        return found.claims[0] if found.claims else None

    def _keep_up(self) -> None:
        """What any worker does now and then, once."""
        row = Worker.objects.using(self._vendor.using).filter(pk=self._id)
        row.update(heartbeat_at=self._vendor.now())  # the clock may have been moved
        upkeep = Maintenance(
            self._vendor, config().MAINTENANCE, config().LEASE, self._queues, registry.names()
        )
        upkeep.run(time.monotonic())

    def _run(self, claim: Claim) -> Ran:
        began = time.monotonic()
        self._write(transitions.started(claim, began))
        attempt = _Attempt(claim)
        outcome = self._outcome(attempt)
        self._write_reports(attempt, began)
        change = self._end_of(claim, outcome, began)
        self._log.end(claim, change)
        if self._write(change):
            for epilogue in attempt.epilogues:
                epilogue.tell()
        return Ran(claim, change.transition, attempt.error)

    def _outcome(self, attempt: _Attempt) -> Outcome:
        claim = attempt.claim
        try:
            with as_by_itself():
                return runner.run(
                    claim,
                    self._name,
                    attempt.send,
                    is_revoked=lambda: self._can_ask() and self._wish(claim) is not None,
                    run_coroutine=run_here,
                    later=attempt.epilogues.append,
                    on_error=attempt.fail,
                )
        except Exception as error:  # noqa: BLE001  of what the body had left for its commit
            attempt.fail(error)
            return failed(error)

    def _can_ask(self) -> bool:
        """Whether the body has left the connection usable: not in an event loop, and not broken."""
        return not is_in_a_loop() and not self._vendor.connection.needs_rollback

    def _wish(self, claim: Claim) -> RevokeRequest | None:
        """Somebody's wish that the task ends: of the body itself, or of another thread."""
        wishes = transitions.revoke_requests(self._vendor, self._id)
        return next((wish for wish in wishes if wish.task_id == claim.task_id), None)

    def _end_of(self, claim: Claim, outcome: Outcome, began: float) -> Change:
        """The end, as a worker writes it: one that was wished for says who wished it."""
        if outcome.transition is states.STOP or outcome.transition.yields:
            wish = self._wish(claim)
            if wish is not None:
                return transitions.stopped(wish, self._id, began)
        return Change.of_outcome(claim, outcome, began, time.monotonic())

    def _write_reports(self, attempt: _Attempt, began: float) -> None:
        """What it told of itself, once it has ended: nobody could look before, and its own transactions
        cannot take it back."""
        claim, told = attempt.claim, attempt.told
        for report, at in told:
            if report.label is not None:
                self._write(transitions.relabelled(claim, report.label, began, at))
        if told:
            last = reduce(lambda older, newer: newer.over(older), (report for report, _ in told))
            self._vendor.write_progress([ProgressWrite.of_report(claim, last)])

    def _write(self, change: Change) -> bool:
        """Write, once the row is free; whether that was done. What its fence refuses was decided elsewhere."""
        deadline = time.monotonic() + PATIENCE
        while (written := transitions.settle(self._vendor, [change])).busy:
            if time.monotonic() > deadline:
                raise TasktrackError(
                    f"Another connection has held task {change.task_id} for {PATIENCE:g} s.",
                    hint="Let its transaction end before the task is run.",
                )
            time.sleep(BUSY_PAUSE)
        return bool(written.applied)


class _Attempt:
    """What one body has told of itself."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.told: list[tuple[Report, float]] = []
        self.error: BaseException | None = None
        self.epilogues: list[Epilogue] = []

    def send(self, report: Report) -> None:
        self.told.append((report, time.monotonic()))

    def fail(self, error: BaseException) -> None:
        self.error = error


class _NoProcess(Heartbeat):
    """No signs of life: nobody waits for them as long as the test runs this."""

    def __init__(self) -> None:
        """Without the process."""

    def follow(self, worker_id: int) -> None: ...
    def end(self) -> None: ...
    def reap(self) -> None: ...
