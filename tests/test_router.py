"""The tasks in a database of their own: whose transaction an enqueue belongs to, and what checks say."""

from __future__ import annotations

import contextlib
import uuid

import pytest
from django.core.checks import CheckMessage
from django.db import DatabaseError, connection, transaction
from django.test import TestCase, override_settings

from django_tasktrack import AsyncResult, enqueue_many, goals
from django_tasktrack.checks import check_router
from django_tasktrack.exceptions import DuplicateTaskId, UnknownTask
from django_tasktrack.models import Goal, StateChange, TrackedTask
from django_tasktrack.transitions import Answer
from tests import routed

from .app.models import Entry
from .app.tasks import add, echo, keyed


def tasks_atomic() -> transaction.Atomic:
    return transaction.atomic(using=routed.TASKS)


def business_atomic() -> transaction.Atomic:
    return transaction.atomic()


def nothing_was_written() -> bool:
    return not TrackedTask.objects.exists() and not StateChange.objects.exists()


@pytest.mark.usefixtures("tasks_apart")
@routed.both
class TestWhoseTransaction:
    def test_outside_of_any_it_is_written_at_once(self) -> None:
        assert echo.delay().state == "PENDING"

    def test_it_waits_for_the_commit_of_the_business_data(self) -> None:
        with transaction.atomic():
            one = echo.delay("one")
            many = enqueue_many(echo, [((number,), {}) for number in range(3)])
            assert {result.state for result in (one, *many)} == {"UNKNOWN"}
            assert nothing_was_written()
            with pytest.raises(UnknownTask, match="open or was rolled back"):
                one.get()
            assert one.revoke() is Answer.UNKNOWN
        assert {result.state for result in (one, *many)} == {"PENDING"}
        assert [result.args for result in (one, *many)] == [["one"], [0], [1], [2]]
        assert StateChange.objects.count() == 4

    def test_rolled_back_it_never_was(self) -> None:
        with transaction.atomic():
            result = echo.delay()
            enqueue_many(echo, [((), {})] * 3)
            transaction.set_rollback(True)
        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            echo.delay()
            raise ZeroDivisionError
        assert nothing_was_written()
        assert result.state == "UNKNOWN"

    def test_a_rolled_back_savepoint_takes_only_its_own_calls_along(self) -> None:
        with transaction.atomic():
            first = echo.delay("first")
            with transaction.atomic():
                gone = echo.delay("gone")
                transaction.set_rollback(True)
            with transaction.atomic():
                last = echo.delay("last")
            assert nothing_was_written()
        assert [result.state for result in (first, gone, last)] == ["PENDING", "UNKNOWN", "PENDING"]

    def test_a_nested_block_without_a_savepoint_takes_all_along(self) -> None:
        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            echo.delay()
            with transaction.atomic(savepoint=False):
                echo.delay()
                raise ZeroDivisionError
        assert nothing_was_written()

    def test_a_commit_that_fails_enqueues_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fails() -> None:
            raise DatabaseError("the disk is full")

        block = transaction.atomic()
        block.__enter__()
        echo.delay()
        monkeypatch.setattr(connection, "_commit", fails)
        with pytest.raises(DatabaseError, match="the disk is full"):
            block.__exit__(None, None, None)
        assert nothing_was_written()

    def test_a_transaction_without_autocommit_has_no_commit_to_follow(self) -> None:
        echo.delay()
        transaction.set_autocommit(False)
        try:
            Entry.objects.create(text="gone")
            with pytest.raises(transaction.TransactionManagementError):
                echo.delay()
        finally:
            transaction.rollback()
            transaction.set_autocommit(True)
        assert TrackedTask.objects.count() == 1

    def test_what_is_wrong_with_the_call_is_said_at_the_call(self) -> None:
        with transaction.atomic():
            with pytest.raises(TypeError, match="missing a required argument"):
                add.delay(1)  # type: ignore[call-arg]
            with pytest.raises(ValueError, match="priority"):
                echo.apply_async(priority=500)

    def test_it_joins_a_transaction_of_its_own_database(self) -> None:
        with tasks_atomic():
            result = echo.delay()
            assert result.state == "PENDING"
            transaction.set_rollback(True, using=routed.TASKS)
        assert nothing_was_written()

    @pytest.mark.parametrize("business_first", [True, False])
    def test_with_both_open_it_joins_its_own(self, business_first: bool) -> None:
        outer, inner = business_atomic, tasks_atomic
        if not business_first:
            outer, inner = inner, outer
        with outer(), inner():
            assert echo.delay().state == "PENDING"
            transaction.set_rollback(True)
        assert TrackedTask.objects.count() == 1
        with outer(), inner():
            echo.delay()
            transaction.set_rollback(True, using=routed.TASKS)
        assert TrackedTask.objects.count() == 1

    def test_an_id_that_exists_is_told_by_the_commit(self) -> None:
        taken = echo.delay("first").id
        block = transaction.atomic()
        block.__enter__()
        Entry.objects.create(text="kept")
        echo.apply_async(["second"], task_id=taken)
        echo.delay("third")
        with pytest.raises(DuplicateTaskId, match=f"A task with id {taken} exists"):
            block.__exit__(None, None, None)
        assert Entry.objects.exists(), "the error comes too late to take it back"
        assert [task.args for task in TrackedTask.objects.all()] == [["first"]]
        assert connection.run_on_commit == []

    def test_a_chosen_id_is_kept(self) -> None:
        chosen = str(uuid.uuid4())
        with transaction.atomic():
            assert echo.apply_async(task_id=chosen).id == chosen
        assert AsyncResult(chosen).state == "PENDING"

    def test_a_unique_key_that_is_taken_is_found_out_after_the_commit(self) -> None:
        holder = keyed.delay(1)
        with transaction.atomic():
            refused = keyed.delay(1)
            free = keyed.delay(2)
        assert refused.id != holder.id
        assert [result.state for result in (holder, refused, free)] == [
            "PENDING",
            "UNKNOWN",
            "PENDING",
        ]

    def test_goals_are_no_part_of_the_business_transaction(self) -> None:
        with transaction.atomic():
            goal = goals.pursue("invoice.paid", key=1, task=add, args=[1, 2])
            transaction.set_rollback(True)
        assert goal.refresh().state == "ACTIVE"
        assert goal.attempts()
        with transaction.atomic():
            assert goal.achieve()
            transaction.set_rollback(True)
        assert goal.refresh().state == "ACHIEVED"

    @override_settings(TASKTRACK={"BUSINESS_DATABASE": routed.TASKS})
    def test_business_data_may_be_elsewhere(self) -> None:
        with transaction.atomic():
            assert echo.delay().state == "PENDING"
            transaction.set_rollback(True)
        assert TrackedTask.objects.count() == 1


class TestInATestCase(TestCase):
    """A test that is one transaction, as most are, sees what Django lets it see of commits."""

    databases = {"default", routed.TASKS}

    def test_with_both_databases_an_enqueue_joins_the_test_s_transaction(self) -> None:
        with routed.in_use():
            with transaction.atomic():
                result = echo.delay()
            assert result.state == "PENDING"


class TestInATestCaseOfBusinessData(TestCase):
    databases = {"default"}

    def test_with_the_business_data_alone_the_test_says_when_it_commits(self) -> None:
        with routed.using(routed.Router), self.captureOnCommitCallbacks() as enqueues:
            echo.delay()
        assert len(enqueues) == 1


# System checks


def said() -> dict[str | None, CheckMessage]:
    return {message.id: message for message in check_router()}


def test_one_database_is_nothing_to_speak_of() -> None:
    assert said() == {}


def test_two_are_a_warning_with_what_it_means() -> None:
    with routed.using(routed.Router):
        (warning,) = said().values()
        assert warning.id == "tasktrack.W004"
        assert "'tasks', and business data is in 'default'" in warning.msg
        assert "docs/databases.md" in str(warning.hint)
        with override_settings(TASKTRACK={"BUSINESS_DATABASE": routed.TASKS}):
            assert said() == {}


def test_a_copy_for_reads_is_nothing_to_speak_of() -> None:
    with routed.using(routed.Lagging):
        assert set(said()) == {"tasktrack.W004"}


def test_tables_in_two_databases_are_an_error() -> None:
    with routed.using(routed.Scattered):
        error = said()["tasktrack.E005"]
    assert error.msg == f"A router sends TrackedTask to 'tasks', and elsewhere: {Goal.__name__}."


def test_a_business_database_that_is_none_is_an_error() -> None:
    with override_settings(TASKTRACK={"BUSINESS_DATABASE": "defualt"}):
        (error,) = said().values()
    assert error.id == "tasktrack.E004"
    assert error.hint == "Name one of these: default, tasks."


@override_settings(TASKTRACK={"LEASE": "long"})
def test_settings_that_are_wrong_are_told_by_their_own_check() -> None:
    assert said() == {}
