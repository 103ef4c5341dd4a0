"""Receivers of all signals in a worker's processes: what they hear is noted in a file."""

from __future__ import annotations

import json
import os
import signal as signals_of_the_system
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django_tasktrack import signals
from django_tasktrack.models import TrackedTask
from django_tasktrack.pools.prefork import PreforkPool
from django_tasktrack.signals import Signal

#: Environment variables: the file, and whether the worker dies before it acknowledges any end.
BOOK, DIES = "TASKTRACK_TEST_RECEIVERS", "TASKTRACK_TEST_DIES_UNACKNOWLEDGED"


@dataclass(frozen=True, slots=True)
class Note:
    """One signal as it was heard.

    Attributes:
        name: of the signal.
        task_id: that it is about, if any.
        shown: the state that the task's row had at that moment.
        pid: the process.
        handled: the class of the exception that was being handled.
    """

    name: str
    task_id: str | None
    shown: str | None
    pid: int
    handled: str | None


def install() -> None:
    for found in vars(signals).values():
        if isinstance(found, Signal):
            found.connect(_note, weak=False)
    if os.environ.get(DIES):
        PreforkPool.acknowledge = _die  # type: ignore[method-assign, assignment]


def read(path: Path) -> list[Note]:
    """All that was heard, in the order in which it was written."""
    if not path.exists():
        return []
    return [Note(*json.loads(line)) for line in path.read_text().splitlines()]


def _note(signal: Signal, sender: Any, **given: Any) -> None:
    task_id = _task_of(given, sender)
    row = TrackedTask.objects.filter(pk=task_id).first() if task_id else None
    handled = sys.exc_info()[0]
    note = [
        signal.name, task_id, row and row.state, os.getpid(), handled and handled.__name__,
    ]  # fmt: skip
    with Path(os.environ[BOOK]).open("a") as book:
        book.write(json.dumps(note) + "\n")


def _task_of(given: dict[str, Any], sender: Any) -> str | None:
    if "task_id" in given:
        return str(given["task_id"])
    if "request" in given:
        return str(given["request"].id)
    if "headers" in given:
        return str(given["headers"]["id"])
    request = getattr(sender, "request", None)
    return str(request.id) if request and request.id else None


def _die(*_: object) -> None:
    os.kill(os.getpid(), signals_of_the_system.SIGKILL)
