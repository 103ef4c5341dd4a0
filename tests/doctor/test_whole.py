"""The doctor looks at the whole: what is well is told too, and what is not, with its remedy."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_tasktrack import doctor
from django_tasktrack.doctor import Finding, Level
from django_tasktrack.models import Goal, TrackedTask, Worker
from django_tasktrack.states import Stage
from django_tasktrack.vendors import Vendor
from tests.app.tasks import echo
from tests.factories import NAME, make_goal, make_task, make_worker
from tests.inline import enqueue, the_vendor

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def able(**values: Any) -> Worker:
    return make_worker(**{"known_tasks": [NAME], "queues": [], **values})


def examine() -> dict[str, Finding]:
    return {finding.code: finding for finding in doctor.examine(the_vendor())}


def troubles(found: dict[str, Finding]) -> dict[str, Level]:
    return {code: one.level for code, one in found.items() if one.level >= Level.WARNING}


def test_healthy_whole_has_nothing_to_complain_of() -> None:
    worker = able()
    make_task("SUCCESS", worker=worker)
    enqueue()
    found = examine()
    assert troubles(found) == {}
    assert {"database", "clock", "workers", "queue", "failures"} <= found.keys()


def test_absence_of_workers_is_a_problem_where_tasks_wait() -> None:
    assert troubles(examine()) == {"no_worker": Level.WARNING}
    enqueue()
    assert troubles(examine()) == {"no_worker": Level.PROBLEM}


def test_workers_that_are_silent_or_were_lost() -> None:
    now = timezone.now()
    able(name="quiet@host", heartbeat_at=now - timedelta(seconds=4))
    able(name="lost@host", lost_at=now - HOUR)
    able(name="long gone@host", lost_at=now - 48 * HOUR)
    found = examine()
    assert troubles(found) == {"worker_silent": Level.WARNING, "workers_lost": Level.WARNING}
    assert "quiet@host" in found["worker_silent"].text
    assert "1 of the latest: lost@host." in found["workers_lost"].text


def test_worker_that_died_and_that_nobody_has_marked() -> None:
    able(heartbeat_at=timezone.now() - HOUR)
    assert "worker_gone" in examine()


def test_versions_and_tasks_that_differ() -> None:
    able(version="1.0")
    able(version="1.1", known_tasks=[NAME, "shop.tasks.new"])
    found = examine()
    assert "1.0, 1.1" in found["versions_differ"].text
    assert found["known_tasks_differ"].level is Level.NOTE
    assert "shop.tasks.new" in found["known_tasks_differ"].text


def test_queue_that_nobody_serves_and_one_that_is_late() -> None:
    able(queues=["mail"])
    enqueue(queue="reports")
    late = enqueue(queue="mail")
    TrackedTask.objects.filter(pk=late.task_id).update(run_after=timezone.now() - HOUR)
    found = examine()
    assert troubles(found) == {"queue_unserved": Level.PROBLEM, "queue_late": Level.WARNING}
    assert found["queue_unserved"].text.endswith("Waiting there: 1 task.")
    assert "1 task due, the oldest for 1 h 0 min" in found["queue_late"].text


def test_names_that_nobody_knows() -> None:
    able(known_tasks=["shop.tasks.deliver"])
    for name in ("shop.tasks.delivr", "shop.tasks.delivr", "shop.tasks.exprt"):
        enqueue(name=name)
    TrackedTask.objects.update(stage=Stage.HELD)
    unknown = [one for one in doctor.examine(the_vendor()) if one.code == "name_unknown"]
    assert [one.level for one in unknown] == [Level.PROBLEM] * 2
    assert unknown[0].text.endswith("Held: 2.")
    assert "Did you mean 'shop.tasks.deliver'?" in unknown[0].hint


def test_what_no_upkeep_has_done() -> None:
    able()
    scheduled = enqueue(delay=60.0)
    TrackedTask.objects.filter(pk=scheduled.task_id).update(run_after=timezone.now() - HOUR)
    make_task("STARTED", worker=able(stopped_at=timezone.now()))
    make_goal(deadline=timezone.now() - HOUR)
    make_goal(key="met", deadline=timezone.now() - HOUR, state=Goal.State.ACHIEVED)
    found = examine()
    assert troubles(found) == {
        "not_promoted": Level.PROBLEM,
        "claims_of_gone_workers": Level.WARNING,
        "goals_not_settled": Level.PROBLEM,
    }
    assert found["goals_not_settled"].text.startswith("1 goal")


def test_wishes_that_nobody_answers() -> None:
    task = make_task("STARTED", worker=able())
    TrackedTask.objects.filter(pk=task.pk).update(revoke_requested_at=timezone.now() - HOUR)
    assert troubles(examine()) == {"revokes_unanswered": Level.WARNING}


def test_failures_are_told_by_kind_and_many_are_a_warning() -> None:
    worker = able()
    for _ in range(3):
        make_task("FAILURE", worker=worker, error=OSError("disk full"))
    found = examine()["failures"]
    assert (found.level, "3 × tests.app.tasks.work (OSError)" in found.text) == (Level.NOTE, True)
    for _ in range(20):
        make_task("FAILURE", worker=worker)
    assert troubles(examine()) == {"failures": Level.WARNING}


def test_retention_that_falls_behind() -> None:
    able()
    old = make_task("SUCCESS", worker=able(), name=echo.name)
    TrackedTask.objects.filter(pk=old.pk).update(finished_at=timezone.now() - 24 * 17 * HOUR)
    found = examine()
    assert troubles(found) == {"retention_late": Level.WARNING}
    assert "a SUCCESS ended 17 d" in found["retention_late"].text
    assert "such tasks are kept for 14 d" in found["retention_late"].text
    with override_settings(TASKTRACK={"RETENTION": None, "HEARTBEAT": 1, "LEASE": 5}):
        assert "retention_late" not in examine()
    TrackedTask.objects.filter(pk=old.pk).update(finished_at=timezone.now() - 24 * 15 * HOUR)
    assert "retention_late" not in examine(), "workers have some time for it"


def test_values_that_outlive_their_time_are_told_as_well() -> None:
    one = make_task("SUCCESS", worker=able(), name=echo.name, result=3)
    TrackedTask.objects.filter(pk=one.pk).update(finished_at=timezone.now() - 24 * 10 * HOUR)
    assert "such values are kept for 7 d" in examine()["retention_late"].text
    TrackedTask.objects.filter(pk=one.pk).update(result=None, result_expired_at=timezone.now())
    assert "retention_late" not in examine()


# The database


def test_lacking_migrations_are_told_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = MigrationExecutor.migration_plan

    def lacking(self: MigrationExecutor, targets: Sequence[Any], **options: Any) -> Any:
        return plan(self, [("tasktrack", "0001_initial")], clean_start=True)

    monkeypatch.setattr(MigrationExecutor, "migration_plan", lacking)
    with CaptureQueriesContext(connection) as asked:
        (finding,) = doctor.examine(the_vendor())
    assert (finding.code, finding.level) == ("migrations_lacking", Level.PROBLEM)
    assert "0001_initial" in finding.text
    assert finding.hint == "manage.py migrate"
    assert not [query for query in asked if "tasktrack_trackedtask" in query["sql"]]


@pytest.mark.parametrize(("hours", "word"), [(1, "ahead of"), (-1, "behind")])
def test_clocks_that_differ(hours: int, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = Vendor.now
    for kind in {Vendor, type(the_vendor())}:
        monkeypatch.setattr(kind, "now", lambda self: now(self) + hours * HOUR)
    found = examine()["clock_skew"]
    assert found.level is Level.WARNING
    assert f"1 h 0 min {word} this machine's" in found.text


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="it is about SQLite's settings")
def test_settings_of_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    able()
    assert troubles(examine()) == {}
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {"timeout": 5})
    found = examine()
    assert troubles(found) == {"tasktrack.W001": Level.WARNING}
    assert found["sqlite_timeout"].level is Level.NOTE
    with override_settings(SILENCED_SYSTEM_CHECKS=["tasktrack.W001"]):
        assert troubles(examine()) == {}
