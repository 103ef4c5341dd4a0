"""Sweeping: what workers do for retention by themselves, a little at a time."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_tasktrack import purge, registry, sweeping, task
from django_tasktrack.maintenance import Maintenance
from django_tasktrack.models import Sweep, TrackedTask
from django_tasktrack.states import State
from django_tasktrack.sweeping import Sweeping

from .factories import make_task, make_worker
from .inline import the_vendor

pytestmark = pytest.mark.django_db
DAY = 86_400.0


def sweep_all(sweeping: Sweeping | None = None) -> int:
    """Sweep until nothing is left to be done; returns how many batches."""
    mine, batches = sweeping or Sweeping(the_vendor(), 1.0), 0
    while True:
        mine.sweep()
        if mine.due_at - time.monotonic() > 30:
            return batches
        batches += 1


def successes(count: int, days: float, **values: Any) -> list[TrackedTask]:
    worker, at = make_worker(), the_vendor().now() - timedelta(days=days)
    made = [make_task(State.SUCCESS, worker=worker, **values) for _ in range(count)]
    TrackedTask.objects.filter(pk__in=[one.pk for one in made]).update(finished_at=at)
    return made


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of two, and no task that says anything for itself."""
    monkeypatch.setattr(sweeping, "BATCH", 2)
    monkeypatch.setattr(registry, "_definitions", {})


@pytest.mark.usefixtures("small")
def test_all_goes_in_small_batches_and_is_told_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    successes(5, 20)  # of one moment: the order among them is by id
    valued = successes(3, 10, result=1)
    with caplog.at_level(logging.INFO, "django_tasktrack.worker"):
        assert sweep_all() == 3 + 2, "5 rows, then 3 values"
    assert caplog.messages == ["Retention: 3 values emptied, 5 tasks deleted."]
    assert set(TrackedTask.objects.values_list("pk", "result")) == {(v.pk, None) for v in valued}


@pytest.mark.usefixtures("small")
def test_nothing_to_do_costs_few_looks_and_no_write(caplog: pytest.LogCaptureFixture) -> None:
    make_task(State.SUCCESS)
    mine = Sweeping(the_vendor(), 1.0)
    with (
        caplog.at_level(logging.INFO, "django_tasktrack.worker"),
        CaptureQueriesContext(connection) as asked,
    ):
        assert sweep_all(mine) == 0
    written = [q["sql"] for q in asked.captured_queries if not q["sql"].startswith("SELECT")]
    assert written == []
    assert len(asked) <= 8
    assert not Sweep.objects.exists()
    assert caplog.messages == []
    assert 40 < mine.due_at - time.monotonic() < 80, "and again in a minute"


@pytest.mark.usefixtures("small")
def test_what_is_kept_for_longer_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows stand before those that go, and are not read again for each of them."""
    task(name="kept", result_expires=None)(lambda: None)
    successes(6, 30, name="kept", result=1)
    assert sweep_all() > 0
    looks: list[purge.Looked] = []
    follow = purge.follow

    def noted(*args: Any, **options: Any) -> purge.Looked:
        looks.append(follow(*args, **options))
        return looks[-1]

    monkeypatch.setattr(purge, "follow", noted)
    assert sweep_all() == 0
    successes(1, 20)
    assert sweep_all() <= 2
    assert sum(look.gone for look in looks) == 1
    assert TrackedTask.objects.count() == 6


@pytest.mark.usefixtures("small")
def test_what_was_passed_by_is_found_when_a_rule_begins_anew() -> None:
    (late,) = successes(1, 15)
    (newer,) = successes(1, 14.5)
    TrackedTask.objects.filter(pk=late.pk).update(
        finished_at=None
    )  # as if it were not committed yet
    sweep_all()
    assert set(TrackedTask.objects.all()) == {late}
    TrackedTask.objects.filter(pk=late.pk).update(finished_at=the_vendor().now() - timedelta(15))
    sweep_all()
    assert set(TrackedTask.objects.all()) == {late}
    Sweep.objects.update(began_at=the_vendor().now() - sweeping.ANEW - timedelta(minutes=1))
    assert sweep_all() > 0
    assert not TrackedTask.objects.exists()
    assert newer.pk != late.pk


@pytest.mark.usefixtures("small")
def test_rules_that_change_begin_anew_and_the_old_ones_are_forgotten() -> None:
    successes(3, 10)
    sweep_all()
    before = set(Sweep.objects.values_list("rule", flat=True))
    with override_settings(TASKTRACK={"RETENTION": 9 * DAY}):
        sweep_all()
    assert not TrackedTask.objects.exists()
    Sweep.objects.update(began_at=the_vendor().now() - 3 * sweeping.ANEW)
    successes(1, 10)
    with override_settings(TASKTRACK={"RETENTION": 8 * DAY}):
        sweep_all()
    assert before.isdisjoint(Sweep.objects.values_list("rule", flat=True))


@pytest.mark.usefixtures("small")
def test_a_batch_that_fails_is_tried_again_later_and_costs_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    successes(1, 20)
    vendor = the_vendor()
    upkeep = Maintenance(vendor, 1.0, 30.0, [], [], sweeping=(mine := Sweeping(vendor, 1.0)))

    def broken(*_: object, **__: object) -> None:
        raise ValueError("odd")

    with monkeypatch.context() as patch:
        patch.setattr(purge, "follow", broken)
        upkeep.run(time.monotonic())
    assert "A part of the upkeep has failed: sweep." in caplog.text
    assert mine.due_at - time.monotonic() > 30
    sweep_all(mine)
    assert not TrackedTask.objects.exists()


def test_pauses_are_longer_than_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    successes(1, 20)
    mine, follow = Sweeping(the_vendor(), 1.0), purge.follow

    def slow(*args: Any, **options: Any) -> Any:
        time.sleep(0.1)
        return follow(*args, **options)

    monkeypatch.setattr(purge, "follow", slow)
    mine.sweep()
    assert 0.5 < mine.due_at - time.monotonic() < 20


def test_maintenance_without_it_sweeps_nothing() -> None:
    (old,) = successes(1, 20)
    Maintenance(the_vendor(), 1.0, 30.0, [], []).run(time.monotonic())
    assert list(TrackedTask.objects.all()) == [old]
