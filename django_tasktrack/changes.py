"""What the write door is asked to write, and what it answers. Pure values.

Bulk is the primitive: every verb takes many of these, and one is a list of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from . import states
from .outcomes import Claim, Error, Outcome, Report
from .states import Stage, State, Transition

#: The header of a task that runs because another one has failed: that one's id.
ERRBACK_OF = "errback_of"
#: The header of a member of a group, from 0, where the ids of its members are not in its order.
GROUP_INDEX = "group_index"


class NewTask(NamedTuple):
    """A task to insert. ``args``, ``kwargs`` and ``headers`` are JSON text; ``delay`` is added to the database's
    clock.

    ``blocked`` says that it waits for other tasks, and ``followed`` that others wait for it. Of those with the same
    ``concurrency_key``, ``concurrency_limit`` run at once.
    """

    task_id: UUID
    name: str
    args: str
    kwargs: str
    queue: str
    priority: int = 0
    max_attempts: int | None = None
    delay: float = 0.0
    run_after: datetime | None = None
    expires_in: float | None = None
    expires_at: datetime | None = None
    owner: str = ""
    actor: str = ""
    goal_id: int | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None
    rerun_if_lost: bool = True
    root_id: UUID | None = None
    parent_id: UUID | None = None
    group_id: UUID | None = None
    headers: str | None = None
    ignore_result: bool = False
    followed: bool = False
    blocked: bool = False
    concurrency_key: str | None = None
    concurrency_limit: int | None = None
    unique_key: str | None = None


class NewLink(NamedTuple):
    """What follows the end of a task: a task that waits for it, or one to enqueue if it fails.

    Args:
        task_id: the one that ends.
        number: from 0, among those of the same task.
        successor_id: the task that waits for it.
        place: where in the successor's arguments its value goes; None passes nothing.
        collects: whether the successor gets a list of values, and ``place`` is the place in that.
        delay: seconds from the release of the successor until it may run.
        on_error: JSON text of the signature to enqueue if the task fails.
    """

    task_id: UUID
    number: int
    successor_id: UUID | None = None
    place: int | None = None
    collects: bool = False
    delay: float = 0.0
    on_error: str | None = None


class Release(NamedTuple):
    """A task that need not wait for others any more.

    Args:
        task_id: which task.
        args: JSON text of its arguments, as they are now.
        delay: seconds until it may run.
    """

    task_id: UUID
    args: str
    delay: float = 0.0


class Change(NamedTuple):
    """One transition of one task, with the fence that it must pass.

    The row is written only while its state is one that the transition may leave, and its lease and
    worker are the ones given here. Moments are on this process's monotonic clock; when the change is
    written, however late, they become times of the database's clock.

    Args:
        task_id: which task.
        transition: what happens.
        lease: the fencing number that the row must show.
        worker_id: the owner that it must show; None where nobody may own it.
        label: the task's own word for its state, with RELABEL.
        delay: seconds from now until it may run again; None leaves ``run_after`` as it is.
        result: JSON text.
        error: what was raised.
        reason: one line for history.
        actor: who asked.
        began: when the attempt began, if STARTED may still have to be recorded.
        began_reason: why STARTED is recorded without having been seen ("presumed").
        began_lease: the lease that it began under, where that is not ``lease`` any more.
        happened: when it happened; None for the moment of the write.
        bump: added to the lease, so that what ran under it is fenced off.
        attempt, losses, crashes: added to the row's counts.
        afresh: whether the counts start at zero again.
        max_attempts: a new limit; None leaves the row's.
        goal_id: the goal that the task serves.
        followed: whether other tasks may wait for its end.
    """

    task_id: UUID
    transition: Transition
    lease: int
    worker_id: int | None
    label: str = ""
    delay: float | None = None
    result: str | None = None
    error: Error | None = None
    reason: str = ""
    actor: str = ""
    began: float | None = None
    began_reason: str = ""
    began_lease: int | None = None
    happened: float | None = None
    bump: int = 0
    attempt: int = 0
    losses: int = 0
    crashes: int = 0
    afresh: bool = False
    max_attempts: int | None = None
    goal_id: int | None = None
    followed: bool = True

    @classmethod
    def again(
        cls,
        task_id: UUID,
        lease: int,
        worker_id: int | None,
        *,
        actor: str,
        reason: str,
        goal_id: int | None = None,
    ) -> Change:
        """An ended task runs again, as if it had not been tried; what ran under its old lease is fenced off."""
        return cls(
            task_id,
            states.RERUN,
            lease,
            worker_id,
            delay=0.0,
            reason=reason,
            actor=actor,
            bump=1,
            afresh=True,
            goal_id=goal_id,
        )

    @property
    def releases(self) -> bool:
        """Whether tasks may wait for this change."""
        return self.followed and self.stage is Stage.DONE

    @property
    def target(self) -> State:
        return self.transition.target

    @property
    def stage(self) -> Stage:
        return self.transition.stage(self.delay)

    def began_ago(self, now: float) -> float | None:
        """Seconds since the attempt began, at this monotonic moment."""
        return None if self.began is None else max(0.0, now - self.began)

    def happened_ago(self, now: float) -> float:
        """Seconds since it happened, at this monotonic moment."""
        return 0.0 if self.happened is None else max(0.0, now - self.happened)

    @classmethod
    def of_outcome(cls, claim: Claim, outcome: Outcome, began: float, ended: float) -> Change:
        """The end of an attempt, as a change of the task that was claimed."""
        return cls(
            claim.task_id,
            outcome.transition,
            claim.lease,
            claim.worker_id,
            delay=outcome.delay if outcome.transition.yields else None,
            result=outcome.result,
            error=outcome.error,
            reason=outcome.reason,
            max_attempts=outcome.max_attempts,
            # As where a worker gives it back: that attempt never was.
            attempt=-1 if outcome.transition is states.RELEASE else 0,
            began=began,
            happened=ended,
            goal_id=claim.goal_id,
            followed=claim.followed,
        )


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a list of changes.

    Attributes:
        applied: ids of the rows that were changed.
        busy: ids of rows that someone held; ask again.
        stale: ids whose fence did not hold; nothing was changed, and nothing will be.
        refused: ids of rows that the database refuses to write, with what it said.
    """

    applied: frozenset[UUID] = frozenset()
    busy: frozenset[UUID] = frozenset()
    stale: frozenset[UUID] = frozenset()
    refused: Mapping[UUID, str] = field(default_factory=dict)

    def __or__(self, other: Written) -> Written:
        """What became of both."""
        return Written(
            self.applied | other.applied,
            self.busy | other.busy,
            self.stale | other.stale,
            {**self.refused, **other.refused},
        )

    def of(self, changes: Iterable[Change]) -> list[Change]:
        """Those of ``changes`` that were applied."""
        return [change for change in changes if change.task_id in self.applied]


@dataclass(frozen=True, slots=True)
class ProgressWrite:
    """The newest progress of one task, under the lease that may write it. ``meta`` is JSON text."""

    task_id: UUID
    lease: int
    current: float | None
    total: float | None
    message: str | None
    meta: str | None

    @classmethod
    def of_report(cls, claim: Claim, report: Report) -> ProgressWrite:
        """What a claimed task told of itself, as progress to write."""
        return cls(
            claim.task_id, claim.lease, report.current, report.total, report.message, report.meta
        )


@dataclass(frozen=True, slots=True)
class Held:
    """A row that a worker has claimed, as the table tells."""

    task_id: UUID
    lease: int
    worker_id: int
    goal_id: int | None
    started: bool
    revoke_requested: bool


@dataclass(frozen=True, slots=True)
class RevokeRequest:
    """Somebody's wish that a claimed task ends, as its worker reads it.

    ``ran_under`` is the lease that the task had before anybody wished it to be killed; ``started`` tells
    whether its beginning is in the table.
    """

    task_id: UUID
    lease: int
    goal_id: int | None
    signal: str | None = None
    actor: str = ""
    reason: str = ""
    ran_under: int | None = None
    started: bool = field(default=False, compare=False)  # with or without, it is the same wish

    @classmethod
    def of_row(
        cls, task_id: UUID, lease: int, goal_id: int | None, wish: Mapping[str, Any] | None
    ) -> RevokeRequest:
        """As the row tells it. What only newer code has put into the wish is for newer code."""
        known = {key: value for key, value in (wish or {}).items() if key in _OF_WISHES}
        return cls(task_id, lease, goal_id, **known)


_OF_WISHES = frozenset({"signal", "actor", "reason", "ran_under"})
