"""A worker is asked to end through its row: it hears of it with a sign of life, and only that process does."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_tasktrack import liveness
from django_tasktrack.heartbeat import Beat, _Pulse
from django_tasktrack.models import Worker
from django_tasktrack.registration import Identity, Registration, ask_to_end
from django_tasktrack.worker import Worker as WorkerProcess
from django_tasktrack.worker import WorkerOptions

from .factories import make_worker
from .inline import the_vendor
from .test_liveness import _Mute

pytestmark = pytest.mark.django_db
IDENTITY = Identity("w1@host", "prefork", 1, True, [], [], "1")


@pytest.fixture(autouse=True)
def _no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process ends much later than its workers' rows, whose numbers come again."""
    monkeypatch.setattr(liveness, "hold", lambda *_: False)


@pytest.fixture
def pulse() -> _Pulse:
    """The signs of life, given by this thread."""
    pulse = _Pulse("default", patience=1.0)
    pulse._connected = True  # as this thread is
    return pulse


def beat(pulse: _Pulse, worker: Worker) -> tuple[bool | None, bool]:
    told = pulse.beat(worker.pk)
    return told.counted, told.asked_to_end


def registration(asked: list[str]) -> Registration:
    return Registration(
        the_vendor(),
        IDENTITY,
        _Mute(),
        5.0,
        on_lost=lambda _: None,
        on_dead=lambda: None,
        on_asked_to_end=lambda: asked.append("asked"),
    )


def row(worker_id: int) -> Worker:
    return Worker.objects.get(pk=worker_id)


# Asking


def test_only_those_that_live_are_asked() -> None:
    now = timezone.now()
    alive, stopped, lost = make_worker(), make_worker(stopped_at=now), make_worker(lost_at=now)
    assert ask_to_end(the_vendor(), [alive.pk, stopped.pk, lost.pk, 10**9]) == [alive.pk]
    asked = Worker.objects.exclude(shutdown_requested_at=None)
    assert list(asked) == [alive]


def test_asking_again_keeps_the_time_of_the_first() -> None:
    long_ago = timezone.now() - timedelta(minutes=5)
    worker = make_worker(shutdown_requested_at=long_ago)
    assert ask_to_end(the_vendor(), [worker.pk]) == [worker.pk]
    assert row(worker.pk).shutdown_requested_at == long_ago


# Hearing


def test_sign_of_life_tells_of_the_request_and_still_counts(pulse: _Pulse) -> None:
    old = timezone.now() - timedelta(seconds=20)
    worker = make_worker(heartbeat_at=old)
    assert beat(pulse, worker) == (True, False)
    ask_to_end(the_vendor(), [worker.pk])
    Worker.objects.filter(pk=worker.pk).update(heartbeat_at=old)
    assert beat(pulse, worker) == (True, True)
    assert row(worker.pk).heartbeat_at > old, "it lives until it has ended"


def test_worker_that_was_found_lost_hears_that_first(pulse: _Pulse) -> None:
    worker = make_worker(lost_at=timezone.now(), shutdown_requested_at=timezone.now())
    assert beat(pulse, worker) == (False, False)


def test_question_costs_no_statement_where_nobody_asks(pulse: _Pulse) -> None:
    worker = make_worker()
    with CaptureQueriesContext(connection) as queries:
        pulse.beat(worker.pk)
    assert sum(query["sql"].startswith("UPDATE") for query in queries) == 1
    assert not [query for query in queries if "FROM" in query["sql"]]


# Ending


def test_request_is_passed_on_once() -> None:
    asked: list[str] = []
    registered = registration(asked)
    worker_id = registered.register()
    for _ in range(3):
        registered._take(Beat(worker_id, True, 1.0, asked_to_end=True))
    registered._take(Beat(worker_id + 1, True, 1.0, asked_to_end=True))
    assert asked == ["asked"]


def test_beats_of_a_former_life_ask_for_nothing() -> None:
    asked: list[str] = []
    registered = registration(asked)
    registered._take(Beat(registered.register() - 1, True, 1.0, asked_to_end=True))
    assert asked == []


def test_worker_that_was_lost_meanwhile_is_asked_under_its_new_row_too() -> None:
    """Else the request would be forgotten: it stands on a row that no sign of life looks at any more."""
    registered = registration([])
    first = registered.register()
    ask_to_end(the_vendor(), [first])
    Worker.objects.filter(pk=first).update(lost_at=timezone.now())
    second = registered.register()
    assert second != first
    assert row(second).shutdown_requested_at == row(first).shutdown_requested_at is not None


def test_what_is_started_in_its_place_goes_on() -> None:
    former = registration([])
    ask_to_end(the_vendor(), [former.register()])
    assert row(registration([]).register()).shutdown_requested_at is None


class Engine:
    """Notes what it was told."""

    def __init__(self) -> None:
        self.graces: list[float] = []

    def stop(self, grace: float) -> None:
        self.graces.append(grace)


def test_running_tasks_get_their_grace(caplog: pytest.LogCaptureFixture) -> None:
    process, engine = WorkerProcess(WorkerOptions()), Engine()
    process._engine = engine  # type: ignore[assignment]
    with caplog.at_level(logging.WARNING, logger="django_tasktrack"):
        process._on_asked_to_end()
        process._on_asked_to_end()
    assert engine.graces == [5.0]
    assert caplog.messages == [
        "Asked to end by manage.py tasktrack shutdown: running tasks have 5 s."
    ]
    process._asked_to_stop_at = (process._asked_to_stop_at or 0.0) - 10
    process._on_signal(15, None)
    assert engine.graces == [5.0, 0.0], "a signal after it is the second one"


def test_request_after_a_signal_changes_nothing() -> None:
    process, engine = WorkerProcess(WorkerOptions()), Engine()
    process._engine = engine  # type: ignore[assignment]
    process._on_signal(15, None)
    process._on_asked_to_end()
    assert engine.graces == [5.0]
