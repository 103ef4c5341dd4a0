"""``tasktrack shutdown`` ends workers of other machines as SIGTERM does."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from django.core.management import call_command

from tests import invariants
from tests.app import tasks
from tests.live.test_main_job import story
from tests.workers import wait_until, worker


def test_asked_worker_lets_its_task_end_and_the_other_goes_on(book: Path) -> None:
    running = tasks.noted.delay(1, seconds=2)
    with worker("-n", "first@%h", "-c", "1") as first:
        wait_until(lambda: running.state == "STARTED")
        with worker("-n", "second@%h", "-c", "1") as second:
            assert first.row
            call_command("tasktrack", "shutdown", str(first.row.pk), "--wait", stdout=StringIO())
            assert first.wait(5) == 0
            assert "Asked to end by manage.py tasktrack shutdown" in first.output
            assert story(running) == ["PENDING", "STARTED", "SUCCESS"]
            after = tasks.add.delay(2, 3)
            assert after.get(timeout=10) == 5
            assert second.process.poll() is None
    invariants.check([running.id, after.id], book)


def test_worker_that_takes_its_place_is_not_ended() -> None:
    with worker("-n", "web@here", "-c", "1") as former:
        call_command("tasktrack", "shutdown", "web@here", "--wait", stdout=StringIO())
        assert former.wait(5) == 0
    with worker("-n", "web@here", "-c", "1") as following:
        assert tasks.add.delay(1, 1).get(timeout=10) == 2
        assert following.row
        assert following.row.shutdown_requested_at is None
