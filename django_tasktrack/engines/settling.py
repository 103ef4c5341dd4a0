"""From what the pool tells to what is written: beginnings, labels, progress, ends."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Iterable, Sequence
from uuid import UUID

from .. import states, transitions
from ..changes import Change, ProgressWrite, Written
from ..herald import Herald
from ..outcomes import Claim, Report, failed
from ..pools import Pool
from ..pools.base import Died, Finished, Reported
from ..states import Stage, State
from ..vendors import Vendor, errors
from .claiming import Claiming
from .outbox import Outbox
from .revoking import Revoking
from .tasklog import TaskLog

logger = logging.getLogger("django_tasktrack.worker")

#: A body that runs for longer shows STARTED; a shorter one records it with its end.
STARTED_AFTER = 0.05
#: Progress of one task is written no more often than this.
PROGRESS_EVERY = 0.2
#: Pause before rows are tried again that somebody's transaction holds.
BUSY_PAUSE = 0.02
#: Pause before an end is tried again that could not be written, nor the failure that says so.
PUT_OFF = 3.0


class Settling:
    """Collects what is to be written, and writes all of it whenever asked."""

    def __init__(
        self,
        vendor: Vendor,
        pool: Pool,
        outbox: Outbox,
        revoking: Revoking,
        claiming: Claiming,
        *,
        herald: Herald | None = None,
    ) -> None:
        self.log = TaskLog()
        self._vendor = vendor
        self._pool = pool
        self._outbox = outbox
        self._revoking = revoking
        self._claiming = claiming
        self._herald = herald or Herald()
        #: Who waits to hear that a change is committed, by the change's identity: it is kept until it is.
        self._awaited: dict[int, Claim] = {}
        self._reports: dict[UUID, tuple[Claim, Report]] = {}
        self._shown: set[tuple[UUID, int]] = set()
        self._progress_at = 0.0
        self._busy = False

    def is_idle(self) -> bool:
        """Whether nothing waits to be written."""
        return not self._outbox and not self._reports

    def has_begun(self, claim: Claim) -> bool:
        """Whether its beginning is in the table, or on the way there."""
        return (claim.task_id, claim.lease) in self._shown

    def due_at(self) -> float:
        """When to call ``run`` next, if nothing happens before."""
        moments = [began + STARTED_AFTER for _, began in self._unshown()]
        if self._outbox:
            at = self._outbox.due_at()
            moments.append(max(at, time.monotonic() + BUSY_PAUSE) if self._busy else at)
        if self._reports:
            moments.append(self._progress_at)
        return min(*moments, self.log.due_at(), math.inf)

    def run(self) -> None:
        """Write what has piled up. What somebody's transaction holds stays for the next time."""
        self.log.sum_up(time.monotonic())
        self._show_long_ones()
        self._write_progress()
        self._busy = False
        batch = self._outbox.batch()
        if batch:
            self._write(batch)

    def forget(self) -> None:
        """None of it is ours to write any more."""
        self._outbox.clear()
        self._reports.clear()
        self._shown.clear()
        self._awaited.clear()

    # What the pool tells

    def report(self, event: Reported) -> None:
        """A task told how far it is."""
        claim, report = event.claim, event.report
        if report.label is not None:
            self._outbox.add(
                transitions.relabelled(claim, report.label, event.began, event.happened)
            )
            self._shown.add((claim.task_id, claim.lease))
        known = self._reports.get(claim.task_id)
        older = known[1] if known and known[0].lease == claim.lease else None
        self._reports[claim.task_id] = claim, report.over(older)

    def end(self, event: Finished | Died) -> None:
        """An attempt has ended, one way or the other."""
        claim = event.claim
        if claim.task_id in self._reports:
            self._progress_at = 0.0  # its last words come before its end, which closes its progress
        self._claiming.learn(event.ended - event.began)
        self._shown.discard((claim.task_id, claim.lease))
        change = self._change_of(event)
        self.log.end(claim, change, expected=_is_expected(event))
        if isinstance(event, Finished) and event.waits:
            self._awaited[id(change)] = claim
        self._outbox.add(change)

    def _change_of(self, event: Finished | Died) -> Change:
        claim, request = event.claim, self._revoking.request_of(event.claim.task_id)
        stopped = isinstance(event, Died) or event.outcome.transition is states.STOP
        if request and stopped:
            return transitions.stopped(request, claim.worker_id, event.began)
        if isinstance(event, Finished):
            return Change.of_outcome(claim, event.outcome, event.began, event.ended)
        return transitions.lost(claim, event.began, event.how)

    # Beginnings

    def begin_surely(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        """Commit the beginning of claims for which that matters; the claims that may run now.

        Only a beginning that is seen counts as a crash when its worker dies, so that those who happen to
        share a worker with a poisonous task stay innocent.
        """
        certain = [claim for claim in claims if claim.begins_surely]
        if not certain:
            return claims
        now = time.monotonic()
        changes = [transitions.started(claim, now) for claim in certain]
        applied = transitions.settle(self._vendor, changes).applied
        self._shown.update((claim.task_id, claim.lease) for claim in certain)
        doubtful = [claim for claim in certain if claim.task_id not in applied]
        transitions.unclaim(self._vendor, doubtful)
        return [claim for claim in claims if claim not in doubtful]

    def _unshown(self) -> Iterable[tuple[Claim, float]]:
        return (
            (claim, began)
            for claim, began in self._pool.running()
            if (claim.task_id, claim.lease) not in self._shown
        )

    def _show_long_ones(self) -> None:
        now = time.monotonic()
        for claim, began in self._unshown():
            if now - began >= STARTED_AFTER:
                self._shown.add((claim.task_id, claim.lease))
                self._outbox.add(transitions.started(claim, began))

    # Writing

    def _write_progress(self) -> None:
        now = time.monotonic()
        if not self._reports or now < self._progress_at:
            return
        self._progress_at = now + PROGRESS_EVERY
        writes = [
            ProgressWrite.of_report(claim, report) for claim, report in self._reports.values()
        ]
        self._write_some_progress(writes)
        self._reports.clear()

    def _write_some_progress(self, writes: Sequence[ProgressWrite]) -> None:
        """Write progress; what the database cannot take is dropped, and holds up nothing else."""
        try:
            self._vendor.write_progress(writes)
        except (*errors.TROUBLE, ValueError, TypeError) as error:
            if not errors.may_be_the_data_s(error):
                raise
            if len(writes) > 1:
                for write in writes:
                    self._write_some_progress([write])
            else:
                task_id = writes[0].task_id
                logger.warning("Progress of %s cannot be stored: %s", task_id, str(error).strip())

    def _write(self, batch: Sequence[Change]) -> None:
        """Write a batch; if the database refuses it, halve it until the culprit stands alone."""
        try:
            written = transitions.settle(self._vendor, batch)
        except (*errors.TROUBLE, ValueError, TypeError) as error:
            if not errors.may_be_the_data_s(error):
                raise
            if len(batch) == 1:
                self._write_its_failure(batch[0], error)
            else:
                middle = len(batch) // 2
                self._write(batch[:middle])
                self._write(batch[middle:])
        else:
            self._on_answer(written, batch)

    def _on_answer(self, written: Written, batch: Sequence[Change]) -> None:
        untold = []
        changes = written.of(batch)
        self._claiming.gate.freed(c.task_id for c in changes if c.stage is not Stage.CLAIMED)
        for change in changes:
            asked = self._outbox.settled(change.task_id)
            # What was written instead, because the end itself could not be, is not the body's to tell.
            is_told = self._acknowledge(asked, written=change is asked)
            if change.target is State.REVOKED or (change.target is State.FAILURE and not is_told):
                untold.append(change.task_id)
            if change.releases:  # what waited for it may be due
                self._claiming.look_now()
            if change.delay is not None:  # it runs again: look when its time has come
                self._claiming.look_at(time.monotonic() + change.delay)
        for task_id in written.stale:
            self._on_refused(task_id)
        self._herald.ended(untold)
        self._busy = self._busy or bool(written.busy)

    def _acknowledge(self, change: Change, *, written: bool) -> bool:
        """Let who waits know whether a change is committed. False: nobody tells of it there."""
        claim = self._awaited.pop(id(change), None) if self._awaited else None
        if claim is None:
            return False
        self._pool.acknowledge(claim, written)
        return written

    def _on_refused(self, task_id: UUID) -> None:
        """The fence did not hold: it was written before and the answer was lost, or somebody revoked the
        task, or it is no longer ours. What comes after it has its own fence."""
        refused = self._outbox.settled(task_id)
        if id(refused) in self._awaited:
            self._acknowledge(refused, written=self._was_written(refused))
        if task_id not in self._outbox:
            began = refused.began or refused.happened or time.monotonic()
            self._revoking.refused(task_id, began)

    def _was_written(self, change: Change) -> bool:
        """Whether it is in the table although it was refused; not, where that cannot be found out."""
        with contextlib.suppress(*errors.TROUBLE):
            return transitions.was_written(self._vendor, change)
        return False

    def _write_its_failure(self, change: Change, error: Exception) -> None:
        """An end that no database takes becomes a FAILURE that says so; the body has run once.

        If not even that can be written, what was to be written is not to blame: it is kept.
        """
        failure = Change(
            change.task_id,
            states.FAIL,
            change.lease,
            change.worker_id,
            error=failed(error).error,
            reason="its end could not be stored",
            began=change.began,
            happened=change.happened,
            goal_id=change.goal_id,
        )
        written = None
        with contextlib.suppress(*errors.TROUBLE, ValueError, TypeError):
            written = transitions.settle(self._vendor, [failure])
        if written is None:
            self._outbox.put_off(change.task_id, PUT_OFF)
            raise error
        if written.applied:
            logger.error("Task %s cannot be written: %s", change.task_id, str(error).strip())
        self._on_answer(written, [failure])


def _is_expected(event: Finished | Died) -> bool:
    return isinstance(event, Finished) and event.outcome.expected
