"""SIGTERM at every moment of a worker's life: nothing is lost, nothing runs twice, nothing stays claimed."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from django.db import connection

from django_tasktrack import enqueue_many
from django_tasktrack.models import TrackedTask, Worker
from django_tasktrack.states import Stage
from tests import invariants, ledger
from tests.app import tasks
from tests.exam import load
from tests.exam.report import Figures
from tests.live.test_main_job import story
from tests.workers import WorkerProcess, lives, wait_until, worker

#: What is granted to a busy machine beyond a bound, in seconds.
SLACK = 3.0


def _until_it_ends(running: WorkerProcess, timeout: float) -> float:
    """Seconds until the worker has ended with code 0, with nothing left of it and of its claims."""
    tree, asked = running.tree(), time.monotonic()
    assert running.wait(timeout) == 0
    seconds = time.monotonic() - asked
    wait_until(lambda: not any(map(lives, tree)), timeout=2)
    assert not TrackedTask.objects.filter(stage=Stage.CLAIMED).exists(), "rows are released"
    assert not Worker.objects.alive().exists()
    return seconds


@pytest.mark.case(12)
@pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "asyncio"])
def test_after_sigterm_nothing_is_claimed_and_all_that_runs_ends(
    pool: str, book: Path, figures: Figures
) -> None:
    running = [tasks.noted.delay(n, seconds=1) for n in range(8)]
    with worker("-P", pool, "-c", "2") as stopping:
        wait_until(lambda: ledger.read(book))
        stopping.terminate()
        later = [tasks.noted.delay(n, seconds=1) for n in range(8, 12)]
        figures[f"stopped after, s ({pool})"] = round(_until_it_ends(stopping, 6), 1)
    entries = ledger.read(book)
    began, ended = ({e.task_id for e in entries if e.event == what} for what in ("began", "ended"))
    assert began == ended, "all that had begun has ended"
    assert not began & {result.id for result in later}, "nothing was claimed after"
    for result in (*running, *later):
        assert result.state == ("SUCCESS" if result.id in ended else "PENDING")
    assert not TrackedTask.objects.filter(state="PENDING", attempt__gt=0).exists()
    invariants.check([result.id for result in (*running, *later)], book)


@pytest.mark.case(13)
@pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "asyncio"])
def test_at_the_grace_a_long_task_is_given_back_and_starts_elsewhere(
    pool: str, book: Path, figures: Figures
) -> None:
    endless = tasks.noted.delay(1, seconds=60)
    with worker("-P", pool, "-c", "1", tasktrack={"GRACE": 2}) as stopping:
        wait_until(lambda: endless.state == "STARTED")
        with worker("-n", "next", "-c", "1", tasktrack={"GRACE": 0}):
            asked = time.monotonic()
            stopping.terminate()
            assert stopping.wait(10) == 0
            stopped = time.monotonic() - asked
            wait_until(lambda: len(endless.history()) >= 4, timeout=10)
    began, returned, again = endless.history()[1:4]
    assert story(endless)[:4] == ["PENDING", "STARTED", "PENDING", "STARTED"]
    assert [row.attempt for row in (began, returned, again)] == [1, 0, 1]
    restarted = (again.at - returned.at).total_seconds()
    figures[f"stopped after, s, of 2 ({pool})"] = round(stopped, 1)
    figures[f"restarted after, s ({pool})"] = round(restarted, 2)
    assert 2 <= stopped <= 2 + SLACK, "at the grace"
    assert restarted <= 2
    invariants.check([endless.id], book)


@pytest.mark.case(14)
@pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "asyncio"])
def test_the_second_sigterm_releases_everything_at_once(
    pool: str, book: Path, figures: Figures
) -> None:
    endless = [tasks.noted.delay(n, seconds=60) for n in range(4)]
    with worker("-P", pool, "-c", "2", tasktrack={"GRACE": 60}) as stopping:
        wait_until(lambda: ledger.read(book))
        stopping.terminate()
        time.sleep(1.2)
        stopping.terminate()
        stopped = _until_it_ends(stopping, 10)
    figures[f"stopped after, s ({pool})"] = round(stopped, 1)
    assert stopped <= 1 + SLACK
    assert {result.state for result in endless} == {"PENDING"}
    assert set(TrackedTask.objects.values_list("attempt", flat=True)) == {0}
    invariants.check([result.id for result in endless], book)


_BOOTING = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.3]


@pytest.mark.case(15)
@pytest.mark.parametrize(
    ("signum", "delay"),
    [
        pytest.param(signum, delay, marks=[] if delay in quick else [pytest.mark.long])
        for signum, quick in ((signal.SIGTERM, (0.2, 0.8)), (signal.SIGINT, (0.6,)))
        for delay in _BOOTING
    ],
)
def test_a_signal_while_the_worker_starts_ends_it(
    signum: signal.Signals, delay: float, book: Path
) -> None:
    waiting = tasks.noted.delay(1, seconds=0.2)
    with worker(wait=False) as starting:
        time.sleep(delay)
        starting.process.send_signal(signum)
        with suppress(AssertionError):
            starting.wait(4)
        if "KeyboardInterrupt" in starting.output:
            # Until the worker's own code runs, the handler is Python's, and one in a finalizer is dropped.
            starting.process.send_signal(signum)
        code = starting.wait(6)
        assert code in (0, -signum, 130, 1), starting.output
        wait_until(lambda: not starting.tree(), timeout=3)
        if "is ready" in starting.output:
            assert code == 0
    assert waiting.state in ("PENDING", "SUCCESS")
    assert [entry.event for entry in ledger.read(book)] in ([], ["began", "ended"])
    invariants.check([waiting.id], book, quiet=False)


@pytest.mark.case(15)
@pytest.mark.long
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_signals_in_the_middle_of_claims_and_starts_cost_nothing(
    pool: str, book: Path, figures: Figures
) -> None:
    """Short tasks are claimed by the dozen, once a worker knows them: at a stop many have not started."""
    results = enqueue_many(tasks.noted, [((n, 0.003), {}) for n in range(800)])
    stops = 0
    while stops < 6 and not load.is_done():
        with worker("-P", pool, "-c", "2") as stopping:
            enough = load.ended(book) + 40 + 10 * (stops % 4)
            wait_until(lambda enough=enough: load.ended(book) > enough, interval=0.002)  # type: ignore[misc]
            stopping.terminate()
            _until_it_ends(stopping, 10)
            stops += 1
    with worker("-P", pool, "-c", "2"):
        wait_until(load.is_done, timeout=60)
    # Only what was given back unbegun was claimed again without an attempt more.
    given_back = TrackedTask.objects.filter(attempt=1, lease__gt=1).count()
    figures["stops"] = stops
    figures[f"given back before their start ({pool})"] = given_back
    assert stops > 1, "else it proves nothing"
    assert given_back, "no stop came between a claim and its start"
    assert not load.runs_beyond_one(book)
    assert set(TrackedTask.objects.values_list("state", "attempt")) == {("SUCCESS", 1)}
    invariants.check([result.id for result in results], book)


@contextmanager
def _database_down(name: str) -> Iterator[None]:
    """Nobody gets a new session, and those that exist but this one are ended."""
    allow = f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS {{}}'
    with connection.cursor() as ours:
        ours.execute("SELECT pg_backend_pid()")
        (mine,) = ours.fetchone()
    with connection._nodb_cursor() as cursor:
        cursor.execute(allow.format("false"))
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = %s AND pid <> %s",
            [name, mine],
        )
    try:
        yield
    finally:
        with connection._nodb_cursor() as cursor:
            cursor.execute(allow.format("true"))


@pytest.mark.case(15)
@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="no way to take it down here")
def test_sigterm_with_the_database_down_ends_the_worker_in_its_grace(
    book: Path, figures: Figures
) -> None:
    """And a second later, which it has for its last words."""
    grace, last_words = 2, 1
    task = tasks.noted.delay(1, seconds=30)
    with worker("-c", "1", tasktrack={"GRACE": grace}) as stopping:
        wait_until(lambda: task.state == "STARTED")
        with _database_down(str(connection.settings_dict["NAME"])):
            time.sleep(1)
            stopping.terminate()
            asked = time.monotonic()
            assert stopping.wait(10) == 0
            stopped = time.monotonic() - asked
            wait_until(lambda: not stopping.tree(), timeout=2)
    figures["database down: stopped after, s, of 3"] = round(stopped, 1)
    assert grace <= stopped <= grace + last_words + SLACK
    with worker("-c", "1", tasktrack={"GRACE": 0}):
        wait_until(lambda: len(ledger.read(book)) == 2, timeout=15)
    invariants.check([task.id], book)


@pytest.mark.case(15)
@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="no way to take it down here")
def test_a_worker_that_starts_with_the_database_down_says_so_and_ends() -> None:
    with (
        _database_down(str(connection.settings_dict["NAME"])),
        worker(wait=False) as starting,
    ):
        assert starting.wait(15) == 1
        assert "cannot be reached" in starting.output
        assert not starting.tree()
