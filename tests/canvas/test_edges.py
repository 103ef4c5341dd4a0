"""Chains, groups and chords where something is odd: none is lost, doubled, or in the wrong place."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from django_tasktrack import AsyncResult, chain, chord, group, signals, transitions
from django_tasktrack.exceptions import PayloadError
from django_tasktrack.models import Link, TrackedTask
from django_tasktrack.payloads import MAX_DEPTH
from django_tasktrack.purge import purge
from django_tasktrack.transitions import links
from tests import invariants
from tests.app import tasks
from tests.app.snippets import tomorrow
from tests.app.tasks import add, echo
from tests.factories import make_worker
from tests.inline import claim_all, finish, row, run, the_vendor, work

from .test_running import states

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _invariants_hold() -> Iterator[None]:
    yield
    invariants.check(quiet=False)


def test_a_value_that_is_ignored_is_handed_on_all_the_same() -> None:
    result = (add.s(2, 2).set(ignore_result=True) | add.s(4)).delay()
    work(rounds=2)
    assert result.get(timeout=0) == 8


def test_values_of_all_kinds_go_through_groups_and_maps() -> None:
    day, price = date(2026, 5, 1), Decimal("1.5")
    result = chain(
        group(tomorrow.s(day, price), tomorrow.s(day, price)), group(echo.si(1), echo.si(2))
    ).delay()
    mapped = tomorrow.starmap([(day, price)]).delay()
    work(rounds=4)
    assert states().count("FAILURE") == 0
    assert result.get(timeout=0) == [1, 2]
    assert mapped.get(timeout=0) == [{"day": day, "price": Decimal("3.0")}]


def test_a_deep_value_beside_a_tagged_one_is_collected() -> None:
    day = date(2026, 5, 1)
    chord([tomorrow.s(day, Decimal(1)), tasks.deep.s(MAX_DEPTH)], tasks.counted.s()).delay()
    work(rounds=2)
    assert states() == ["SUCCESS"] * 3


@pytest.mark.case(44)
def test_a_value_that_is_too_deep_to_be_handed_on_fails_where_it_is_returned() -> None:
    """On every database: MariaDB alone could not store what a chord makes of it."""
    result = chord([tasks.deep.s(MAX_DEPTH + 1), echo.s(1)], echo.s()).delay()
    alone = tasks.deep.delay(MAX_DEPTH + 1)
    work(rounds=2)
    assert states() == ["FAILURE", "SUCCESS", "REVOKED", "FAILURE"]
    for failed in (result, alone):
        with pytest.raises(PayloadError, match=f"The result.* more than {MAX_DEPTH} levels deep"):
            failed.get(timeout=0)


def test_more_than_can_be_revoked_at_once_is_revoked_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(links, "DOOMED_AT_ONCE", 2)
    chain(tasks.fails.s("no"), *(add.si(1, 1) for _ in range(5))).delay()
    chain(tasks.fails.s("no"), group(add.si(1, 1) for _ in range(5))).delay()
    work()
    rounds = 0
    while transitions.follow_up(the_vendor()):
        rounds += 1
        assert rounds < 10
    assert sorted(set(states())) == ["FAILURE", "REVOKED"]
    assert not Link.objects.filter(state=Link.State.OPEN).exists()


def test_the_package_s_own_tasks_go_where_the_others_go() -> None:
    two = group(echo.s(1), echo.s(2)) | group(echo.s(), echo.s())
    two.apply_async(queue="slow")
    tasks.elsewhere.chunks([(1,), (2,)], 1).delay()
    queues = set(TrackedTask.objects.values_list("name", "queue"))
    assert queues == {
        (echo.name, "slow"), ("tasktrack.accumulate", "slow"), ("tasktrack.starmap", "elsewhere"),
    }  # fmt: skip


def test_one_failure_calls_an_errback_once() -> None:
    header = [tasks.fails.s("no"), add.s(1, 1)]
    chord(header, echo.s()).apply_async(link_error=tasks.noticed.s())
    work(rounds=3)
    assert TrackedTask.objects.filter(name=tasks.noticed.name).count() == 1


def test_what_a_receiver_does_to_an_errback_costs_no_end() -> None:
    def spoil(headers: dict[str, Any], **_: Any) -> None:
        headers["odd"] = object()

    result = tasks.fails.apply_async(("no",), link_error=tasks.noticed.s())
    signals.before_task_publish.connect(spoil)
    try:
        work()
    finally:
        signals.before_task_publish.disconnect(spoil)
    work()
    assert result.state == "FAILURE"
    assert TrackedTask.objects.get(name=tasks.noticed.name).state == "SUCCESS"


def test_an_empty_group_waits_like_any_other() -> None:
    result = chain(add.s(1, 1), group([]), echo.s()).delay()
    assert row(result.id).stage == -1
    work(rounds=3)
    assert result.get(timeout=0) == []


def test_a_header_keeps_what_its_group_says() -> None:
    chord(group(add.s(1, 1), add.s(2, 2)).set(queue="slow"), echo.s()).delay()
    assert TrackedTask.objects.filter(queue="slow", name=add.name).count() == 2


def test_a_value_is_kept_for_a_revoked_step_that_may_run_again() -> None:
    result = chord([add.s(1, 1), tasks.odd_once.s(2)], echo.s()).delay()
    work()
    assert states() == ["SUCCESS", "FAILURE", "REVOKED"]
    AsyncResult(result.parent[0].id).forget()
    TrackedTask.objects.filter(state="REVOKED").update(finished_at=None)
    purge(older_than=0)
    assert TrackedTask.objects.filter(state="SUCCESS").exists()
    TrackedTask.objects.filter(state="REVOKED").update(finished_at=the_vendor().now())


def test_keyword_arguments_of_a_whole_are_refused() -> None:
    with pytest.raises(TypeError, match="A chain takes no keyword arguments: factor"):
        chain(add.s(1, 1)).delay(factor=5)


def test_a_key_that_was_given_counts_for_a_step_too() -> None:
    echo.apply_async((1,), unique_key="mine", countdown=60)
    with pytest.raises(ValueError, match="has the unique key"):
        (echo.s(1) | echo.s().set(unique_key="mine")).delay()


def test_the_same_id_twice_is_the_same_result_twice() -> None:
    result = echo.delay(1)
    work()
    assert [one.state for one in AsyncResult.many([result.id, result.id])] == ["SUCCESS"] * 2


def test_signals_tell_of_all_that_was_revoked(
    django_capture_on_commit_callbacks: Any,
) -> None:
    told: list[str] = []

    def hear(request: Any, **_: Any) -> None:
        told.append(request.id)

    result = (tasks.fails.s("no") | add.si(1, 1) | add.si(1, 1)).delay()
    (claim,) = claim_all(make_worker().pk)
    signals.task_revoked.connect(hear)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            finish(claim, run(claim))
    finally:
        signals.task_revoked.disconnect(hear)
    assert set(told) == {result.id, result.parent.id}
