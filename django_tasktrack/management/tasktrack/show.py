"""``tasktrack show``: one task with its history."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from ... import doctor
from ...models import StateChange, TrackedTask
from ...result import missing_states
from ...states import FINAL
from ...vendors import Vendor, task_database, vendor_for
from ...words import clock, span
from . import documents, selection
from .blocks import Bar, Block, Cell, Column, Heading, Pairs, Table, Word, line, toned
from .console import Console
from .tables import amount_of, findings, ran, worker_name
from .verb import DONE, NO, Options, Verb

#: Rows of history that are shown; of a longer one the latest.
_MOST = 200
_HISTORY = (
    Column("", right=True),
    Column("state"),
    Column("at"),
    Column("after", right=True),
    Column("att", right=True),
    Column("by", gives=True),
    Column("why", gives=True, folds=True),
)


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="its first eight digits or more will do")


def _run(options: Options, console: Console) -> int:
    vendor = vendor_for(task_database())
    task_id = selection.one_id(vendor, options["id"])
    task = selection.with_relations(vendor, task_id)
    if task is None:
        return missing(task_id, console)
    changes = history(vendor, task)
    document = {**documents.whole_task(task), "history": [documents.change(row) for row in changes]}
    console.give(document, *_blocks(vendor, task, changes))
    return DONE


def missing(task_id: UUID, console: Console) -> int:
    """Say that there is no such task, or no longer."""
    state = missing_states([task_id])[str(task_id)]
    found = doctor.explain_missing(state)
    console.give({"id": task_id, "state": state}, findings([found]))
    return NO


def history(vendor: Vendor, task: TrackedTask) -> list[StateChange]:
    """The latest rows of its history, in order."""
    rows = StateChange.objects.using(vendor.using).filter(task_id=task.pk).select_related("worker")
    return list(rows.order_by("-seq")[:_MOST])[::-1]


def _blocks(vendor: Vendor, task: TrackedTask, changes: Sequence[StateChange]) -> Iterator[Block]:
    now = vendor.now()
    yield line(Word(task.name, "strong"), toned(task.state, task.shown_state))
    yield Pairs([(Word(name, "quiet"), cell) for name, cell in _pairs(task, now) if cell])
    if task.state not in FINAL:
        yield Heading("Why it is where it is")
        yield findings(doctor.explain(vendor, task, now))
    yield Heading("History")
    yield history_table(changes)
    if task.traceback:
        yield Heading("Traceback")
        yield line(task.traceback.rstrip())


def _pairs(task: TrackedTask, now: datetime) -> Iterator[tuple[str, Cell]]:
    yield "id", str(task.pk)
    yield "args", as_json(task.args) if task.args else ""
    yield "kwargs", as_json(task.kwargs) if task.kwargs else ""
    yield "queue", f"{task.queue}, priority {task.priority}" if task.priority else task.queue
    yield "attempt", _attempt(task)
    yield "worker", worker_name(task)
    yield "owner", task.owner
    yield "unique key", task.unique_key or ""
    yield "created", clock(task.created_at)
    yield "due", clock(task.run_after) if task.run_after > task.created_at else ""
    yield "expires", clock(task.expires_at)
    yield "started", clock(task.started_at)
    yield "finished", clock(task.finished_at)
    length = ran(task, now)
    yield "ran", "" if length is None else span(length)
    progress = task.shown_progress
    if progress is not None:
        yield "progress", Bar(progress.percent) if progress.percent is not None else ""
        yield "", " ".join([amount_of(progress.current, progress.total), progress.message]).strip()
    yield "result", as_json(task.result) if task.result is not None else _gone(task)
    error = f"{task.error_type}: {task.error_message}" if task.error_type else ""
    yield "error", Word(error, "bad") if error else ""
    yield "goal", str(task.goal) if task.goal_id and task.goal else ""


def _gone(task: TrackedTask) -> str:
    at = task.result_expired_at
    return f"expired; it was kept until {clock(at)}" if at else ""


def _attempt(task: TrackedTask) -> str:
    if not task.attempt:
        return ""
    allowed = "" if task.max_attempts is None else f" of {task.max_attempts}"
    losses = f", {task.losses} lost" if task.losses else ""
    return f"{task.attempt}{allowed}{losses}"


def history_table(changes: Sequence[StateChange]) -> Table:
    """Rows of history, each with the time since the one before."""
    rows: list[list[Cell]] = []
    for before, row in zip([None, *changes], changes, strict=False):
        worker = row.worker.name if row.worker_id and row.worker else ""
        error = (
            f"{row.error_type}: {row.error_message}".partition("\n")[0] if row.error_type else ""
        )
        rows.append(
            [
                str(row.seq),
                toned(row.state, row.label or row.state),
                clock(row.at),
                span(row.at - before.at) if before else "",
                str(row.attempt or ""),
                row.actor or worker,
                ". ".join(filter(None, [row.reason, error])),
            ]
        )
    return Table(_HISTORY, rows)


def as_json(value: Any) -> str:
    """A value on one line."""
    return json.dumps(value, ensure_ascii=False)


VERB = Verb("show", "one task with its history", _arguments, _run)
