"""Which workers live is told from outside, by their signs of life or by locks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from django_tasktrack import liveness
from django_tasktrack.models import Worker
from django_tasktrack.overview.fleet import Member, fleet, known_names, served_queues
from django_tasktrack.served import Served
from tests.factories import make_task, make_worker
from tests.inline import the_vendor

pytestmark = pytest.mark.django_db


def silent(seconds: float, **values: Any) -> Worker:
    return make_worker(heartbeat_at=timezone.now() - timedelta(seconds=seconds), **values)


def look(now: datetime | None = None, *, gone: bool = False) -> list[Member]:
    return fleet(the_vendor(), now or the_vendor().now(), gone=gone)


@pytest.mark.parametrize(
    ("seconds", "condition", "lives"),
    [(0, "alive", True), (2, "alive", True), (4, "silent", True), (6, "silent", False)],
)  # heartbeat 1 s, lease 5 s
def test_condition_follows_the_silence(seconds: float, condition: str, lives: bool) -> None:
    silent(seconds)
    (member,) = look()
    assert (member.condition, member.lives) == (condition, lives)
    assert member.lost_in <= timedelta(seconds=5 - min(seconds, 5))


def test_lock_says_more_than_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen, killed, unknown = silent(60), silent(0), silent(60)

    def verdicts(_: BaseDatabaseWrapper, ids: list[int]) -> tuple[list[int], list[int]]:
        assert set(ids) == {frozen.pk, killed.pk, unknown.pk}
        return [frozen.pk], [killed.pk]

    monkeypatch.setattr(liveness, "verdicts", verdicts)
    assert {m.row.pk: m.lives for m in look()} == {
        frozen.pk: True,
        killed.pk: False,
        unknown.pk: False,
    }


def test_one_that_was_asked_to_end_is_stopping() -> None:
    make_worker(shutdown_requested_at=timezone.now())
    assert [member.condition for member in look()] == ["stopping"]


def test_those_that_are_gone_come_after_those_that_live() -> None:
    now = timezone.now()
    stopped = make_worker(stopped_at=now)
    alive = make_worker()
    lost = make_worker(lost_at=now)
    assert [member.row for member in look()] == [alive]
    assert [member.row for member in look(gone=True)] == [alive, lost, stopped]
    assert [member.condition for member in look(gone=True)] == ["alive", "lost", "stopped"]
    assert [member.lives for member in look(gone=True)] == [True, False, False]


def test_it_counts_what_each_holds() -> None:
    busy, idle = make_worker(), make_worker()
    for _ in range(2):
        make_task("STARTED", worker=busy)
    make_task("SUCCESS", worker=idle)
    assert {member.row: member.holds for member in look()} == {busy: 2, idle: 0}


def test_what_the_dead_know_and_serve_does_not_count() -> None:
    make_worker(queues=["mail"], known_tasks=["a", "b"])
    silent(60, queues=["slow"], known_tasks=["c"])
    assert known_names(look()) == {"a", "b"}
    assert served_queues(look()) == [Served(("mail",))]


def test_each_choice_of_queues_is_told_once() -> None:
    make_worker(queues=["mail", "sms"])
    make_worker(queues=["mail", "sms"])
    make_worker(queues=[], excluded_queues=["slow"])
    make_worker(queues=[])
    assert [str(served) for served in served_queues(look())] == ["all", "all but slow", "mail, sms"]


def test_which_queues_a_worker_serves() -> None:
    make_worker(queues=[], excluded_queues=["slow"])
    make_worker(queues=["slow"])
    some, all_but = look()
    assert [some.serves("slow"), some.serves("mail")] == [True, False]
    assert [all_but.serves("slow"), all_but.serves("mail")] == [False, True]


def test_what_was_claimed_ahead_takes_no_place() -> None:
    worker = make_worker(concurrency=2)
    for _ in range(5):
        make_task("STARTED", worker=worker)
    (member,) = look()
    assert (member.holds, member.busy) == (5, 2)
