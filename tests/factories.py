"""Rows for tests, made through the write door, so that their history is true."""

from __future__ import annotations

import os
import time
from typing import Any

from django.db import connection
from django.utils import timezone

from django_tasktrack import goal_writes, liveness, outcomes, transitions
from django_tasktrack.changes import Change, NewTask, ProgressWrite
from django_tasktrack.ids import new_id
from django_tasktrack.models import Goal, Schedule, TrackedTask, Worker
from django_tasktrack.outcomes import Claim, Outcome
from django_tasktrack.payloads import encode
from django_tasktrack.schedules import planning
from django_tasktrack.states import State
from django_tasktrack.vendors import Vendor, task_database, vendor_for

NAME = "tests.app.tasks.work"


def make_worker(**values: Any) -> Worker:
    now = timezone.now()
    given = {"name": "w1@host", "host": "host", "pid": 42, "pool": "prefork", "concurrency": 4}
    times = {"started_at": now, "heartbeat_at": now}
    row = Worker.objects.create(**{"can_terminate": True, **given, **times, **values})
    # A process that was killed before its row was committed may have taken the number.
    locks = liveness._locks_of(connection)
    if locks and row.pk not in locks._mine:
        os.pwrite(locks._descriptor, b"\0", row.pk)
    return row


def make_goal(**values: Any) -> Goal:
    given = {"kind": "invoice.delivered", "key": "INV-42", "task_name": NAME}
    return Goal.objects.create(**{**given, "created_at": timezone.now(), **values})


def make_schedule(**values: Any) -> Schedule:
    """A row as a person makes it; planned from now on, unless ``next_at`` says otherwise."""
    given = {"name": "nightly", "task": "tests.app.tasks.echo", "timing": "every 60 s", **values}
    row = Schedule(**given)
    if "next_at" not in given:
        planning.plan(row, vendor_for(task_database()).now())
    row.save()
    return row


def new_task(**values: Any) -> NewTask:
    """A task to insert; ``args`` and ``kwargs`` are values here."""
    args, kwargs = values.pop("args", []), values.pop("kwargs", {})
    given = {"task_id": new_id(), "name": NAME, "queue": "default", **values}
    return NewTask(args=encode(args, "args"), kwargs=encode(kwargs, "kwargs"), **given)


def make_task(
    state: str = State.PENDING,
    *,
    worker: Worker | None = None,
    goal: Goal | None = None,
    progress: tuple[float, float, str] | None = None,
    result: object = None,
    error: BaseException | None = None,
    **values: Any,
) -> TrackedTask:
    """A task in ``state``, as enqueueing, claiming and settling leave it.

    Args:
        state: where its life has come to.
        worker: who runs it; by default one of its own.
        goal: the goal that it serves.
        progress: current, total and message, where it has run.
        result: of a SUCCESS.
        error: of a FAILURE or RETRY.
        **values: of ``NewTask``.
    """
    vendor = vendor_for(task_database())
    new = new_task(goal_id=goal.pk if goal else None, **values)
    transitions.enqueue([new])
    if goal:
        goal_writes.began(vendor, goal, new, vendor.now())
    if state == State.REVOKED:
        transitions.revoke([new.task_id], reason="not wanted", actor="user:boss")
    elif state != State.PENDING:
        claim = _claim(vendor, new, worker or make_worker())
        _run(vendor, claim, State(state), progress, _outcome(state, result, error))
    return TrackedTask.objects.get(pk=new.task_id)


def _claim(vendor: Vendor, new: NewTask, worker: Worker) -> Claim:
    claims = transitions.claim(vendor, worker.pk, [new.queue], [new.name], 10_000)
    mine = {claim.task_id: claim for claim in claims}.pop(new.task_id)
    transitions.unclaim(vendor, [claim for claim in claims if claim is not mine])
    return mine


def _run(
    vendor: Vendor,
    claim: Claim,
    state: State,
    progress: tuple[float, float, str] | None,
    outcome: Outcome | None,
) -> None:
    began = time.monotonic()
    transitions.settle(vendor, [transitions.started(claim, began)])
    if progress:
        current, total, message = progress
        write = ProgressWrite(claim.task_id, claim.lease, current, total, message, None)
        vendor.write_progress([write])
    if outcome:
        assert outcome.transition.target is state
        transitions.settle(vendor, [Change.of_outcome(claim, outcome, began, time.monotonic())])


def _outcome(state: str, result: object, error: BaseException | None) -> Outcome | None:
    raised = error or ValueError("no such invoice")
    match state:
        case State.SUCCESS:
            return outcomes.succeeded(encode(result, "result"))
        case State.FAILURE:
            return outcomes.failed(raised)
        case State.RETRY:
            return outcomes.retry_later(raised, 60.0)
    return None
