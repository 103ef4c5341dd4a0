"""A worker that was frozen until others had its tasks: what it still says, and how much of that is taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import psutil

from django_tasktrack.models import Progress, StateChange, TrackedTask
from tests.workers import WorkerProcess, wait_until

#: What the table calls the number that must be 0.
ACCEPTED = "zombie writes accepted"


def rows() -> frozenset[str]:
    """All that an attempt can change: each row, as a text."""
    tables = (TrackedTask.objects.all(), StateChange.objects.all(), Progress.objects.all())
    return frozenset(repr(row) for table in tables for row in table.values())


def accepted_since(before: frozenset[str]) -> int:
    """How many rows are new, or not what they were."""
    return len(rows() - before)


@contextmanager
def held_still(pids: Iterable[int]) -> Iterator[None]:
    """These bodies neither end nor report meanwhile: what changes was somebody else.

    Their worker lives, and their tasks are STARTED. In that state an end is welcome; that it comes from
    the wrong one is all that can refuse it.
    """
    bodies = [psutil.Process(pid) for pid in pids]
    for body in bodies:
        body.suspend()
    try:
        yield
    finally:
        for body in bodies:
            body.resume()


def freeze(worker: WorkerProcess) -> None:
    """SIGSTOP to all of its processes."""
    for process in worker.tree():
        process.suspend()


def wake(worker: WorkerProcess, has_ended: Callable[[], object]) -> float:
    """SIGCONT to all of its processes, in the order that is best for the zombie: its bodies come to their
    ends, then it hears of them, and only then is there somebody to tell it that it was lost.

    Args:
        worker: the frozen one.
        has_ended: whether those bodies have that say so.

    Returns:
        The moment at which the worker itself woke.
    """
    parent, *others = worker.tree()
    heartbeat = min(parent.children(), key=lambda process: process.pid)  # it forks that one first
    for process in others:
        if process != heartbeat:
            process.resume()
    wait_until(has_ended, what="the ends of the zombie's bodies", interval=0.01)
    time.sleep(0.5)  # the others are over by then too
    parent.resume()
    woken = time.monotonic()
    time.sleep(0.3)
    heartbeat.resume()
    return woken


def last_words(worker: WorkerProcess) -> str:
    """What it said before it knew that it was lost. An end that stands here was given to the database:
    the same turn of the engine says it and writes it."""
    said, lost, _ = worker.output.partition("This worker was lost")
    assert lost, "it does not know yet"
    return said
