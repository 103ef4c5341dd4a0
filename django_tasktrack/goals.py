"""Goals: what the business wants, asked of the goal and not of a task whose result expires.

goal = goals.pursue("invoice.delivered", key="INV-42", task=deliver, args=[42])
goals.get("invoice.delivered", "INV-42").status()
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, models

from . import checked, context, goal_writes, pursuit, transitions
from .changes import NewTask
from .conf import config
from .declaration import Task, definition_of
from .enqueue import Options, prepare
from .exceptions import GoalClosed, InvalidTask, LeaseLost, TasktrackError
from .models import Goal, GoalAttempt, TrackedTask
from .payloads import decode, encode, printable
from .progress import ProgressView
from .result import AsyncResult
from .states import Stage
from .vendors import Vendor, task_database, vendor_for

State = Goal.State


class GoalNotFound(TasktrackError, LookupError):
    """Nobody has pursued a goal of this kind and key."""


@dataclass(frozen=True, slots=True)
class GoalStatus:
    """Where a goal stands: first the goal itself, then the task that serves it now.

    Attributes:
        state: of the goal.
        reason: why it ended, if it did without being achieved.
        evidence: what ``achieve`` was given.
        late: achieved after its deadline.
        attempts, max_attempts: tasks used, and allowed (None: no limit).
        task: the latest task, if its row exists.
        task_state: of that task.
        progress: of that task.
    """

    state: str
    reason: str
    evidence: Any
    late: bool
    attempts: int
    max_attempts: int | None
    task: AsyncResult | None
    task_state: str | None
    progress: ProgressView


class PursuedGoal:
    """A goal in the hands of the code that wants it. ``row`` is the stored Goal."""

    def __init__(self, row: Goal) -> None:
        self.row = row

    def __repr__(self) -> str:
        return f"<goal {self.row} {self.row.state}>"

    @property
    def kind(self) -> str:
        return self.row.kind

    @property
    def key(self) -> str:
        return self.row.key

    @property
    def state(self) -> str:
        """As stored when it was read; ``refresh()`` reads again."""
        return self.row.state

    @property
    def evidence(self) -> Any:
        return self.row.evidence

    @property
    def _attempts(self) -> models.QuerySet[GoalAttempt]:
        # Named, because a router may send reads to a copy that lags behind.
        return GoalAttempt.objects.using(task_database()).filter(goal_id=self.row.pk)

    def refresh(self) -> PursuedGoal:
        """Read the stored goal again."""
        self.row.refresh_from_db(using=task_database())
        return self

    def attempts(self) -> list[GoalAttempt]:
        """The tasks that served it, oldest first; they survive the purge of those tasks."""
        return list(self._attempts.order_by("number"))

    def status(self) -> GoalStatus:
        """Where it stands now."""
        self.refresh()
        row, latest = self.row, self._attempts.order_by("-number").first()
        task = AsyncResult.many([latest.task_id])[0] if latest else None
        task = task if task and task.exists() else None
        return GoalStatus(
            state=row.state,
            reason=row.reason,
            evidence=row.evidence,
            late=row.late,
            attempts=row.attempts,
            max_attempts=row.max_attempts,
            task=task,
            task_state=task.state if task else None,
            progress=task.progress if task else ProgressView(),
        )

    def achieve(self, evidence: Any = None) -> bool:
        """Settle the goal as ACHIEVED, in the current transaction with the caller's own writes.

        Inside a task it also makes sure, until that transaction ends, that the task still has its
        lease: an attempt that was revoked or given to another worker achieves nothing.

        Args:
            evidence: JSON value that shows it.

        Returns:
            Whether it changed anything: False where it was achieved before.

        Raises:
            LeaseLost: the running attempt no longer owns its task.
            PayloadError: evidence cannot be carried as JSON.
        """
        shown = None if evidence is None else decode(encode(evidence, "evidence"))
        vendor = vendor_for(task_database())

        def settle() -> tuple[Goal, bool]:
            goal = _lock(vendor, self.row.pk)  # before the task: goal_writes.lock
            _check_lease(vendor)
            now = vendor.now()
            return goal, goal_writes.settle(vendor, goal, State.ACHIEVED, now, evidence=shown)

        self.row, changed = transitions.whole(vendor, settle)
        return changed

    def abandon(self, reason: str = "") -> bool:
        """Give the goal up, in the current transaction. Its live task, if any, is not revoked.

        Returns:
            Whether it was still unmet.
        """
        vendor = vendor_for(task_database())

        def settle() -> tuple[Goal, bool]:
            goal = _lock(vendor, self.row.pk)
            return goal, goal.is_unmet and goal_writes.settle(
                vendor, goal, State.ABANDONED, vendor.now(), reason=printable(reason)
            )

        self.row, changed = transitions.whole(vendor, settle)
        return changed


def get(kind: str, key: object) -> PursuedGoal:
    """The goal of this kind and key.

    Raises:
        GoalNotFound: nobody has pursued it.
    """
    row = Goal.objects.using(task_database()).filter(kind=kind, key=str(key)).first()
    if row is None:
        raise GoalNotFound(
            f"No goal {kind!r} has the key {key!r}.", hint="goals.pursue() makes it."
        )
    return PursuedGoal(row)


def pursue(
    kind: str,
    *,
    key: object,
    task: Task[..., Any] | str,
    subject: models.Model | None = None,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    deadline: datetime | timedelta | None = None,
    max_attempts: int | object | None = ...,
    achieve_on_success: bool = False,
    reopen: bool = False,
    queue: str | None = None,
    priority: int | None = None,
    owner: object = None,
) -> PursuedGoal:
    """Want something, in the current transaction; asked again, the same goal is returned.

    Workers pursue it by ``task`` until it is achieved, its deadline passes or ``max_attempts`` tasks
    have been used up.

    Args:
        kind, key: together they name the goal.
        task: what serves it, a task or its name.
        subject: the model instance that it is about.
        args, kwargs: of the task.
        deadline: a time, or a duration from now.
        max_attempts: tasks it may use; None for no limit. By default
            ``TASKTRACK["GOAL_MAX_ATTEMPTS"]``.
        achieve_on_success: the task's SUCCESS achieves it; else the task calls ``achieve()``.
        reopen: pursue it again although it was missed, failed or abandoned, with a fresh budget.
        queue, priority, owner: of the tasks.

    Raises:
        GoalClosed: it ended without being achieved, and ``reopen`` is not given.
        InvalidTask: a goal that begins has a deadline in the past, or ``task`` is no task.
        TypeError, PayloadError, InvalidTask, NotRegistered: as enqueueing the task would.
    """
    vendor = vendor_for(task_database())
    kind = checked.word(str(kind), "kind", 255, "cannot name a goal")
    named = checked.word(str(key), "key", 255, "cannot name a goal")
    options = Options(queue=queue, priority=priority, owner=owner)
    new = prepare(definition_of(task), args, kwargs, options)
    wanted = {
        **_subject(subject),
        **_of_task(new),
        "achieve_on_success": achieve_on_success,
        "max_attempts": _budget(max_attempts),
    }

    def want() -> Goal:
        now = vendor.now()
        wanted["deadline"] = _deadline(deadline, now)
        goal, begins = _get_or_create(vendor, kind, named, wanted, now)
        if not begins and not goal.is_unmet and goal.state != State.ACHIEVED:
            _reopen(goal, wanted, reopen)
            begins = True
        if begins:
            _check_future(goal, now)
            pursuit.begin(vendor, goal, now)
        return goal

    return PursuedGoal(transitions.whole(vendor, want))


def _of_task(new: NewTask) -> dict[str, Any]:
    """The columns of a goal that say which task serves it, and how that is enqueued."""
    return {
        "task_name": new.name,
        "task_args": decode(new.args),
        "task_kwargs": decode(new.kwargs),
        "task_options": {
            "queue": new.queue,
            "priority": new.priority,
            "max_attempts": new.max_attempts,
            "owner": new.owner,
            "time_limit": new.time_limit,
            "soft_time_limit": new.soft_time_limit,
            "rerun_if_lost": new.rerun_if_lost,
        },
    }


def _get_or_create(
    vendor: Vendor, kind: str, key: str, wanted: Mapping[str, Any], now: datetime
) -> tuple[Goal, bool]:
    goals = Goal.objects.using(vendor.using)
    try:
        goal, created = goals.get_or_create(
            kind=kind, key=key, defaults={**wanted, "created_at": now}
        )
    except IntegrityError:  # somebody else's, not yet visible to this transaction's snapshot
        goal, created = goals.get(kind=kind, key=key), False
    return (goal, True) if created else (_lock(vendor, goal.pk), False)


def _reopen(goal: Goal, wanted: Mapping[str, Any], allowed: bool) -> None:
    if not allowed:
        raise GoalClosed(
            f"Goal {goal} is {goal.state}{': ' + goal.reason if goal.reason else ''}.",
            hint="Pass reopen=True to pursue it again.",
        )
    for name, value in wanted.items():
        setattr(goal, name, value)
    if goal.max_attempts is not None:
        goal.max_attempts += goal.attempts
    goal.reason, goal.settled_at, goal.state = "", None, State.OPEN
    goal.save()


def _lock(vendor: Vendor, pk: int) -> Goal:
    return vendor.locked(Goal.objects.using(vendor.using).filter(pk=pk)).get()


def _check_lease(vendor: Vendor) -> None:
    """Hold the running task's row, if a task runs here and still owns it."""
    running = context.current()
    if running is None or running.claim.is_eager:
        return
    claim = running.claim
    mine = TrackedTask.objects.using(vendor.using).filter(
        pk=claim.task_id, lease=claim.lease, worker_id=claim.worker_id, stage=Stage.CLAIMED
    )
    if not vendor.locked(mine.only("pk")).first():
        raise LeaseLost(
            f"Task {claim.task_id} was revoked or given to another worker; it achieves nothing."
        )


def _deadline(deadline: datetime | timedelta | None, now: datetime) -> datetime | None:
    if deadline is None:
        return None
    if not isinstance(deadline, timedelta):
        return checked.aware(deadline, "deadline")
    length = checked.seconds(deadline, "deadline")
    if length <= 0:
        raise InvalidTask(f"deadline={deadline!r} lies in the past.", hint="Give a positive one.")
    return now + timedelta(seconds=length)


def _check_future(goal: Goal, now: datetime) -> None:
    """Refuse to begin what is missed already; asked again, a goal keeps the deadline that it has."""
    if goal.deadline is not None and goal.deadline <= now:
        raise InvalidTask(
            f"Goal {goal}: deadline={goal.deadline} lies in the past.", hint="Give a later one."
        )


def _subject(subject: models.Model | None) -> dict[str, str]:
    if subject is None:
        return {"subject_type": "", "subject_id": ""}
    if subject.pk is None:
        raise InvalidTask(f"subject={subject!r} has no primary key.", hint="Save it first.")
    return {"subject_type": subject._meta.label_lower, "subject_id": str(subject.pk)}


def _budget(value: object) -> int | None:
    if value is ...:
        return config().GOAL_MAX_ATTEMPTS
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise InvalidTask(f"max_attempts={value!r} is no positive whole number.", hint="Or None.")
