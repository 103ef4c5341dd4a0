"""Workers whose clock is wrong: the database's decides."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.db import connection  # noqa: F401  for the marks

from django_tasktrack.models import Worker
from tests import invariants, ledger
from tests.app import tasks
from tests.exam.report import Figures
from tests.live.test_main_job import story
from tests.workers import worker


def _clock(offset: str) -> dict[str, str]:
    """The environment of a process whose clock is wrong by so much; its monotonic one runs as ever."""
    libfaketime = pytest.importorskip(
        "libfaketime", reason="pip install libfaketime, which needs a C compiler"
    )
    return {
        **libfaketime.get_reload_information()[1],
        "FAKETIME": offset,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }


@pytest.mark.case(46)
@pytest.mark.skipif(
    "connection.vendor == 'sqlite'", reason="an embedded database has the clock of its process"
)
def test_workers_an_hour_ahead_and_behind_start_nothing_early_and_rescue_nobody(
    book: Path, figures: Figures
) -> None:
    with (
        worker("-n", "ahead", "-c", "1", env=_clock("+1h")) as ahead,
        worker("-n", "behind", "-c", "1", env=_clock("-1h")) as behind,
    ):
        later = [tasks.noted.apply_async((n,), countdown=3, expires=600) for n in range(10)]
        running = [tasks.noted.delay(100 + n, seconds=8) for n in range(2)]
        hourly = tasks.noted.apply_async((7,), countdown=1800)
        for result in (*later, *running):
            result.get(timeout=40)
        assert _shows_wrong_time(ahead.output, behind.output)
        kept = {row.worker.name for result in later for row in result.history() if row.worker}
    early = 0
    for result in later:
        enqueued, began = (row.at for row in result.history()[:2])
        early += (began - enqueued).total_seconds() < 3
    figures |= {"early": early, "false rescues": Worker.objects.exclude(lost_at=None).count()}
    assert not early
    assert not figures["false rescues"]
    assert kept <= {"ahead", "behind"}
    assert {tuple(story(result)) for result in running} == {("PENDING", "STARTED", "SUCCESS")}
    assert hourly.state == "PENDING"
    assert hourly.id not in {entry.task_id for entry in ledger.read(book)}
    invariants.check([r.id for r in (*later, *running, hourly)], book)


def _shows_wrong_time(ahead: str, behind: str) -> bool:
    """Whether the logs are two hours apart: else nothing is proved."""
    first, second = (int(text.partition(" ")[2][:2]) for text in (ahead, behind))
    return (first - second) % 24 == 2
