"""Unique keys of calls: what is enqueued, what is answered, when a key is free again."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_tasktrack import AsyncResult, enqueue_many, exceptions, goals, task, transitions
from django_tasktrack.models import StateChange, TrackedTask
from django_tasktrack.transitions import Answer
from tests import invariants
from tests.app.tasks import add, echo, keyed
from tests.inline import work
from tests.looks import noted_looks

pytestmark = pytest.mark.django_db


def again(result: AsyncResult) -> Answer:
    """What a person is told who wants it to run again."""
    task_id = UUID(result.id)
    return transitions.rerun([task_id], actor="user:boss")[task_id]


def test_second_call_is_answered_with_the_first_one_s_task() -> None:
    first = echo.apply_async(["first"], unique_key="a")
    second = echo.apply_async(["second"], unique_key="a")
    assert second == first
    assert TrackedTask.objects.get().args == ["first"]
    assert StateChange.objects.count() == 1


def test_other_keys_and_none_are_other_tasks() -> None:
    calls = [echo.apply_async(unique_key=key) for key in ("a", "A", "a ", None, None)]
    assert len(set(calls)) == 5


def test_a_key_is_everybody_s() -> None:
    assert add.apply_async([1, 2], unique_key="a") == echo.apply_async(unique_key="a")


def test_task_may_make_its_key_of_its_arguments() -> None:
    assert keyed.delay(1) == keyed.delay(1)
    assert keyed.delay(1) == keyed.apply_async(kwargs={"number": 1})
    assert keyed.delay(2) != keyed.delay(1)
    assert keyed.delay(0) != keyed.delay(0)


def test_key_of_the_call_goes_before_the_task_s_own() -> None:
    assert keyed.delay(1) != keyed.apply_async([1], unique_key="another")


def test_key_may_be_a_text() -> None:
    @task(name="tests.unique.nightly", unique_key="nightly")
    def nightly() -> None: ...

    assert nightly.delay() == nightly.delay()


@pytest.mark.parametrize("end", ["success", "failure", "revoked"])
def test_key_is_free_once_its_task_has_ended(end: str) -> None:
    first = add.apply_async([1, 2 if end != "failure" else "x"], unique_key="a")
    if end == "revoked":
        first.revoke()
    else:
        work()
    assert first.ready()
    assert not TrackedTask.objects.filter(active_key="a"), "it does not wait for the next call"
    assert add.apply_async([1, 2], unique_key="a") != first
    invariants.check()


def test_waiting_for_a_retry_keeps_the_key() -> None:
    first = echo.apply_async(unique_key="a")
    TrackedTask.objects.filter(pk=first.id).update(state="RETRY")
    assert echo.apply_async(unique_key="a") == first


def test_retry_by_a_person_takes_the_key_again() -> None:
    first = echo.apply_async(unique_key="a")
    first.revoke()
    assert again(first) is Answer.QUEUED
    assert echo.apply_async(unique_key="a") == first
    invariants.check()


def test_retry_by_a_person_is_refused_while_another_task_has_the_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = noted_looks(monkeypatch)
    first = echo.apply_async(unique_key="a")
    first.revoke()
    second = echo.apply_async(unique_key="a")
    assert again(first) is Answer.REFUSED
    assert (first.state, second.state) == ("REVOKED", "PENDING")
    assert looks == [False], "it is seen, and not found out by trying"
    invariants.check()


def test_retry_by_a_person_asks_no_ended_task_for_the_key() -> None:
    """Not even itself: a worker of a version before unique keys leaves the key on what has ended."""
    first = echo.apply_async(unique_key="a")
    first.revoke()
    second = echo.apply_async(unique_key="a")
    second.revoke()
    TrackedTask.objects.filter(pk=second.id).update(active_key="a")
    assert again(first) is Answer.QUEUED
    assert again(second) is Answer.REFUSED
    first.revoke()
    TrackedTask.objects.filter(pk=first.id).update(active_key="a")
    assert again(first) is Answer.QUEUED
    invariants.check()


def test_a_key_that_is_taken_costs_the_others_no_retry_one_by_one() -> None:
    """It is seen before the write: the constraint would refuse all of them."""
    tasks = [echo.apply_async(unique_key=f"{number}") for number in range(6)]
    for one in tasks:
        one.revoke()
    ids = [UUID(one.id) for one in tasks]
    echo.apply_async(unique_key="0")
    with CaptureQueriesContext(connection) as some:
        answers = transitions.rerun(ids[:4], actor="user:boss")
    with CaptureQueriesContext(connection) as none:
        transitions.rerun(ids[4:], actor="user:boss")
    assert list(answers.values()) == [Answer.REFUSED, *[Answer.QUEUED] * 3]
    assert len(some) <= len(none) + 1, "on the way row by row, one row more"
    invariants.check()


def test_loser_s_transaction_goes_on_and_may_roll_back() -> None:
    first = echo.apply_async(unique_key="a")
    with transaction.atomic():
        assert echo.apply_async(unique_key="a") == first
        other = echo.delay()
        transaction.set_rollback(True)
    assert not TrackedTask.objects.filter(pk=other.id).exists()
    assert first.state == "PENDING"


def test_key_of_a_rolled_back_call_is_free() -> None:
    with transaction.atomic():
        gone = echo.apply_async(unique_key="a")
        transaction.set_rollback(True)
    assert echo.apply_async(unique_key="a") != gone


def test_many_calls_with_one_key_are_one_task() -> None:
    before = keyed.delay(3)
    results = enqueue_many(keyed, [((n % 4,), {}) for n in range(8)])
    assert results[3] == results[7] == before
    assert results[1] == results[5]
    assert results[2] == results[6]
    assert len({results[0], results[4]}) == 2
    assert TrackedTask.objects.count() == 5
    invariants.check()


def test_own_id_that_exists_is_refused_although_the_key_is_free() -> None:
    first = echo.apply_async()
    with pytest.raises(exceptions.DuplicateTaskId):
        echo.apply_async(task_id=first.id, unique_key="a")
    assert TrackedTask.objects.count() == 1


def test_own_id_does_not_matter_where_the_key_is_taken() -> None:
    first = echo.apply_async(unique_key="a")
    assert echo.apply_async(task_id=first.id, unique_key="a") == first


@pytest.mark.parametrize("key", ["", "x" * 256, "a\n", 5])
def test_key_that_is_no_name_is_refused(key: Any) -> None:
    with pytest.raises(exceptions.InvalidTask, match="unique_key"):
        echo.apply_async(unique_key=key)


def test_function_that_makes_no_name_is_named() -> None:
    @task(name="tests.unique.bad", unique_key=lambda: 5)  # type: ignore[arg-type,return-value]
    def bad() -> None: ...

    with pytest.raises(exceptions.InvalidTask, match=r"unique_key of tests\.unique\.bad"):
        bad.delay()


def test_declared_key_that_is_no_name_is_refused_at_once() -> None:
    with pytest.raises(exceptions.InvalidTask, match="unique_key"):

        @task(name="tests.unique.nameless", unique_key="")
        def nameless() -> None: ...


def test_goal_s_tasks_need_no_key_because_the_goal_is_unique() -> None:
    keyed.delay(1)
    pursued = goals.pursue("test.counted", key="1", task=keyed, args=[1])
    assert pursued.state == "ACTIVE"
    assert TrackedTask.objects.count() == 2
