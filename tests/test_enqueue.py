"""From a call to a row: what cannot be is refused and leaves nothing, what can be joins the caller."""

from __future__ import annotations

import math
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_tasktrack import enqueue_many
from django_tasktrack.exceptions import (
    DuplicateTaskId,
    InvalidTask,
    NotRegistered,
    PayloadError,
)
from django_tasktrack.ids import is_ours
from django_tasktrack.models import StateChange, TrackedTask
from django_tasktrack.payloads import MAX_DEPTH, decode
from django_tasktrack.states import Stage

from .app.models import Entry
from .app.tasks import add, asks_again, echo, fails
from .factories import make_worker
from .inline import claim_all, finish, history, row, run

pytestmark = pytest.mark.django_db

FAR = datetime(2100, 1, 1, tzinfo=UTC)


def nothing_was_written() -> bool:
    return not TrackedTask.objects.exists() and not StateChange.objects.exists()


def seconds_between(later: datetime | None, earlier: datetime) -> float:
    assert later is not None
    return (later - earlier).total_seconds()


# What a call leaves


def test_row_is_there_from_the_call_on() -> None:
    result = add.delay(2, 3)
    task = row(result.id)
    assert (task.name, task.args, task.kwargs) == ("tests.app.tasks.add", [2, 3], {})
    assert (task.state, task.stage, task.queue, task.priority) == (
        "PENDING",
        Stage.DUE,
        "default",
        0,
    )
    assert (task.attempt, task.lease, task.seq, task.max_attempts) == (0, 0, 1, 4)
    assert task.created_at == task.run_after
    assert is_ours(task.pk)
    (first,) = history(result.id)
    assert (first.seq, first.state, first.attempt, first.lease) == (1, "PENDING", 0, 0)
    assert first.at == task.created_at


def test_times_are_the_database_s_own() -> None:
    before = timezone.now()
    created = row(echo.delay().id).created_at
    assert abs(seconds_between(created, before)) < 5


@pytest.mark.parametrize(
    "value",
    [2**63, -(2**200), 0.1, 1e300, 5e-324, "ä€😀\U0010ffff", "\\u0000", "\x1b[0m\r\n\t'\"", "",
     [], {}, None, True, [None, [1.0, 1]], {"": {"a b": []}}],
    ids=repr,
)  # fmt: skip
def test_argument_reaches_the_body_as_it_was_given(value: Any) -> None:
    result = echo.delay(value)
    (claim,) = claim_all(make_worker().pk)
    outcome = run(claim)
    assert repr(decode(outcome.result)) == repr(value)
    finish(claim, outcome)
    assert repr(row(result.id).result) == repr(value)
    assert row(result.id).args == [value]


def _deep(levels: int) -> Any:
    value: Any = "bottom"
    for level in range(levels):
        value = [value] if level % 2 else {"below": value}
    return value


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(10**4200, id="4,201 digits"),
        pytest.param(_deep(MAX_DEPTH - 1), id="as deep as allowed"),
        pytest.param("ä" * 500_000, id="nearly a megabyte"),
        pytest.param({"k" * 10_000: 1}, id="long key"),
    ],
)
def test_value_at_the_limit_is_stored_by_every_database(value: Any) -> None:
    result = echo.delay(value)
    (claim,) = claim_all(make_worker().pk)
    finish(claim, run(claim))
    assert row(result.id).result == value
    assert row(result.id).args == [value]


def test_limit_of_attempts_is_the_declared_one() -> None:
    assert row(fails.delay().id).max_attempts == 1
    assert row(asks_again.delay(1).id).max_attempts == 3


# Options


@pytest.mark.parametrize("countdown", [60, 60.0, timedelta(minutes=1)])
def test_countdown_schedules(countdown: Any) -> None:
    task = row(echo.apply_async(countdown=countdown).id)
    assert task.stage == Stage.SCHEDULED
    assert seconds_between(task.run_after, task.created_at) == pytest.approx(60)


@pytest.mark.parametrize("countdown", [0, -5, timedelta(0)])
def test_countdown_that_is_over_is_due(countdown: Any) -> None:
    assert row(echo.apply_async(countdown=countdown).id).stage == Stage.DUE


def test_eta_schedules() -> None:
    task = row(echo.apply_async(eta=FAR).id)
    assert (task.stage, task.run_after) == (Stage.SCHEDULED, FAR)


def test_past_eta_is_due() -> None:
    past = datetime(2001, 1, 1, tzinfo=UTC)
    task = row(echo.apply_async(eta=past).id)
    assert (task.stage, task.run_after) == (Stage.DUE, past)


@pytest.mark.parametrize("expires", [90, timedelta(seconds=90)])
def test_expiry_counts_from_the_enqueue(expires: Any) -> None:
    task = row(echo.apply_async(expires=expires).id)
    assert seconds_between(task.expires_at, task.created_at) == pytest.approx(90)


def test_expiry_may_be_a_time() -> None:
    assert row(echo.apply_async(expires=FAR).id).expires_at == FAR
    assert row(echo.apply_async().id).expires_at is None


def test_queue_and_priority_of_the_call() -> None:
    task = row(echo.apply_async(queue="mail", priority=-100).id)
    assert (task.queue, task.priority) == ("mail", -100)


@override_settings(TASKTRACK={"DEFAULT_QUEUE": "slow"})
def test_default_queue_comes_from_the_settings() -> None:
    assert row(echo.delay().id).queue == "slow"


def test_owner_is_a_user_or_a_name() -> None:
    user = User.objects.create_user("ann")
    assert row(echo.apply_async(owner=user).id).owner == str(user.pk)
    assert row(echo.apply_async(owner="tenant-7").id).owner == "tenant-7"
    assert row(echo.apply_async().id).owner == ""


@pytest.mark.parametrize("spell", [str, uuid.UUID, lambda text: uuid.UUID(text).hex])
def test_caller_may_choose_the_id(spell: Any) -> None:
    given = str(uuid.uuid4())
    assert echo.apply_async(task_id=spell(given)).state == "PENDING"
    assert row(given).name == echo.name


# Bad input


BAD_OPTIONS: list[dict[str, Any]] = [
    {"countdown": "soon"}, {"countdown": math.nan}, {"countdown": math.inf}, {"countdown": True},
    {"countdown": 1e10}, {"countdown": timedelta.max}, {"countdown": 1, "eta": FAR},
    {"eta": "tomorrow"}, {"eta": datetime(2100, 1, 1)}, {"eta": FAR.date()}, {"eta": 5},
    {"expires": "never"}, {"expires": datetime(2100, 1, 1)}, {"expires": timedelta.max},
    {"queue": ""}, {"queue": 5}, {"queue": b"mail"}, {"queue": "q" * 101}, {"queue": "a\x00"},
    {"queue": "a\nb"}, {"queue": "\ud800"},
    {"priority": 101}, {"priority": -101}, {"priority": "1"}, {"priority": 0.5},
    {"priority": True}, {"priority": 2**70},
    {"time_limit": 0}, {"time_limit": "long"}, {"soft_time_limit": -1}, {"time_limit": math.nan},
    {"task_id": "42"}, {"task_id": 42}, {"task_id": ""},
    {"owner": "a\x00b"}, {"owner": "o" * 256}, {"owner": User(username="unsaved")},
]  # fmt: skip


@pytest.mark.parametrize("options", BAD_OPTIONS, ids=repr)
def test_option_that_cannot_be_is_refused_with_its_name(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidTask, match=next(iter(options))) as caught:
        echo.apply_async(**options)
    assert caught.value.hint
    assert nothing_was_written()


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((1,), {}, "missing a required argument: 'y'"),
        ((1, 2, 3), {}, "too many positional arguments"),
        ((1,), {"z": 2}, "'[yz]'"),
        ((1, 2), {"x": 1}, "multiple values for argument 'x'"),
        (5, {}, "args=5 is no list or tuple. Hint: One argument is"),
        ("ab", {}, "args='ab' is no list or tuple"),
        ({1, 2}, {}, "is no list or tuple"),
        ((1,), [("y", 2)], "is no dict"),
        ((1,), {5: 2}, "keywords must be strings"),
    ],
)
def test_arguments_must_fit_the_signature(args: Any, kwargs: Any, words: str) -> None:
    with pytest.raises(TypeError, match=f"tests.app.tasks.add: .*{words}"):
        add.apply_async(args, kwargs)
    assert nothing_was_written()


@pytest.mark.parametrize(
    "bad", [object(), math.nan, -math.inf, "\x00", "\ud800", {1}, b"", {(1,): 2}, "x" * 2_000_000]
)
def test_argument_that_json_cannot_carry_is_refused(bad: Any) -> None:
    with pytest.raises(PayloadError, match=r"^args"):
        echo.delay(bad)
    with pytest.raises(PayloadError, match=r"^kwargs"):
        echo.delay(value=bad)
    assert nothing_was_written()


def test_error_names_the_argument_and_its_type() -> None:
    with pytest.raises(PayloadError, match=r"^kwargs\['y'\]\[1\]: a value of type set"):
        add.apply_async([1], {"y": [0, {5}]})


def test_self_is_no_argument_of_a_bound_task() -> None:
    with pytest.raises(TypeError, match="too many positional arguments"):
        asks_again.delay("self", 1)


# A task_id that exists


def test_existing_id_is_refused_and_the_caller_s_transaction_goes_on() -> None:
    taken = echo.delay("first").id
    with transaction.atomic():
        Entry.objects.create(text="before")
        with pytest.raises(DuplicateTaskId, match=f"A task with id {taken} exists"):
            echo.apply_async(["second"], task_id=taken)
        Entry.objects.create(text="after")
    assert Entry.objects.count() == 2
    assert row(taken).args == ["first"]
    assert len(history(taken)) == 1


# In the caller's transaction


def test_rolled_back_call_never_was() -> None:
    with transaction.atomic():
        echo.delay()
        enqueue_many(echo, [((1,), {}), ((2,), {})])
        assert TrackedTask.objects.count() == 3
        transaction.set_rollback(True)
    assert nothing_was_written()


def test_rolled_back_savepoint_takes_only_its_own_calls_along() -> None:
    with transaction.atomic():
        kept = echo.delay("kept")
        with transaction.atomic():  # a savepoint
            echo.delay("gone")
            transaction.set_rollback(True)
    assert [task.pk for task in TrackedTask.objects.all()] == [uuid.UUID(kept.id)]
    assert StateChange.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_thousand_rolled_back_calls_leave_no_row() -> None:
    for number in range(1000):
        with transaction.atomic():
            if number % 2:
                echo.delay(number)
                transaction.set_rollback(True)
            else:
                with transaction.atomic():  # a savepoint
                    echo.delay(number)
                    transaction.set_rollback(True)
    assert nothing_was_written()


# Many at once


def test_results_come_in_the_order_of_the_calls() -> None:
    results = enqueue_many(add, [((number, 0), {}) for number in range(50)])
    assert [result.args for result in results] == [[number, 0] for number in range(50)]
    assert [result.id for result in results] == sorted(result.id for result in results)
    assert StateChange.objects.count() == 50


def test_options_are_for_all_calls() -> None:
    results = enqueue_many(echo, [((1,), {}), ((), {"value": 2})], queue="mail", countdown=60)
    assert {row(result.id).queue for result in results} == {"mail"}
    assert {row(result.id).stage for result in results} == {Stage.SCHEDULED}


def test_task_may_be_named() -> None:
    (result,) = enqueue_many("tests.app.tasks.add", [((1, 2), {})])
    assert result.name == "tests.app.tasks.add"
    with pytest.raises(NotRegistered, match=r"Did you mean 'tests\.app\.tasks\.add'"):
        enqueue_many("tests.app.tasks.addd", [])


def test_no_calls_are_no_tasks() -> None:
    assert enqueue_many(echo, []) == []


def test_ten_thousand_calls_with_a_bad_one_are_none() -> None:
    calls: list[Any] = [((number,), {}) for number in range(10_000)]
    calls[7_654] = ((math.nan,), {})
    with pytest.raises(PayloadError) as caught:
        enqueue_many(echo, calls)
    assert caught.value.__notes__ == ["In call 7654 of enqueue_many; none was enqueued."]
    assert nothing_was_written()


@pytest.mark.parametrize("call", [5, (), ((1,),), ((1,), {}, "more"), ((1,), 5), (5, {})])
def test_call_that_is_no_pair_is_named(call: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        enqueue_many(echo, [((0,), {}), call])
    assert caught.value.__notes__ == ["In call 1 of enqueue_many; none was enqueued."]
    assert nothing_was_written()


def test_many_tasks_cannot_have_one_id() -> None:
    with pytest.raises(InvalidTask, match="one task_id"):
        enqueue_many(echo, [((), {})], task_id=uuid.uuid4())


def test_bad_option_of_many_is_refused() -> None:
    with pytest.raises(InvalidTask, match="priority=101"):
        enqueue_many(echo, [((), {})], priority=101)
    with pytest.raises(TypeError, match="prio"):
        enqueue_many(echo, [((), {})], prio=1)
    assert nothing_was_written()


def test_many_calls_take_few_statements(django_assert_max_num_queries: Any) -> None:
    # One on PostgreSQL, which also reads the clock in it; others insert as many rows as they can bind.
    with django_assert_max_num_queries(1 if connection.vendor == "postgresql" else 100):
        enqueue_many(echo, [((number,), {}) for number in range(2000)])
    assert TrackedTask.objects.count() == 2000


@pytest.mark.django_db(transaction=True)
def test_alone_it_is_one_statement_where_the_database_has_one_for_it() -> None:
    """No BEGIN and no COMMIT: on PostgreSQL they would treble its round trips."""
    if connection.vendor != "postgresql":
        pytest.skip("the portable vendor takes a transaction")
    with CaptureQueriesContext(connection) as queries:
        echo.delay()
    said = [query["sql"].split()[0] for query in queries]
    assert said == ["WITH", "NOTIFY"], "the rows, and the notification"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("options", [{}, {"task_id": uuid.uuid4()}, {"unique_key": "a"}])
def test_it_joins_a_transaction_without_autocommit(options: dict[str, Any]) -> None:
    if options and connection.vendor == "sqlite":
        pytest.skip("SQLite without autocommit: the end of a savepoint commits")
    transaction.set_autocommit(False)
    try:
        assert echo.apply_async(**options).state == "PENDING"
        transaction.rollback()
        assert nothing_was_written()
        kept = echo.apply_async(**options)
        transaction.commit()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert kept.state == "PENDING"
