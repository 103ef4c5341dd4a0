"""Tasks that kill their process, hold on to it, or leave it changed; and values nobody can carry."""

from __future__ import annotations

import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest

from django_tasktrack import AsyncResult, enqueue_many
from django_tasktrack.exceptions import PayloadError, TaskFailure, TimeLimitExceeded
from django_tasktrack.models import Progress, TrackedTask, Worker
from tests import invariants, ledger
from tests.app import hostile, tasks
from tests.app.models import Entry
from tests.exam.report import Figures
from tests.live.test_main_job import story
from tests.workers import WorkerProcess, lives, wait_until, worker

#: All that moves a terminal's cursor, but for the line's end and the tabulator; read as bytes, because text
#: would turn CR into LF.
CONTROLS = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")


def is_done() -> bool:
    return not TrackedTask.objects.unfinished().exists()


@pytest.mark.case(38)
@pytest.mark.long
def test_tasks_that_kill_their_process_beside_two_hundred_healthy_ones(
    book: Path, figures: Figures
) -> None:
    poison = {how: hostile.misbehaves.delay(how) for how in hostile.ENDINGS}
    healthy = enqueue_many(tasks.noted, [((n, 0.02), {}) for n in range(200)])
    with worker("-c", "4") as running:
        wait_until(is_done, timeout=120)
        assert running.process.poll() is None
        assert "This worker was lost" not in running.output
        assert Worker.objects.get().pid == running.pid, "the one that was started, and never anew"
    for how, ending in hostile.ENDINGS.items():
        _assert_ended_as(poison[how], ending)
    done = TrackedTask.objects.filter(pk__in=[r.id for r in healthy], state="SUCCESS").count()
    figures["healthy"] = f"{done} of {len(healthy)}"
    began = [entry.note for entry in ledger.read(book) if entry.event == "began"]
    figures["starts of each killer"] = max(began.count(how) for how in hostile.ENDINGS)
    assert done == len(healthy)
    invariants.check([r.id for r in (*poison.values(), *healthy)], book)


def _assert_ended_as(task: AsyncResult, ending: str) -> None:
    last = task.history()[-1]
    assert task.state == "FAILURE"
    if ending.startswith("lost"):
        assert story(task) == ["PENDING", *["STARTED", "RETRY"] * 2, "STARTED", "FAILURE"]
        assert last.reason == f"{ending}; crash 3, no further attempt"
    else:
        assert story(task) == ["PENDING", "STARTED", "FAILURE"]
        assert last.error_type == ending


@pytest.mark.case(39)
def test_a_gigabyte_under_a_limit_of_256_mib(book: Path, figures: Figures) -> None:
    with worker("-c", "1", "--max-memory-per-child", str(256 * 1024)) as running:
        greedy = tasks.takes_memory.delay(1024).get(timeout=60)
        assert tasks.says_its_process.delay().get(timeout=20) != greedy
        wait_until(lambda: not psutil.pid_exists(greedy), timeout=5)
        largest = max(process.memory_info().rss for process in running.tree())
        figures["largest process afterwards, MiB"] = largest // 2**20
        assert largest < 256 * 2**20


@pytest.mark.case(39)
def test_a_gigabyte_that_the_system_refuses_is_a_failure() -> None:
    """The limit of the task above is looked at when it has ended; this one is the system's own."""
    if not hasattr(psutil.Process, "rlimit"):
        pytest.skip("only Linux sets the limits of another process")
    with worker("-c", "1") as running:
        child = psutil.Process(tasks.says_its_process.delay().get(timeout=20))
        bound = child.memory_info().vms + 256 * 2**20
        child.rlimit(psutil.RLIMIT_AS, (bound, bound))
        greedy = tasks.takes_memory.delay(1024)
        with pytest.raises(MemoryError):
            greedy.get(timeout=20)
        assert story(greedy) == ["PENDING", "STARTED", "FAILURE"]
        assert tasks.says_its_process.delay().get(timeout=20) == child.pid, "nobody had to die"
        assert running.process.poll() is None
    invariants.check()


#: Of ``sleeps_in_c``, in seconds.
LIMIT = 1.0


@pytest.mark.case(40)
def test_a_sleep_in_c_is_killed_at_its_limit(book: Path, figures: Figures) -> None:
    asleep, neighbour = hostile.sleeps_in_c.delay(60), tasks.noted.delay(1, seconds=3)
    with worker("-c", "2"):
        (began,) = wait_until(lambda: _entries(book, asleep), interval=0.01)
        told, body = time.monotonic(), psutil.Process(began.pid)
        wait_until(lambda: not lives(body), timeout=10, interval=0.01)
        dead_after = time.monotonic() - told
        with pytest.raises(TimeLimitExceeded):
            asleep.get(timeout=10)
        assert neighbour.get(timeout=10) == 1
    figures["dead after, s, of 1"] = round(dead_after, 2)
    assert dead_after <= LIMIT + 1
    started, ended = (row.at for row in asleep.history()[1:])
    assert (ended - started).total_seconds() <= LIMIT + 1
    assert story(asleep) == ["PENDING", "STARTED", "FAILURE"]
    invariants.check([asleep.id, neighbour.id], book)


def _entries(book: Path, task: AsyncResult) -> list[ledger.Entry]:
    return [entry for entry in ledger.read(book) if entry.task_id == task.id]


LEFT = [
    "directory", "umask", "environment", "handlers", "modules", "locale", "context", "stdout",
    "descriptor", "session", "transaction",
]  # fmt: skip


@pytest.mark.case(41)
@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_the_next_task_finds_everything_as_the_first_one_did(pool: str) -> None:
    arguments = ["-P", pool, "-c", "1"]
    with worker(*arguments) as running:
        before = hostile.looks_around.delay().get(timeout=20)
        pid = before.pop("pid")
        for what in LEFT:
            if pool == "solo" and what in ("stdout", "descriptor"):
                continue  # only a child can be replaced
            assert hostile.leaves_behind.delay(what).get(timeout=20)
            after = hostile.looks_around.delay().get(timeout=20)
            replaced = after.pop("pid") != pid
            assert after == before, what
            assert replaced == (what in ("stdout", "descriptor")), what
            pid = pid if not replaced else hostile.looks_around.delay().get(timeout=20)["pid"]
        assert "ended while idle" not in running.output
    assert not Entry.objects.exists()
    invariants.check()


@pytest.mark.case(41)
def test_an_alarm_does_not_ring_in_the_next_task() -> None:
    with worker("-c", "1"):
        hostile.leaves_behind.delay("alarm").get(timeout=20)
        later = tasks.noted_process.delay(2)
        later.get(timeout=20)
        assert story(later) == ["PENDING", "STARTED", "SUCCESS"]
    invariants.check()


@pytest.mark.case(41)
@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_thread_that_outlives_its_task_reports_for_nobody(pool: str) -> None:
    with worker("-P", pool, "-c", "1"):
        first = hostile.leaves_behind.delay("thread")
        first.get(timeout=20)
        following = hostile.counts_alone.delay(2)
        following.get(timeout=20)
    assert not Progress.objects.filter(task_id=UUID(first.id), current__isnull=False).exists()
    assert Progress.objects.get(task_id=UUID(following.id)).current == 10
    invariants.check()


REFUSED = [kind for kind in hostile.KINDS if kind not in hostile.CARRIED]


@pytest.mark.case(42, 43, 44)
@pytest.mark.parametrize("kind", hostile.KINDS)
def test_arguments_have_one_verdict_everywhere(kind: str) -> None:
    value = hostile.strange(kind)
    if kind in hostile.CARRIED:
        sent = tasks.echo.delay(value)
        assert TrackedTask.objects.get(pk=sent.id).args == [as_json(value)]
    else:
        with pytest.raises(PayloadError):
            tasks.echo.delay(value)
        assert not TrackedTask.objects.exists()


@pytest.mark.case(42, 43, 44)
@pytest.mark.parametrize(
    "asked",
    [hostile.returns_what_it_is_told, hostile.reports_what_it_is_told],
    ids=["result", "progress"],
)
def test_results_and_progress_have_the_verdict_of_arguments(
    asked: Any, book: Path, figures: Figures
) -> None:
    sent = {kind: asked.delay(kind) for kind in hostile.KINDS}
    with worker("-c", "2"):
        wait_until(is_done, timeout=60)
    for kind, result in sent.items():
        expected = "SUCCESS" if kind in hostile.CARRIED else "FAILURE"
        assert result.state == expected, kind
        if kind in hostile.CARRIED and asked is hostile.returns_what_it_is_told:
            assert result.result == as_json(hostile.strange(kind))
    assert sorted(entry.note for entry in ledger.read(book)) == hostile.KINDS, "each ran once"
    figures["values"] = f"{len(hostile.CARRIED)} carried, {len(REFUSED)} refused"
    invariants.check([result.id for result in sent.values()])


def as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): item for key, item in value.items()}
    return value


@pytest.mark.case(42, 43, 44, 45)
def test_exceptions_are_kept_whatever_they_say(book: Path) -> None:
    kinds = [kind for kind in hostile.KINDS if kind not in ("itself", "deep")]
    sent = {kind: hostile.raises_what_it_is_told.delay(kind) for kind in kinds}
    odd = hostile.raises_the_unpicklable.delay()
    with worker("-c", "2") as running:
        wait_until(is_done, timeout=60)
    assert not CONTROLS.search(running.log.read_bytes())
    assert {result.state for result in (*sent.values(), odd)} == {"FAILURE"}
    with pytest.raises(TaskFailure, match="cannot travel"):
        odd.get(timeout=0)
    row = TrackedTask.objects.get(pk=sent["huge"].id)
    assert len(row.error_message) < 100_000
    assert len(row.traceback) < 100_000
    assert TrackedTask.objects.get(pk=sent["nul"].id).error_message == r"a\x00b"
    invariants.check([result.id for result in (*sent.values(), odd)])


@pytest.mark.case(44)
@pytest.mark.parametrize("size", [1024, 1024 * 1024 + 1])
def test_progress_without_end_is_bounded(size: int, book: Path, figures: Figures) -> None:
    """A thousand reports: of more than the limit refused, of a kilobyte coalesced."""
    task = hostile.reports_often.delay(1000, size)
    with worker("-c", "1"):
        wait_until(task.ready, timeout=60)
    if size > 1024 * 1024:
        assert task.history()[-1].error_type.endswith("PayloadError")
    else:
        assert task.state == "SUCCESS"
        assert Progress.objects.get(task_id=UUID(task.id)).current == 1000
    invariants.check([task.id])


@pytest.mark.case(44)
@pytest.mark.long
def test_a_thousand_reports_of_a_megabyte_are_coalesced(figures: Figures) -> None:
    """Each of them just under the limit: no more than five a second are written, and nowhere do they
    pile up."""
    task = hostile.reports_often.delay(1000, 1024 * 1024 - 100)
    written: set[datetime] = set()
    with worker("-c", "1") as running:
        began, before = time.monotonic(), _resident(running)
        largest = before
        while not task.ready() and time.monotonic() < began + 60:
            written |= set(Progress.objects.values_list("updated_at", flat=True))
            largest = max(largest, _resident(running))
            time.sleep(0.01)
        seconds = time.monotonic() - began
    growth = (largest - before) // 2**20
    figures |= {
        "reports of 1 MiB": 1000,
        "written of them": len(written),
        "all of them in, s": round(seconds, 1),
        "growth meanwhile, MiB": growth,
    }
    assert task.state == "SUCCESS"
    assert Progress.objects.get(task_id=UUID(task.id)).current == 1000
    assert 5 < len(written) <= 5 * seconds + 3, "and the first and the last ones"
    assert growth <= 64
    assert seconds <= 30
    invariants.check([task.id])


def _resident(running: WorkerProcess) -> int:
    """Bytes of the largest of a worker's processes."""
    return max(int(process.memory_info().rss) for process in running.tree())


@pytest.mark.case(45)
def test_a_row_whose_name_holds_control_characters_is_one_line_of_log() -> None:
    from django_tasktrack import transitions
    from django_tasktrack.changes import NewTask
    from django_tasktrack.ids import new_id

    transitions.enqueue([NewTask(new_id(), hostile.strange("forged line"), "[]", "{}", "default")])
    with worker() as running:
        wait_until(lambda: "evil" in running.output)
    _assert_told_in_one_line(running, "evil")


@pytest.mark.case(45)
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_an_exception_with_control_characters_is_one_line_of_log(pool: str, book: Path) -> None:
    """And a traceback that cannot be taken for another line: whatever it says is indented."""
    raising = hostile.raises_what_it_is_told.delay("forged line")
    with worker("-P", pool) as running:
        wait_until(lambda: raising.ready() and "Traceback" in running.output)
    told = _assert_told_in_one_line(running, f"[{raising.id}] failed")
    assert told.startswith(b"["), "a record's own line"


def _assert_told_in_one_line(running: WorkerProcess, what: str) -> bytes:
    """The only line that says so, which holds all of the evil text; nothing else pretends to be one."""
    printed = running.log.read_bytes()
    (told,) = [line for line in printed.split(b"\n") if what.encode() in line]
    assert rb"evil\x1b[2J\r\n[CRITICAL] all is lost" in told
    assert not CONTROLS.search(printed)
    assert not re.search(rb"^\[CRITICAL\]", printed, re.MULTILINE)
    return told
