"""Old and new code side by side, while a migration comes between them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from django_tasktrack import transitions
from django_tasktrack.models import TrackedTask
from django_tasktrack.states import Stage
from tests import databases, invariants
from tests.app import tasks
from tests.exam import load, newer
from tests.exam.report import Figures
from tests.factories import NAME, make_worker, new_task
from tests.inline import the_vendor
from tests.workers import ROOT, WorkerProcess, wait_until, worker

_NEWER = {newer.WANTED: "1"}


def put_by_newer_code(count: int, task: str = tasks.noted.name) -> list[str]:
    """Enqueue in a process of the newer version."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.exam.producer", str(count), task],
        cwd=ROOT,
        env={
            **os.environ,
            **_NEWER,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            databases.NAME: str(connection.settings_dict["NAME"]),
        },
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.split()


def notes() -> Counter[str | None]:
    """What the column says that this process, as old code, knows nothing of."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {newer.COLUMN}, count(*) FROM {TrackedTask._meta.db_table} GROUP BY 1"
        )
        return Counter(dict(cursor.fetchall()))


def note(task_id: str, text: str) -> None:
    """As newer code might."""
    pk = TrackedTask._meta.get_field("id").get_db_prep_value(UUID(task_id), connection)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {TrackedTask._meta.db_table} SET {newer.COLUMN} = %s WHERE id = %s",
            [text, pk],
        )


def by(name: str) -> int:
    """How many tasks the worker of that name has ended."""
    return TrackedTask.objects.filter(worker__name=name, state="SUCCESS").count()


@pytest.mark.case(50)
@pytest.mark.long
def test_old_and_new_workers_share_the_load_over_a_migration(book: Path, figures: Figures) -> None:
    ids = [result.id for result in load.put(120, seed=50)]

    def is_moving(name: str) -> bool:
        """Whether that worker has ended some more."""
        before = by(name)
        wait_until(lambda: by(name) > before + 5, what=f"the {name} worker")
        return True

    with ExitStack() as stack:
        old = stack.enter_context(worker("-n", "old", "-c", "2"))
        assert is_moving("old")
        stack.enter_context(newer.migrated())
        ended = by("old")
        ids += [result.id for result in load.put(60, seed=51)]  # old code inserts
        assert is_moving("old"), "with a column that it does not know"
        waiting = put_by_newer_code(3, newer.TASK)
        ids += [*waiting, *put_by_newer_code(20)]
        note(ids[-1], "by newer code")
        wait_until(lambda: load.is_done(but=waiting), timeout=60)
        rows = TrackedTask.objects.filter(pk__in=waiting)
        assert set(rows.values_list("state", "attempt", "lease")) == {("PENDING", 0, 0)}
        assert set(rows.values_list("stage", flat=True)) <= {Stage.DUE, Stage.HELD}
        new = stack.enter_context(worker("-n", "new", "-c", "2", env=_NEWER))
        wait_until(load.is_done, what="the task that only newer code knows")
        ids += [result.id for result in load.put(60, seed=52)]
        ids += put_by_newer_code(20)
        wait_until(load.is_done, timeout=60)
        by_both = {name: by(name) for name in ("old", "new")}
        told = notes()
        old.terminate()
        assert old.wait(15) == 0
        ids += [result.id for result in load.put(20, seed=53)]
        wait_until(load.is_done)
        surfaced = [line for one in (old, new) for line in _errors(one)]
        new.end()
    figures |= {"by old, by new code": f"{by_both['old']}, {by_both['new']}"}
    assert by_both["old"] > ended
    assert by_both["new"] > len(waiting), "both have run tasks after the migration"
    assert told["by newer code"] == 1, "old code has settled the row, and left the column alone"
    assert told[newer.DEFAULT] == told.total() - 1, "also of what old code has inserted"
    assert not surfaced
    assert not load.runs_beyond_one(book)
    assert set(TrackedTask.objects.values_list("state", flat=True)) == {"SUCCESS"}
    invariants.check(ids, book)


def _errors(one: WorkerProcess) -> list[str]:
    return [line for line in one.output.splitlines() if "ERROR" in line or "CRITICAL" in line]


def _wish_of_newer_code(task_id: UUID) -> None:
    """A wish to end the task, with a word more than this code knows."""
    rows = TrackedTask.objects.filter(pk=task_id)
    wish = {"signal": None, "actor": "ann", "reason": "enough", "by_way_of": "newer code"}
    assert rows.update(revoke_requested_at=timezone.now(), revoke_request=wish) == 1


@pytest.mark.case(50)
def test_a_wish_of_newer_code_is_answered_by_an_old_worker() -> None:
    with worker("-c", "1") as old:
        task = tasks.counts.delay(2000)
        wait_until(lambda: task.state == "STARTED")
        _wish_of_newer_code(UUID(task.id))
        wait_until(lambda: task.state == "REVOKED", timeout=10)
        assert not _errors(old)
    last = task.history()[-1]
    assert (last.actor, last.reason) == ("ann", "enough")


@pytest.mark.case(50)
def test_a_wish_of_newer_code_holds_up_no_rescue() -> None:
    vendor, dead = the_vendor(), make_worker()
    transitions.enqueue([new_task() for _ in range(3)])
    claims = transitions.claim(vendor, dead.pk, [], [NAME], 3)
    _wish_of_newer_code(claims[1].task_id)
    (request,) = transitions.revoke_requests(vendor, dead.pk)
    assert (request.actor, request.reason) == ("ann", "enough")
    type(dead).objects.filter(pk=dead.pk).update(stopped_at=timezone.now())
    assert len(transitions.rescue(vendor, lease=5.0).applied) == 3
    states = TrackedTask.objects.order_by("pk").values_list("state", flat=True)
    assert list(states) == ["RETRY", "REVOKED", "RETRY"]
