"""History is added to, and never changed; it goes when purge deletes its task."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import NoReverseMatch, reverse

from django_tasktrack import goals
from django_tasktrack.exceptions import TasktrackError
from django_tasktrack.models import Goal, GoalAttempt, PurgeHorizon, StateChange, TrackedTask
from django_tasktrack.purge import purge
from tests import invariants
from tests.app import tasks
from tests.exam import load
from tests.exam.report import Figures
from tests.workers import wait_until, worker


@pytest.mark.case(51)
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE tasktrack_statechange SET reason = 'forged'",
        "UPDATE tasktrack_statechange SET state = 'SUCCESS', seq = 7 WHERE seq = 1",
    ],
)
def test_the_database_itself_refuses_to_change_history(sql: str) -> None:
    task = tasks.add.delay(1, 1)
    before = list(StateChange.objects.values())
    with (
        pytest.raises(DatabaseError, match="History is append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(sql)
    assert list(StateChange.objects.values()) == before
    invariants.check([task.id])


@pytest.mark.case(51)
@pytest.mark.parametrize(
    "change",
    [
        lambda row: row.save(),
        lambda row: row.delete(),
        lambda row: type(row).objects.update(reason="forged"),
        lambda row: type(row).objects.filter(seq=1).delete(),
        lambda row: type(row).objects.bulk_update([row], ["reason"]),
        lambda row: row.task.delete(),
        lambda row: type(row.task).objects.all().delete(),
    ],
    ids=["save", "delete", "update", "delete many", "bulk_update", "its task", "all tasks"],
)
def test_the_orm_refuses_to_change_and_to_delete_history(
    change: Callable[[StateChange], object],
) -> None:
    task = tasks.add.delay(1, 1)
    before = list(StateChange.objects.values())
    row = StateChange.objects.get()
    row.reason = "forged"
    with pytest.raises(TasktrackError):
        change(row)
    assert list(StateChange.objects.values()) == before
    invariants.check([task.id])


@pytest.mark.case(51)
@pytest.mark.parametrize("verb", ["change", "delete"])
def test_the_admin_has_no_page_that_changes_history(verb: str, client: Client) -> None:
    task = tasks.add.delay(1, 1)
    client.force_login(User.objects.create_superuser("root"))
    with pytest.raises(NoReverseMatch):
        reverse(f"admin:tasktrack_statechange_{verb}", args=[1])
    answer = client.post(reverse("admin:tasktrack_trackedtask_delete", args=[task.id]), {"post": 1})
    assert answer.status_code in (403, 404)
    assert StateChange.objects.count() == 1
    invariants.check([task.id])


@pytest.mark.case(51)
def test_purge_alone_deletes_history() -> None:
    with worker("--burst", wait=False) as bursting:
        tasks.add.delay(1, 1)
        bursting.wait(30)
        wait_until(lambda: not TrackedTask.objects.unfinished().exists(), timeout=1)
    call_command("tasktrack", "purge", "--older-than", "0s")
    assert not StateChange.objects.exists()
    assert PurgeHorizon.objects.exists()


@pytest.mark.case(52)
@pytest.mark.long
def test_purge_under_load_deletes_finished_tasks_alone(book: Path, figures: Figures) -> None:
    kept = [
        goals.pursue("kept", key=str(n), task=tasks.add, args=[n, n], achieve_on_success=True)
        for n in range(20)
    ]
    with ExitStack() as stack:
        for number in range(4):
            stack.enter_context(worker("-n", f"w{number}", "-c", "2"))
        wait_until(lambda: not Goal.objects.exclude(state=Goal.State.ACHIEVED).exists(), timeout=30)
        goals_before = list(Goal.objects.order_by("pk").values())
        attempts_before = list(GoalAttempt.objects.order_by("pk").values())
        results = load.put(2000, seed=52)
        purged = _purge_until(load.is_done)
    left = TrackedTask.objects.count()
    figures |= {"tasks": len(results) + len(kept), "purged meanwhile": purged}
    assert purged > len(results) / 4
    assert purged + left == len(results) + len(kept)
    assert load.ended(book) == len(results), "each ran, and none was deleted before"
    assert not load.runs_beyond_one(book)
    assert list(Goal.objects.order_by("pk").values()) == goals_before
    assert list(GoalAttempt.objects.order_by("pk").values()) == attempts_before
    invariants.check()


def _purge_until(done: Callable[[], bool]) -> int:
    """Purge again and again, as eagerly as can be; returns how many tasks."""
    purged, deadline = 0, time.monotonic() + 180
    while not done():
        assert time.monotonic() < deadline
        purged += sum(one.tasks for one in purge(older_than=0))
        time.sleep(0.05)
    return purged


@pytest.mark.case(57)
@pytest.mark.parametrize("threads", [32])
def test_many_threads_enqueue_and_revoke(threads: int, book: Path, figures: Figures) -> None:
    sent: list[str] = []
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(10):
                result = tasks.noted.delay(number)
                sent.append(result.id)
                if turn % 2:
                    result.revoke(reason="changed my mind")
        except BaseException as error:  # noqa: BLE001  the main thread looks
            failed.append(error)
        finally:
            connection.close()

    with worker("-c", "2"):
        crew = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
        for one in crew:
            one.start()
        for one in crew:
            one.join(120)
        wait_until(load.is_done, timeout=60)
    assert not failed
    assert len(set(sent)) == threads * 10
    figures["tasks"] = len(sent)
    states = TrackedTask.objects.filter(state="REVOKED").count()
    figures["revoked"] = states
    assert states > 0
    invariants.check(sent, book)
