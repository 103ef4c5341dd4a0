"""Terminating again and again: what is to die dies with all that it has started, and nothing else does."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from django_tasktrack import AsyncResult, enqueue_many
from django_tasktrack.models import TrackedTask
from tests import invariants, ledger
from tests.app import hostile, tasks
from tests.exam.report import Figures
from tests.workers import wait_until, worker

REPEATS, AT_ONCE = 1000, 10
GRACE = 0.5


@pytest.mark.case(36)
@pytest.mark.long
def test_a_thousand_terminations_spare_every_sibling(book: Path, figures: Figures) -> None:
    """Half of them ignore SIGTERM, and so does what they have started: they meet SIGKILL."""
    victims: list[AsyncResult] = []
    siblings: list[AsyncResult] = []
    slowest = 0.0
    with worker("-c", str(AT_ONCE + 2), tasktrack={"TERMINATE_GRACE": GRACE}) as running:
        for number in range(REPEATS // AT_ONCE):
            calls: list[Any] = [((stubborn,), {}) for stubborn in (False, True)] * (AT_ONCE // 2)
            beside = enqueue_many(tasks.noted, [((n, 0.5), {}) for n in range(2)])
            asked = enqueue_many(hostile.starts_another, calls)
            wait_until(partial(_have_started, book, (number + 1) * AT_ONCE), timeout=30)
            began = time.monotonic()
            for result in asked:
                result.revoke(terminate=True)
            wait_until(partial(_are_final, asked), timeout=30, interval=0.02)
            slowest = max(slowest, time.monotonic() - began)
            victims += asked
            siblings += beside
        wait_until(lambda: not TrackedTask.objects.unfinished().exists(), timeout=30)
        assert running.process.poll() is None
    started = [e.note for e in ledger.read(book) if e.event == "grandchild"]
    survivors = [pid for pid in started if _sleeps(pid)]
    ended = TrackedTask.objects.filter(pk__in=[r.id for r in siblings], state="SUCCESS", attempt=1)
    figures |= {
        "terminated": len(victims),
        "siblings killed": len(siblings) - ended.count(),
        "grandchildren left": len(survivors),
        "slowest ten, s": round(slowest, 1),
    }
    assert not survivors
    assert ended.count() == len(siblings)
    terminated = TrackedTask.objects.filter(pk__in=[r.id for r in victims])
    assert set(terminated.values_list("state", flat=True)) == {"REVOKED"}
    assert slowest < GRACE + 4
    invariants.check([r.id for r in (*victims, *siblings)], book)


def _have_started(book: Path, count: int) -> bool:
    return book.exists() and book.read_text().count('"grandchild"') >= count


def _are_final(results: list[AsyncResult]) -> bool:
    return all(result.ready() for result in results)


def _sleeps(pid: int) -> bool:
    """Whether that process is still what the task has started."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and "sleep" in process.cmdline()
    except psutil.NoSuchProcess:
        return False
