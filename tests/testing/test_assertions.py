"""What was enqueued, and what a failed assertion says of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import sync_to_async
from django.db import IntegrityError, transaction
from django.test import TestCase
from django.utils import timezone

from django_tasktrack import AsyncResult, enqueue_many, goals
from django_tasktrack.exceptions import NotRegistered
from django_tasktrack.testing import (
    assert_enqueued,
    assert_goal,
    assert_not_enqueued,
    eager,
    enqueued,
    run_all,
    run_due,
)
from tests.app.models import Entry
from tests.app.tasks import add, echo, fails

pytestmark = pytest.mark.django_db
ADD, ECHO = add.name, echo.name


def said_by(assertion: Callable[[], object]) -> str:
    """The message of an assertion that fails."""
    with pytest.raises(AssertionError) as caught:
        assertion()
    return str(caught.value)


# What is asked


def test_call_that_was_made_is_found() -> None:
    result = add.delay(2, 3)
    assert assert_enqueued(add) == [result]
    assert assert_enqueued(add.name) == [result]
    run_due()
    assert assert_enqueued(add) == [result]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ({"args": [2]}, {"args": [2, 3]}),
        ({"args": (2,), "kwargs": {"y": 3}}, {"kwargs": {"y": 4}}),
        ({"args": [mock.ANY]}, {"args": [mock.ANY, mock.ANY]}),
        ({"kwargs": {"y": mock.ANY}}, {"kwargs": {}}),
        ({"queue": "slow"}, {"queue": "default"}),
        ({"priority": 5}, {"priority": 0}),
        ({"countdown": 60}, {"countdown": 61}),
        ({"countdown": timedelta(minutes=1)}, {"countdown": 0}),
        ({"times": 1}, {"times": 2}),
    ],
)
def test_each_part_of_a_call_can_be_asked(right: Any, wrong: Any) -> None:
    add.apply_async([2], {"y": 3}, queue="slow", priority=5, countdown=60)
    assert len(assert_enqueued(add, **right)) == 1
    with pytest.raises(AssertionError):
        assert_enqueued(add, **wrong)


def test_time_can_be_asked() -> None:
    at = timezone.now() + timedelta(hours=1)
    echo.apply_async(eta=at)
    assert_enqueued(echo, eta=at)
    assert "← eta=" in said_by(lambda: assert_enqueued(echo, eta=at + timedelta(seconds=1)))
    echo.delay()
    assert len(assert_enqueued(echo, countdown=0)) == 1


@pytest.mark.parametrize(
    "value", [(1, (2, 3)), {"a": (1,), 5: None}, "text", 1.5, None, [], {"deep": [{"x": "y"}]}]
)
def test_arguments_are_compared_as_they_were_given(value: Any) -> None:
    echo.delay(value)
    assert_enqueued(echo, args=[value])


def test_wildcards_may_stand_deep() -> None:
    echo.delay({"items": [1, {"id": 7, "at": "12:00"}]})
    assert_enqueued(echo, args=[{"items": [1, {"id": 7, "at": mock.ANY}]}])


def test_other_call_is_not_enqueued() -> None:
    add.delay(2, 3)
    assert_not_enqueued(echo)
    assert_not_enqueued(add, args=[3, 2])


def test_task_that_does_not_exist_is_no_assertion() -> None:
    with pytest.raises(NotRegistered, match=r"Did you mean 'tests\.app\.tasks\.add'"):
        assert_not_enqueued("tests.app.tasks.ad")


def test_option_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(TypeError):
        assert_not_enqueued(add, argz=[1])


# What is said


def test_nothing_else_was_enqueued() -> None:
    assert said_by(lambda: assert_enqueued(add)) == f"{ADD} was not enqueued. Nothing was."


def test_others_are_shown_nearest_first_with_their_differences() -> None:
    echo.delay("x")
    add.delay(7, 9)
    add.delay(2, 4)
    add.apply_async((2, 4), queue="slow")
    assert said_by(lambda: assert_enqueued(add, args=[2, 3], queue="default")) == (
        f"{ADD} with args=[2, 3], queue='default' was not enqueued. Enqueued, nearest first:\n"
        f"  {ADD}(2, 4)  ← args=[2, 4]\n"
        f"  {ADD}(7, 9)  ← args=[7, 9]\n"
        f"  {ADD}(2, 4)  ← args=[2, 4], queue='slow'\n"
        f"  {ECHO}('x')  ← another task, args=['x']"
    )


def test_number_is_told() -> None:
    add.delay(1, 2)
    assert said_by(lambda: assert_enqueued(add, times=2)) == (
        f"{ADD} was enqueued once, not twice. Enqueued, nearest first:\n  {ADD}(1, 2)"
    )
    enqueue_many(add, [((1, 2), {})] * 2)
    assert f"{ADD} was enqueued 3 times, not once." in said_by(
        lambda: assert_enqueued(add, times=1)
    )
    assert f"{ECHO} was not enqueued 4 times." in said_by(lambda: assert_enqueued(echo, times=4))


def test_unwanted_call_is_shown() -> None:
    add.delay(1, y=2)
    assert said_by(lambda: assert_not_enqueued(add)) == (
        f"{ADD} was enqueued all the same. Enqueued, nearest first:\n  {ADD}(1, y=2)"
    )


def test_many_are_cut_and_so_are_long_values() -> None:
    enqueue_many(echo, [(["x" * 500], {}) for _ in range(15)])
    text = said_by(lambda: assert_enqueued(add))
    assert text.endswith("… and 5 more")
    assert max(map(len, text.splitlines())) < 200


def test_eager_mode_is_named_as_the_reason() -> None:
    with eager():
        add.delay(1, 2)
        assert "Hint: ALWAYS_EAGER is on" in said_by(lambda: assert_enqueued(add))


class WaitingForACommit(TestCase):
    def test_it_is_named_as_the_reason(self) -> None:
        transaction.on_commit(lambda: add.delay(1, 2))
        assert "captureOnCommitCallbacks" in said_by(lambda: assert_enqueued(add))


# enqueued()


def test_block_records_what_is_enqueued_inside_of_it() -> None:
    add.delay(0, 0)
    with enqueued() as tasks:
        first = add.delay(1, 2)
        assert len(tasks) == 1
        second = echo.delay()
    add.delay(3, 4)
    assert list(tasks) == [first, second]
    assert (tasks[0], tasks[-1]) == (first, second)
    assert first in tasks
    assert AsyncResult("x") not in tasks
    assert tasks.assert_enqueued(add, args=[1, 2], times=1) == [first]
    tasks.assert_not_enqueued(add, args=[0, 0])
    tasks.assert_not_enqueued(add, args=[3, 4])


def test_message_is_about_the_block_alone() -> None:
    add.delay(0, 0)
    with enqueued() as tasks:
        pass
    assert said_by(lambda: tasks.assert_enqueued(add)) == f"{ADD} was not enqueued. Nothing was."


def test_nothing_can_be_asserted() -> None:
    with enqueued() as tasks:
        pass
    tasks.assert_nothing()
    with enqueued() as tasks:
        add.delay(1, 2)
    assert said_by(tasks.assert_nothing) == f"Something was enqueued:\n  {ADD}(1, 2)"


def test_rolled_back_call_was_not_enqueued() -> None:
    with enqueued() as tasks, transaction.atomic():
        add.delay(1, 2)
        transaction.set_rollback(True)
    tasks.assert_nothing()


def test_error_in_the_block_is_not_hidden_by_a_broken_transaction() -> None:
    with pytest.raises(IntegrityError), transaction.atomic(), enqueued():
        Entry.objects.bulk_create([Entry(pk=1), Entry(pk=1)])


class Asynchronous(TestCase):
    async def test_block(self) -> None:
        async with enqueued() as tasks:
            result = await sync_to_async(add.delay)(1, 2)
        tasks.assert_enqueued(add, args=[1, 2])
        tasks.assert_not_enqueued(echo)
        assert list(tasks) == [result]

    async def test_function(self) -> None:
        await sync_to_async(add.delay)(1, 2)
        await sync_to_async(assert_enqueued)(add)


# Goals


def test_goal_that_is_achieved() -> None:
    goals.pursue("k", key=1, task=echo, achieve_on_success=True)
    run_due()
    assert assert_goal("k", 1).state == "ACHIEVED"


def test_goal_that_stands_elsewhere_tells_what_was_tried() -> None:
    goals.pursue("k", key=1, task=fails, max_attempts=2)
    assert "is ACTIVE, not ACHIEVED. Its tasks:" in said_by(lambda: assert_goal("k", 1))
    run_all(propagate=False)
    assert_goal("k", 1, "FAILED")
    lines = said_by(lambda: assert_goal("k", 1)).splitlines()
    assert "is FAILED" in lines[0]
    assert lines[1].startswith(f"  1. {fails.name} FAILURE: ")
    assert len(lines) == 3


def test_goal_that_nobody_pursues() -> None:
    with pytest.raises(goals.GoalNotFound):
        assert_goal("k", 1)
