"""A ledger outside the database: what really ran, written by the bodies themselves."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django_tasktrack import context

PATH = "TASKTRACK_TEST_LEDGER"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: what one attempt of a task did."""

    event: str
    task_id: str
    attempt: int
    lease: int
    pid: int
    note: Any = None


def write(event: str, note: Any = None) -> None:
    """Append a line for the running task: one write that cannot be torn, and is on the disk after it."""
    running = context.require("the ledger")
    claim = running.claim
    entry = [event, str(claim.task_id), claim.attempt, claim.lease, os.getpid(), note]
    descriptor = os.open(os.environ[PATH], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, json.dumps(entry).encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path) -> list[Entry]:
    """All lines, in the order in which they were written."""
    if not path.exists():
        return []
    return [Entry(*json.loads(line)) for line in path.read_text().splitlines()]
