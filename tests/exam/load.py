"""The load that faults are laid under, and what the ledger says of it afterwards."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

import psutil

from django_tasktrack import AsyncResult, enqueue_many
from django_tasktrack.models import TrackedTask
from django_tasktrack.states import Stage
from tests import ledger
from tests.app import tasks
from tests.workers import WorkerProcess, wait_until


def put(count: int, seed: int) -> list[AsyncResult]:
    """So many tasks of 10 to 50 ms that write in the ledger."""
    chance = random.Random(seed)
    return enqueue_many(tasks.noted, [((n, chance.uniform(0.01, 0.05)), {}) for n in range(count)])


def is_done(but: Sequence[str] = ()) -> bool:
    """Whether every task has ended, but for these."""
    return not TrackedTask.objects.unfinished().exclude(pk__in=but).exists()


def began(book: Path) -> int:
    """How many bodies have begun; asked often, so it does not parse the lines."""
    return book.read_bytes().count(b'["began", ') if book.exists() else 0


def ended(book: Path) -> int:
    """How many have come to their end."""
    return book.read_bytes().count(b'["ended", ') if book.exists() else 0


def done(book: Path) -> int:
    """Tasks that have come to their end, not runs of them: what is done twice is no throughput."""
    return len({entry.task_id for entry in ledger.read(book) if entry.event == "ended"})


def claims_of(worker_ids: Iterable[int]) -> dict[UUID, int]:
    """What these workers hold: task → lease."""
    held = TrackedTask.objects.filter(stage=Stage.CLAIMED, worker__in=list(worker_ids))
    return dict(held.values_list("pk", "lease"))


def held_by(processes: Iterable[WorkerProcess]) -> dict[UUID, int]:
    """What these workers hold under the rows that they have now: task → lease."""
    return claims_of(process.row.pk for process in processes if process.row)


def are_taken_up(orphans: dict[UUID, int]) -> bool:
    """Whether each of these was claimed anew, or has ended."""
    rows = TrackedTask.objects.unfinished().filter(pk__in=list(orphans))
    return not any(lease == orphans[pk] for pk, lease in rows.values_list("pk", "lease"))


def runs_beyond_one(book: Path) -> dict[str, int]:
    """Tasks whose body began more than once: task → how often more."""
    runs = Counter(entry.task_id for entry in ledger.read(book) if entry.event == "began")
    return {task_id: count - 1 for task_id, count in runs.items() if count > 1}


def unexplained(again: Mapping[str, int], *in_flight: Iterable[UUID]) -> Counter[str]:
    """Runs beyond one that should not have been: a fault explains one more of what was in flight at it.

    Args:
        again: what ``runs_beyond_one`` has found.
        in_flight: for each fault, the tasks that were claimed then by those whom it hit.
    """
    return Counter(again) - Counter(str(task_id) for held in in_flight for task_id in held)


def lost(results: Sequence[AsyncResult]) -> int:
    """How many of these have not come to SUCCESS."""
    ids = [result.id for result in results]
    return len(ids) - TrackedTask.objects.filter(pk__in=ids, state="SUCCESS").count()


def kill_together(processes: Iterable[WorkerProcess], *, busy: bool = False) -> dict[UUID, int]:
    """End workers like one power cut: none lives to see another's death.

    Args:
        processes: the workers.
        busy: not before each of them holds something.

    Returns:
        What they held at that moment: task → lease.

    Raises:
        AssertionError: one of them has nothing to do.
    """
    processes = list(processes)
    if busy:
        return wait_until(lambda: _killed_at_work(processes), what="a moment at which all work")
    with standing_still(*processes):
        return _kill(processes)


def _killed_at_work(processes: Sequence[WorkerProcess]) -> dict[UUID, int]:
    """Kill them if each holds something; else let them go on, and return nothing."""
    with standing_still(*processes):
        return _kill(processes) if all(held_by([process]) for process in processes) else {}


def _kill(processes: Sequence[WorkerProcess]) -> dict[UUID, int]:
    held = held_by(processes)
    for process in processes:
        process.kill_tree()
    return held


@contextmanager
def standing_still(*processes: WorkerProcess) -> Iterator[None]:
    """None of these workers does anything while the block lasts, so that all that runs in them can be asked
    for; what stood still before does so afterwards."""
    moving = [member for process in processes for member in process.tree() if _moves(member)]
    _do_to_all(moving, psutil.Process.suspend)
    try:
        yield
    finally:
        _do_to_all(moving, psutil.Process.resume)


def _moves(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_STOPPED)
    return False


def _do_to_all(processes: Iterable[psutil.Process], act: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            act(process)
