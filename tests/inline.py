"""A worker without processes: claims, runs and settles in the calling thread, step by step."""

from __future__ import annotations

import time
from collections.abc import Sequence
from uuid import UUID

from django_tasktrack import registry, runner, transitions
from django_tasktrack.changes import Change, NewTask, ProgressWrite, Written
from django_tasktrack.models import StateChange, TrackedTask
from django_tasktrack.outcomes import Claim, Outcome, Report
from django_tasktrack.vendors import Vendor, task_database, vendor_for

from . import databases
from .factories import make_worker, new_task

#: Which vendors there are to try: on all but PostgreSQL the portable one is the database's own.
VENDORS = ("own", "portable") if databases.kind() == "postgresql" else ("own",)


def the_vendor(kind: str = "own") -> Vendor:
    """The database's own vendor, or the portable one."""
    return vendor_for(task_database()) if kind == "own" else Vendor(task_database())


def enqueue(**values: object) -> NewTask:
    """Insert one task; ``values`` are those of ``factories.new_task``."""
    new = new_task(**values)
    transitions.enqueue([new])
    return new


def claim_all(worker_id: int, limit: int = 100, names: Sequence[str] | None = None) -> list[Claim]:
    return transitions.claim(the_vendor(), worker_id, [], names or registry.names(), limit)


def claimed(worker_id: int | None = None, **values: object) -> Claim:
    """Insert one task and claim it."""
    new = enqueue(**values)
    worker_id = make_worker().pk if worker_id is None else worker_id
    found = {claim.task_id: claim for claim in claim_all(worker_id, names=[new.name])}
    return found[new.task_id]


def running(worker_id: int | None = None, **values: object) -> Claim:
    """Insert one task, claim it and record that its body began."""
    claim = claimed(worker_id, **values)
    begin(claim)
    return claim


def begin(claim: Claim, ago: float = 1.0) -> Written:
    return transitions.settle(the_vendor(), [transitions.started(claim, time.monotonic() - ago)])


def finish(claim: Claim, outcome: Outcome, began_ago: float = 1.0) -> Written:
    now = time.monotonic()
    change = Change.of_outcome(claim, outcome, began=now - began_ago, ended=now)
    return transitions.settle(the_vendor(), [change])


def run(claim: Claim) -> Outcome:
    """Run the body; its progress is written at once, as far as the lease allows."""

    def send(report: Report) -> None:
        write = ProgressWrite(claim.task_id, claim.lease, *report[:4])
        the_vendor().write_progress([write])
        if report.label is not None:
            now = time.monotonic()
            relabel = transitions.relabelled(claim, report.label, began=now, at=now)
            transitions.settle(the_vendor(), [relabel])

    return runner.run(claim, "inline@host", send, lambda: is_revoked(claim))


def is_revoked(claim: Claim) -> bool:
    return bool(row(claim.task_id).revoke_requested_at)


def work(rounds: int = 1, worker_id: int | None = None) -> list[Outcome]:
    """Do what is due, as a worker would; ``rounds`` times, for retries without a delay."""
    worker_id = make_worker().pk if worker_id is None else worker_id
    outcomes = []
    for _ in range(rounds):
        for claim in claim_all(worker_id):
            outcomes.append(run(claim))
            finish(claim, outcomes[-1])
    return outcomes


def row(task_id: UUID | str) -> TrackedTask:
    return TrackedTask.objects.get(pk=task_id)


def history(task_id: UUID | str) -> list[StateChange]:
    return list(StateChange.objects.filter(task_id=UUID(str(task_id))).in_order())


def story(task_id: UUID | str) -> list[str]:
    """The states that history shows, oldest first."""
    return [change.state for change in history(task_id)]
