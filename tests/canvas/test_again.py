"""Steps that people run again, and trees that two of them act on at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction

from django_tasktrack import chain, chord, transitions
from django_tasktrack.models import TrackedTask
from django_tasktrack.states import Stage
from django_tasktrack.transitions import Answer, links
from tests import invariants
from tests.app import tasks
from tests.app.tasks import add, echo
from tests.inline import row, work

from .test_running import stages, states

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _invariants_hold() -> Iterator[None]:
    yield
    invariants.check(quiet=False)


def all_ids() -> list[UUID]:
    return list(TrackedTask.objects.order_by("pk").values_list("pk", flat=True))


def rerun(*ids: UUID) -> list[Answer]:
    answers = transitions.rerun(ids, actor="ann")
    return [answers[task_id] for task_id in ids]


@pytest.mark.parametrize("backwards", [False, True])
def test_a_failed_step_and_what_waited_for_it_run_again_in_whatever_order(backwards: bool) -> None:
    result = (tasks.odd_once.s(3) | add.s(1) | add.s(1)).delay()
    work()
    ids = all_ids()
    assert rerun(*(reversed(ids) if backwards else ids)) == [Answer.QUEUED] * 3
    assert stages() == [Stage.DUE, Stage.BLOCKED, Stage.BLOCKED]
    work(rounds=3)
    result.refresh()
    assert result.get(timeout=0) == 5


@pytest.mark.parametrize("backwards", [False, True])
def test_one_that_somebody_revoked_runs_again_if_it_is_named_with_the_failed_one(
    backwards: bool,
) -> None:
    result = (tasks.odd_once.s(3) | add.s(1) | add.s(1)).delay()
    first, second, third = all_ids()
    transitions.revoke([second], reason="not wanted")
    work()
    assert states() == ["FAILURE", "REVOKED", "REVOKED"]
    assert rerun(first, third) == [Answer.QUEUED, Answer.REFUSED], "the second is still unwanted"
    work()
    named = [second, third] if backwards else [third, second]
    assert rerun(*named) == [Answer.QUEUED, Answer.QUEUED]
    work(rounds=2)
    result.refresh()
    assert result.get(timeout=0) == 5


def test_what_waits_for_another_failed_one_too_is_refused() -> None:
    chord([tasks.odd_once.s(1), tasks.odd_once.s(3)], echo.s()).delay()
    work()
    one, two, body = all_ids()
    assert rerun(one, body) == [Answer.QUEUED, Answer.REFUSED]
    work()
    assert rerun(two, body) == [Answer.QUEUED, Answer.QUEUED]
    work(rounds=2)
    assert row(body).result == [1, 3]


def test_two_of_the_same_key_are_not_both_run_again() -> None:
    for _ in range(2):
        tasks.fails.apply_async(("no",), unique_key="mine")
        work()
    assert sorted(rerun(*all_ids())) == [Answer.QUEUED, Answer.REFUSED]


LATE = UUID("ffffffff-ffff-7fff-bfff-ffffffffffff")


def revokes_that_cross() -> tuple[Callable[[], object], Callable[[], object]]:
    """The second one has what the first wants next, and wants what the first has."""
    chain(add.s(1, 1), add.s(1), add.s(1)).delay()
    first, second, third = all_ids()
    return (lambda: transitions.revoke([first, third])), (lambda: transitions.revoke([second]))


def a_rerun_and_a_revoke_that_cross() -> tuple[Callable[[], object], Callable[[], object]]:
    """The step that waits has the lower id, because the other's was chosen."""
    chain(tasks.odd_once.s(3).set(task_id=LATE), echo.s()).delay()
    work()
    waits, failed = all_ids()
    return (lambda: rerun(failed)), (lambda: transitions.revoke([waits, failed]))


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has one writer")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("crossing", [revokes_that_cross, a_rerun_and_a_revoke_that_cross])
def test_verbs_that_share_tasks_never_wait_for_each_other(
    monkeypatch: pytest.MonkeyPatch,
    crossing: Callable[[], tuple[Callable[[], object], Callable[[], object]]],
) -> None:
    """In the callers' own transactions, where a deadlock would not be tried again."""
    acts = crossing()
    gate = threading.Barrier(2)

    def lock(*args: Any, **kwargs: Any) -> Any:
        with suppress(threading.BrokenBarrierError):  # one of them waits for the other's end
            gate.wait(1)
        return links_lock(*args, **kwargs)

    links_lock = links.lock
    monkeypatch.setattr(links, "lock", lock)

    def go(act: Callable[[], object]) -> None:
        try:
            with transaction.atomic():
                act()
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(go, act) for act in acts]:
            done.result(30)
