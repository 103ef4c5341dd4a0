"""What rows look like in the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from ...adaptation import wish_of
from ...doctor import Finding, Level
from ...models import TrackedTask, Worker
from ...overview.fleet import Member
from ...states import FINAL, WAITING, Stage, State
from ...words import amount, brief, span
from .blocks import Bar, Cell, Column, Pairs, Table, Word, toned

_TASKS = (
    Column("id"),
    Column("state"),
    Column("task", gives=True, from_left=True),
    Column("queue", wide=True),
    Column("prio", right=True, wide=True),
    Column("att", right=True, wide=True),
    Column("done", right=True, narrow=True),
    Column("age", right=True),
    Column("time", right=True, wide=True),
    Column("progress", wide=True),
    Column("note", wide=True, gives=True),
)


def task_table(tasks: Iterable[TrackedTask], now: datetime) -> Table:
    """Tasks, one a row; ``time`` is how long the latest attempt has run, or ran."""
    return Table(_TASKS, [_task_row(task, now) for task in tasks])


def _task_row(task: TrackedTask, now: datetime) -> list[Cell]:
    shown = task.shown_progress if task.state == State.STARTED else None
    return [
        str(task.pk),
        toned(task.state, task.shown_state),
        task.name,
        task.queue,
        str(task.priority or ""),
        str(task.attempt if task.attempt > 1 else ""),
        Bar(shown.percent).text if shown else "",
        brief(max(timedelta(0), now - task.created_at)),
        "" if (length := ran(task, now)) is None else brief(length),
        Bar(shown.percent) if shown else "",
        Word(_note(task, now), "quiet"),
    ]


def ran(task: TrackedTask, now: datetime) -> timedelta | None:
    """How long the latest attempt has run, or ran."""
    if task.started_at is None:
        return None
    end = now if task.state == State.STARTED else task.finished_at
    return None if end is None else max(timedelta(0), end - task.started_at)


def _note(task: TrackedTask, now: datetime) -> str:
    """Why a task is where it is, in a few words."""
    if task.state in FINAL:
        return _error(task)
    if task.revoke_requested_at:
        return "asked to end"
    if task.stage == Stage.CLAIMED:
        return _in_hand(task)
    left = task.run_after - now
    later = task.stage == Stage.SCHEDULED and left > timedelta(0)
    when = f"in {span(left)}" if later else _WAITS.get(Stage(task.stage), "")
    return ", ".join(filter(None, [when, _error(task)]))


_WAITS = {
    Stage.HELD: "held: no worker knows it",
    Stage.BLOCKED: "waits for others",
    Stage.GATED: "waits for a limit",
}


def _error(task: TrackedTask) -> str:
    """What was raised last, on a line."""
    kind = task.error_type.rpartition(".")[2]
    return ": ".join(filter(None, [kind, task.error_message.partition("\n")[0]]))


def _in_hand(task: TrackedTask) -> str:
    """Who has claimed it, and what it says."""
    if task.state in WAITING:
        return f"claimed by {worker_name(task)}"
    progress = task.shown_progress
    return ": ".join(filter(None, [worker_name(task), progress.message if progress else ""]))


def worker_name(task: TrackedTask) -> str:
    """The worker that has the task, or had it last."""
    if task.worker_id is None:
        return ""
    return task.worker.name if task.worker else f"worker {task.worker_id}"


_WORKERS = (
    Column("id", right=True),
    Column("worker", gives=True),
    Column("condition"),
    Column("sign", right=True),
    Column("busy", right=True),
    Column("queues", gives=True),
    Column("pool", wide=True),
    Column("version", wide=True),
    Column("process", wide=True),
    Column("up", right=True, wide=True),
)


def worker_table(workers: Iterable[Member], now: datetime) -> Table:
    """Workers, one a row; ``sign`` is the time since the last sign of life."""
    return Table(_WORKERS, [_worker_row(member, now) for member in workers])


def _worker_row(member: Member, now: datetime) -> list[Cell]:
    row = member.row
    return [
        str(row.pk),
        row.name,
        toned(member.condition),
        brief(member.silence),
        _places(member),
        _with_wish(str(row.served), str(wish_of(row).served)),
        row.pool,
        row.version,
        f"{row.pid} on {row.host}",
        brief(max(timedelta(0), (_end(row) or now) - row.started_at)),
    ]


def _places(member: Member) -> str:
    ahead = member.holds - member.busy
    row = member.row
    places = _with_wish(str(row.concurrency), str(wish_of(row).concurrency))
    return f"{member.busy} of {places}{f' +{ahead}' if ahead else ''}"


def _with_wish(now: str, wanted: str) -> str:
    """What it is, and what it was asked to become."""
    return now if wanted == now else f"{now} -> {wanted}"


def _end(row: Worker) -> datetime | None:
    return row.stopped_at or row.lost_at


_SIGNS = {Level.GOOD: "ok", Level.NOTE: "-", Level.WARNING: "warning", Level.PROBLEM: "PROBLEM"}


def findings(found: Iterable[Finding]) -> Pairs:
    """What the doctor has found, each with its remedy below."""
    rows: list[tuple[Cell, Cell]] = []
    for one in found:
        rows.append((toned(one.level.name, _SIGNS[one.level]), one.text))
        if one.hint:
            rows.append(("", Word(one.hint, "quiet")))
    return Pairs(rows)


def amount_of(current: float | None, total: float | None) -> str:
    """How much of how much."""
    done = "" if current is None else amount(current)
    return f"{done} of {amount(total)}" if total is not None else done
