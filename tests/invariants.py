"""The one checker of what must be true of the tables after whatever a test did to them.

The numbers are those that ``docs/reliability.md`` gives the invariants.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from django.db.models import F

from django_tasktrack.conf import config
from django_tasktrack.models import (
    Goal,
    GoalAttempt,
    Link,
    Progress,
    ScheduleSlot,
    StateChange,
    TrackedTask,
    Worker,
)
from django_tasktrack.states import FINAL, UNFINISHED, WAITING, Stage, State, is_legal
from tests import ledger

_WAITING_STAGES = {
    Stage.GATED,
    Stage.BLOCKED,
    Stage.SCHEDULED,
    Stage.DUE,
    Stage.HELD,
    Stage.CLAIMED,
}

#: Tasks that write "began" and "ended" in the ledger.
LEDGERED = {f"tests.app.tasks.{name}" for name in ("noted", "counts", "stumbles")}


def check(
    acknowledged: Collection[str] | None = None,
    ledger_path: Path | None = None,
    *,
    purged: int = 0,
    quiet: bool = True,
) -> None:
    """Assert every invariant over all tasks in the database.

    Args:
        acknowledged: ids whose enqueue returned from its commit: exactly these must exist.
        ledger_path: what the bodies wrote outside the database.
        purged: how many of the acknowledged were purged.
        quiet: the faults are over and the recovery bound has passed.
    """
    tasks = list(TrackedTask.objects.order_by("pk"))
    history: dict[object, list[StateChange]] = defaultdict(list)
    for change in StateChange.objects.in_order():
        history[change.task_id].append(change)
    entries = ledger.read(ledger_path) if ledger_path else []
    ran: dict[str, list[ledger.Entry]] = defaultdict(list)
    for entry in entries:
        ran[entry.task_id].append(entry)
    assert set(history) == {task.pk for task in tasks}, "history without its task, or the reverse"
    for task in tasks:
        _check_task(task, history[task.pk])
        if ledger_path:
            _check_ledger(task, history[task.pk], ran[str(task.pk)])
    if acknowledged is not None:
        _check_acknowledged(tasks, acknowledged, ran, purged)
    _check_keys(tasks)
    _check_places(tasks)
    _check_slots()
    _check_progress()
    _check_goals()
    _check_links(quiet=quiet)
    if quiet:
        _check_quiet()


def _check_task(task: TrackedTask, rows: Sequence[StateChange]) -> None:
    where = f"{task}: {[(r.seq, r.label or r.state, r.attempt, r.lease, r.reason) for r in rows]}"
    _i1_history_is_contiguous_and_legal(task, rows, where)
    _i2_final_is_final(rows, where)
    _i3_leases_rise(task, rows, where)
    _i4_counts_add_up(task, rows, where)
    _i5_ran_or_was_revoked(task, rows, where)
    times = [row.at for row in rows]
    assert times == sorted(times), f"times run backwards: {where} {times}"


def _i1_history_is_contiguous_and_legal(
    task: TrackedTask, rows: Sequence[StateChange], where: str
) -> None:
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1)), f"I1 {where}"
    previous = None
    for row in rows:
        assert is_legal(previous, row.state), f"I1 {previous} → {row.state}: {where}"
        previous = row.state
    last = rows[-1]
    assert (task.state, task.label, task.seq) == (last.state, last.label, last.seq), f"I1 {where}"
    stages = _WAITING_STAGES if task.state in WAITING else {Stage.CLAIMED}
    stages = {Stage.DONE} if task.state in FINAL else stages
    assert Stage(task.stage) in stages, f"I1 stage {task.stage}: {where}"
    assert (task.finished_at is not None) == (task.state in FINAL), f"I1 finished_at: {where}"
    assert (task.worker_id is None) or task.stage in (Stage.CLAIMED, Stage.DONE), f"I1 {where}"


def _i2_final_is_final(rows: Sequence[StateChange], where: str) -> None:
    for before, after in pairwise(rows):
        if before.state in FINAL:
            assert after.state == State.PENDING, f"I2 {where}"
            assert after.lease > before.lease, f"I2 a rerun takes a new lease: {where}"
            assert after.actor or after.reason, f"I2 a rerun that nobody answers for: {where}"


def _i3_leases_rise(task: TrackedTask, rows: Sequence[StateChange], where: str) -> None:
    leases = [row.lease for row in rows]
    assert leases == sorted(leases), f"I3 {where}"
    starts = [row.lease for row in _starts(rows)]
    assert len(starts) == len(set(starts)), f"I3 one start a lease: {where}"
    assert task.lease >= leases[-1], f"I3 {where}"


def _starts(rows: Sequence[StateChange]) -> list[StateChange]:
    """The rows at which a body began: STARTED behind something else."""
    return [
        after
        for before, after in pairwise(rows)
        if after.state == State.STARTED and before.state != State.STARTED
    ]


def _i4_counts_add_up(task: TrackedTask, rows: Sequence[StateChange], where: str) -> None:
    since_rerun = _since_rerun(rows)
    starts = len(_starts(since_rerun))
    releases = sum(
        before.state == State.STARTED and after.state == State.PENDING
        for before, after in pairwise(since_rerun)
    )
    losses = sum(row.reason.startswith("lost:") for row in since_rerun)
    claimed_only = task.stage == Stage.CLAIMED and task.state in WAITING
    assert task.attempt == starts - releases + claimed_only, f"I4 attempt {task.attempt}: {where}"
    assert task.losses == losses, f"I4 losses {task.losses}: {where}"
    assert task.crashes <= min(task.losses, config().MAX_CRASHES), f"I4 crashes: {where}"
    if task.max_attempts is not None:
        assert task.attempt - task.losses <= task.max_attempts, f"I4 too many attempts: {where}"
    if task.state in (State.STARTED, State.SUCCESS):  # Celery's: what came before this attempt
        asked = [row for row in since_rerun if row.state == State.RETRY]
        retries = len(asked) - losses
        assert task.retries == task.attempt - 1 - task.losses == retries, f"I4 retries: {where}"


def _i5_ran_or_was_revoked(task: TrackedTask, rows: Sequence[StateChange], where: str) -> None:
    if task.state in FINAL and task.state != State.REVOKED:
        assert _starts(_since_rerun(rows)), f"I5 ended, and never started: {where}"


def _since_rerun(rows: Sequence[StateChange]) -> Sequence[StateChange]:
    for index in range(len(rows) - 1, 0, -1):
        if rows[index - 1].state in FINAL:
            return rows[index:]
    return rows


def _check_ledger(
    task: TrackedTask, rows: Sequence[StateChange], entries: Sequence[ledger.Entry]
) -> None:
    where = f"{task}: {[(r.seq, r.state, r.lease) for r in rows]} ran {entries}"
    began = {entry.lease for entry in entries}
    started = {row.lease for row in _starts(rows)}
    if task.state in FINAL:
        assert began <= started, f"I5 a body ran that history does not know: {where}"
    if task.state == State.SUCCESS and task.name in LEDGERED:
        ended = {entry.lease for entry in entries if entry.event == "ended"}
        assert rows[-1].lease in ended, f"I5 SUCCESS without an end under its lease: {where}"
    if task.state == State.REVOKED and not started:
        assert not entries, f"I6 revoked before its start, and ran: {where}"


def _check_acknowledged(
    tasks: Sequence[TrackedTask],
    acknowledged: Collection[str],
    ran: dict[str, list[ledger.Entry]],
    purged: int,
) -> None:
    ids = {str(task.pk) for task in tasks}
    assert not set(ran) - set(acknowledged), "I6 something ran that was never acknowledged"
    assert ids <= set(acknowledged), "I6 rows of enqueues that were rolled back"
    states = Counter(task.state for task in tasks)
    assert sum(states.values()) + purged == len(set(acknowledged)), f"I7 lost tasks: {states}"


def _check_keys(tasks: Iterable[TrackedTask]) -> None:
    for task in tasks:
        active = None if task.state in FINAL else task.unique_key
        assert task.active_key == active, f"I8 {task}: {task.active_key!r} of {task.unique_key!r}"
    held = Counter(task.active_key for task in tasks if task.active_key is not None)
    assert not [key for key, count in held.items() if count > 1], f"I8 {held}"


def _check_places(tasks: Iterable[TrackedTask]) -> None:
    running: dict[str, list[TrackedTask]] = defaultdict(list)
    for task in tasks:
        if task.concurrency_key is not None and task.stage == Stage.CLAIMED:
            running[task.concurrency_key].append(task)
    for key, some in running.items():
        most = max(task.concurrency_limit or 0 for task in some)
        places = [task.concurrency_slot for task in some]
        assert len(some) <= most, f"I8 {len(some)} tasks of {key!r} are claimed, {most} are allowed"
        assert len(set(places)) == len(places), f"I8 places of {key!r}: {places}"
        assert None not in places, f"I8 a task of {key!r} was claimed past its limit"


def _check_slots() -> None:
    slots = list(ScheduleSlot.objects.values_list("schedule_id", "slot", "task_id", "joined"))
    per_slot = Counter((schedule, slot) for schedule, slot, _, _ in slots)
    assert not [slot for slot, count in per_slot.items() if count > 1], f"I8 {per_slot}"
    enqueued = [task_id for _, _, task_id, joined in slots if not joined]
    assert len(enqueued) == len(set(enqueued)), "I8 one task for two slots"
    first = StateChange.objects.filter(seq=1, actor__startswith="schedule:")
    assert set(first.values_list("task_id", flat=True)) <= set(enqueued), (
        "I8 a task without its slot"
    )


def _check_progress() -> None:
    ahead = Progress.objects.filter(lease__gt=F("task__lease")).count()
    assert not ahead, "I9 progress under a lease that was never given"


class ProgressWatch:
    """I9 as it happens, for loads whose tasks report rising numbers: each look must find no less.

    A row keeps its newest report alone, so that a late one which has replaced it leaves no other trace.
    """

    def __init__(self) -> None:
        self.rises = 0
        self._seen: dict[object, tuple[int, float]] = {}

    def look(self) -> None:
        """Compare with what was there before."""
        for task_id, lease, current in Progress.objects.values_list("pk", "lease", "current"):
            before, now = self._seen.get(task_id, (0, 0.0)), (lease, current or 0.0)
            assert now >= before, (
                f"I9 progress of {task_id} fell: {before} to {now} (lease, current)"
            )
            self.rises += now > before
            self._seen[task_id] = now


def _check_goals() -> None:
    for goal in Goal.objects.prefetch_related("attempt_set"):
        attempts = list(goal.attempt_set.all())
        _i9_goal_is_the_fold_of_its_attempts(goal, attempts)


def _i9_goal_is_the_fold_of_its_attempts(goal: Goal, attempts: Sequence[GoalAttempt]) -> None:
    where = f"I9 {goal} {goal.state}: {[(a.number, a.state) for a in attempts]}"
    assert [attempt.number for attempt in attempts] == list(range(1, goal.attempts + 1)), where
    live = [attempt for attempt in attempts if attempt.state not in FINAL]
    if goal.state == Goal.State.ACTIVE:
        assert len(live) == 1, where
        assert live[0] == attempts[-1], where
    if goal.state == Goal.State.OPEN:
        assert not live, where
    if goal.state == Goal.State.FAILED:
        assert goal.max_attempts is not None, where
        assert goal.attempts >= goal.max_attempts, where
    assert (goal.settled_at is None) == goal.is_unmet, where
    for attempt in attempts:
        task = TrackedTask.objects.filter(pk=attempt.task_id).first()
        assert task is None or task.state == attempt.state, f"{where} but {task} is {task.state}"


def _check_links(*, quiet: bool) -> None:
    links = Link.objects.filter(state=Link.State.OPEN)
    waited_for = set(links.exclude(successor=None).values_list("successor_id", flat=True))
    unfinished = TrackedTask.objects.filter(state__in=UNFINISHED)
    blocked = set(unfinished.filter(stage=Stage.BLOCKED).values_list("pk", flat=True))
    free = set(unfinished.exclude(stage=Stage.BLOCKED).values_list("pk", flat=True))
    assert blocked <= waited_for, f"I11 they wait for nothing: {blocked - waited_for}"
    assert not free & waited_for, f"I11 they do not wait for what they should: {free & waited_for}"
    if quiet:
        ended = links.filter(task__stage=Stage.DONE)
        assert not ended.exists(), f"I11 ends that nobody has followed up: {list(ended)}"


def _check_quiet() -> None:
    alive = Worker.objects.alive().values("pk")
    orphans: Iterable[TrackedTask] = TrackedTask.objects.filter(stage=Stage.CLAIMED).exclude(
        worker__in=alive
    )
    assert not list(orphans), "I10 tasks under a lease that was lost"
