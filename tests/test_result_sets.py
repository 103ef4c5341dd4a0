"""Many results as one, and the relations between results."""

from __future__ import annotations

import json

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_tasktrack import (
    AsyncResult,
    GroupResult,
    ResultSet,
    allow_join_result,
    chain,
    group,
    result_from_tuple,
)
from django_tasktrack.exceptions import TimeoutError, UnknownTask, WouldDeadlock  # noqa: A004
from django_tasktrack.ids import new_id
from django_tasktrack.transitions import Answer
from tests.app import tasks
from tests.app.tasks import add
from tests.inline import row, work

pytestmark = pytest.mark.django_db


def some(*calls: tuple[int, int]) -> ResultSet:
    return ResultSet(add.delay(*call) for call in calls)


def test_what_has_ended_is_counted() -> None:
    results = some((1, 1), (2, 2))
    assert (results.completed_count(), results.ready(), results.waiting()) == (0, False, True)
    work()
    assert (results.completed_count(), results.ready(), results.successful()) == (2, True, True)
    assert not results.failed()
    assert results.get(timeout=0) == results.join() == [2, 4]


@pytest.mark.parametrize(
    "question", ["ready", "waiting", "successful", "failed", "completed_count"]
)
@pytest.mark.parametrize("ended", [False, True])
def test_a_question_is_one_query(question: str, ended: bool) -> None:
    results = some(*[(i, i) for i in range(20)])
    if ended:
        work()
    with CaptureQueriesContext(connection) as asked:
        getattr(results, question)()
    assert len(asked) == 1
    with CaptureQueriesContext(connection) as asked:
        getattr(results, question)()
    assert len(asked) == (0 if ended else 1), "what has ended is read no more"


@pytest.mark.django_db(transaction=True)
def test_each_look_while_waiting_is_one_query(monkeypatch: pytest.MonkeyPatch) -> None:
    results = ResultSet(
        [add.apply_async((9, 9), countdown=60), *some(*[(i, i) for i in range(20)])]
    )
    work()
    looks = []
    monkeypatch.setattr("time.sleep", lambda _: looks.append(1))
    with CaptureQueriesContext(connection) as asked, pytest.raises(TimeoutError):
        results.get(timeout=0.2)
    assert len(asked) == len(looks) + 2, "and one to say how far they are"
    looks.clear()
    results = ResultSet(AsyncResult(one.id) for one in results)
    with CaptureQueriesContext(connection) as asked:
        told = results.iter_native(timeout=0.2)
        assert {next(told)[0] for _ in range(20)} == {one.id for one in results.results[1:]}
        with pytest.raises(TimeoutError):
            next(told)
    assert len(asked) == len(looks) + 2
    assert len(looks) > 1


def test_those_without_a_row_cost_one_query_more() -> None:
    results = ResultSet([*some((1, 1), (2, 2)), AsyncResult(new_id()), AsyncResult("no id")])
    with CaptureQueriesContext(connection) as asked:
        assert results.completed_count() == 0
    assert len(asked) == 2


def test_results_that_were_read_once_are_read_again_in_a_set() -> None:
    results = ResultSet(AsyncResult.many([add.delay(1, 1).id]))
    assert not results.ready()
    work()
    assert results.ready()
    assert results.get(timeout=0) == [2]


def test_all_are_forgotten_by_one_statement() -> None:
    results = some((1, 1), (2, 2))
    work()
    with CaptureQueriesContext(connection) as asked:
        results.forget()
    assert len(asked) == 1
    assert results.get(timeout=0) == [None, None]


def test_a_failure_is_raised_or_among_the_values() -> None:
    results = ResultSet([add.delay(1, 1), tasks.fails.delay("broken"), add.delay(2, 2)])
    work()
    assert results.failed()
    assert not results.successful()
    with pytest.raises(ValueError, match="broken"):
        results.get(timeout=0)
    with pytest.raises(ValueError, match="broken"):
        results.maybe_throw()
    first, error, last = results.get(timeout=0, propagate=False)
    assert (first, last) == (2, 4)
    assert isinstance(error, ValueError)


@pytest.mark.django_db(transaction=True)
def test_waiting_ends_in_time_and_says_which() -> None:
    results = some((1, 1))
    with pytest.raises(TimeoutError, match=rf"0 of 1 .* {results[0].id}, PENDING"):
        results.get(timeout=0)
    with pytest.raises(TimeoutError):
        list(results.iter_native(timeout=0))


def test_one_that_never_was_is_told() -> None:
    with pytest.raises(UnknownTask):
        ResultSet([AsyncResult(new_id())]).get(timeout=1)


def test_callbacks_get_ids_and_values() -> None:
    results, seen = some((1, 1), (2, 2)), []
    work()
    assert results.get(callback=lambda *told: seen.append(told)) == []
    assert seen == [(results[0].id, 2), (results[1].id, 4)]
    assert results[0].get(callback=lambda *told: seen.append(told)) is None
    assert seen[-1] == (results[0].id, 2)


@pytest.mark.django_db(transaction=True)
def test_those_that_have_ended_come_first() -> None:
    late = add.apply_async((5, 5), countdown=60)
    results = ResultSet([late, add.delay(1, 1)])
    work()
    told = results.iter_native(timeout=0.05)
    assert next(told) == (results[1].id, {"status": "SUCCESS", "result": 2})
    with pytest.raises(TimeoutError):
        next(told)


def test_it_is_a_set_in_order() -> None:
    one, two = add.delay(1, 1), add.delay(2, 2)
    results = ResultSet([one])
    results.add(one)
    results.add(two)
    assert list(results) == [one, two]
    assert results[two.id] is two
    results.remove(one)
    results.discard(one)
    assert results == ResultSet([two])
    with pytest.raises(KeyError):
        results.remove(one)
    results.clear()
    assert len(results) == 0


def test_all_are_revoked_together() -> None:
    results = some((1, 1), (2, 2))
    assert set(results.revoke().values()) == {Answer.REVOKED}
    assert [result.state for result in results] == ["REVOKED", "REVOKED"]


def test_values_are_forgotten() -> None:
    results = some((1, 1))
    work()
    results.forget()
    assert results.get(timeout=0) == [None]


def test_a_group_is_found_again_by_its_id() -> None:
    result = group(add.s(i, i) for i in range(3)).delay()
    result.save()
    again = GroupResult.restore(result.id)
    assert again == result
    work()
    assert again is not None
    assert again.get(timeout=0) == [0, 2, 4]
    assert GroupResult.restore(new_id()) is None


def test_results_are_carried_as_json() -> None:
    made = chain(add.s(1, 1), group(add.s(1), add.s(2))).delay()
    told = json.loads(json.dumps(made.as_tuple()))
    again = result_from_tuple(told)
    assert isinstance(again, GroupResult)
    assert (again.id, again) == (made.id, made)
    assert again.parent == made.parent


def test_what_came_of_a_task_is_collected() -> None:
    result = add.apply_async((1, 1), link=[add.s(1), add.s(2)])
    work(rounds=2)
    assert [value for _, value in result.collect(timeout=0)] == [2, 3, 4]


def test_a_task_that_waits_for_another_is_refused() -> None:
    inner = add.delay(1, 1)
    outer = tasks.waits_for.delay(inner.id)
    work()
    with pytest.raises(WouldDeadlock, match="A task waits for another one here"):
        outer.get(timeout=0)
    assert isinstance(outer.result, RuntimeError)


def test_a_task_may_wait_if_it_says_so() -> None:
    inner = add.delay(1, 1)
    work()
    allowed = [tasks.waits_for.delay(inner.id, how) for how in ("argument", "block")]
    work()
    assert [result.get(timeout=0) for result in allowed] == [2, 2]


def test_outside_of_tasks_nobody_has_to_ask() -> None:
    result = add.delay(1, 1)
    work()
    with allow_join_result():
        assert result.get(timeout=0) == 2


def test_relations_of_tasks_that_tasks_enqueue() -> None:
    result = tasks.enqueues.delay(2)
    work(rounds=2)
    assert [child.get(timeout=0) for child in result.children] == [0, 2]
    child = result.children[0]
    assert child.parent == result
    assert str(row(child.id).root_id) == result.id


@pytest.mark.django_db(transaction=True)
def test_asynchronous_code_waits_for_many() -> None:
    results = some((1, 1), (2, 2))
    work()
    assert async_to_sync(results.aget)(timeout=1) == [2, 4]
