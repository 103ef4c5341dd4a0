"""``AsyncResult``: what it says of a task, and what ``get`` raises."""

from __future__ import annotations

import builtins
import contextlib
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction

from django_tasktrack import AsyncResult, enqueue_many, transitions
from django_tasktrack.exceptions import (
    InvalidTask,
    ResultExpired,
    TaskFailure,
    TaskRevokedError,
    TimeoutError,  # noqa: A004  Celery's name for it
    UnknownTask,
    WouldDeadlock,
)
from django_tasktrack.failures import failure
from django_tasktrack.ids import new_id
from django_tasktrack.models import PurgeHorizon, TrackedTask
from django_tasktrack.outcomes import failed, succeeded
from django_tasktrack.states import FINAL, State
from django_tasktrack.transitions import Answer

from .app.tasks import add, echo
from .factories import make_task, make_worker
from .inline import begin, claim_all, claimed, finish, row, running, the_vendor, work

pytestmark = pytest.mark.django_db


class Picky(Exception):
    """An exception that cannot be made from a message."""

    def __init__(self, code: int, *, detail: str) -> None:
        raise AssertionError("its __init__ must not run")


class Hostile(Exception):
    """An exception that resists being subclassed."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        raise RuntimeError("no subclass of mine")


def failed_with(error_type: str, message: str = "the message") -> TaskFailure:
    return failure(
        TrackedTask(error_type=error_type, error_message=message, traceback="Traceback ...")
    )


# State


@pytest.mark.parametrize("state", State)
def test_stored_states_are_shown_as_they_are(state: State) -> None:
    result = AsyncResult(make_task(state).pk)
    assert (result.state, result.status) == (state, state)
    assert result.ready() is (state in FINAL)
    assert (result.successful(), result.failed(), result.revoked()) == (
        state is State.SUCCESS,
        state is State.FAILURE,
        state is State.REVOKED,
    )
    assert result.exists()
    assert not result.expired


def test_label_is_the_state_while_the_task_runs() -> None:
    claim = running()
    transitions.settle(the_vendor(), [transitions.relabelled(claim, "PROGRESS", began=0.0, at=0.0)])
    result = AsyncResult(claim.task_id)
    assert (result.state, result.ready()) == ("PROGRESS", False)
    finish(claim, succeeded("1"))
    assert result.state == "SUCCESS"


@pytest.mark.parametrize("task_id", [new_id(), uuid.uuid4(), "no-uuid", "", "\x00", "1" * 5000])
def test_id_that_no_task_has_is_unknown_and_not_pending(task_id: Any) -> None:
    result = AsyncResult(task_id)
    assert (result.state, result.ready(), result.exists(), result.expired) == (
        "UNKNOWN", False, False, False,
    )  # fmt: skip
    assert (result.result, result.traceback, result.name, result.history()) == (
        None,
        None,
        None,
        [],
    )
    assert result.progress.percent is None
    assert result.revoke() is result.rerun() is Answer.UNKNOWN
    result.forget()
    with pytest.raises(UnknownTask, match="No task has the id"):
        result.get()


def test_purged_id_is_expired() -> None:
    task_id = new_id()
    PurgeHorizon.objects.create(task_id=new_id())
    result = AsyncResult(task_id)
    assert (result.state, result.expired, result.ready()) == ("EXPIRED", True, True)
    with pytest.raises(ResultExpired, match="has been purged"):
        result.get()


def test_id_of_another_project_is_unknown_although_old() -> None:
    PurgeHorizon.objects.create(task_id=new_id())
    assert AsyncResult("01900000-0000-7000-8000-000000000000").state == "UNKNOWN"


def test_result_is_its_id() -> None:
    result = echo.delay()
    assert str(result) == result.id == result.task_id
    assert result == AsyncResult(uuid.UUID(result.id))
    assert hash(result) == hash(AsyncResult(result.id))
    assert result != result.id
    assert result.id in repr(result)


# What is known of the task


def test_metadata_is_filled_from_the_enqueue_on() -> None:
    result = add.apply_async([2], {"y": 3}, queue="mail")
    assert (result.name, result.args, result.kwargs, result.queue) == (
        "tests.app.tasks.add", [2], {"y": 3}, "mail",
    )  # fmt: skip
    assert (result.worker, result.retries, result.date_done) == (None, 0, None)
    work(worker_id=make_worker(name="w7@host").pk)
    assert (result.worker, result.retries, result.result) == ("w7@host", 0, 5)
    assert result.date_done == result.history()[-1].at


def test_progress_and_info_while_it_runs() -> None:
    task = make_task(State.STARTED, progress=(3, 10, "third"))
    progress = AsyncResult(task.pk).progress
    assert (progress.current, progress.total, progress.percent, progress.message) == (
        3, 10, 30, "third",
    )  # fmt: skip


def test_unfinished_result_is_read_again_and_a_final_one_is_not(
    django_assert_num_queries: Any,
) -> None:
    result = echo.delay(1)
    assert result.state == "PENDING"
    work()
    assert result.state == "SUCCESS"
    with django_assert_num_queries(0):
        assert (result.state, result.result, result.get(), result.ready()) == (
            "SUCCESS",
            1,
            1,
            True,
        )


def test_refresh_reads_a_final_one_again() -> None:
    task = make_task(State.FAILURE)
    result = AsyncResult(task.pk)
    assert result.state == "FAILURE"
    transitions.rerun([task.pk])
    result.refresh()
    assert result.state == "PENDING"


# Many


def test_many_ids_are_read_by_one_query(django_assert_num_queries: Any) -> None:
    ids = [result.id for result in enqueue_many(echo, [((n,), {}) for n in range(20)])]
    with django_assert_num_queries(1):
        results = AsyncResult.many(ids)
        assert [(r.state, r.args, r.ready(), r.worker, r.progress.percent) for r in results] == [
            ("PENDING", [n], False, None, None) for n in range(20)
        ]


def test_missing_ids_cost_one_query_more_however_many(django_assert_num_queries: Any) -> None:
    PurgeHorizon.objects.create(task_id=(old := new_id()))
    ids: list[Any] = [echo.delay().id, old, *(uuid.uuid4() for _ in range(20)), "no-uuid"]
    with django_assert_num_queries(2):
        results = AsyncResult.many(ids)
        states = [result.state for result in results]
        assert [result.ready() for result in results][:3] == [False, True, False]
    assert states == ["PENDING", "EXPIRED", *["UNKNOWN"] * 21]


def test_many_show_one_moment_until_they_are_refreshed() -> None:
    (result,) = AsyncResult.many([echo.delay(1).id])
    work()
    assert result.state == "PENDING"
    result.refresh()
    assert result.state == "SUCCESS"


def test_many_of_none() -> None:
    assert AsyncResult.many([]) == []


# get


def test_get_returns_the_value() -> None:
    assert AsyncResult(make_task(State.SUCCESS, result={"a": [1]}).pk).get() == {"a": [1]}


def test_get_raises_what_the_task_raised() -> None:
    result = AsyncResult(make_task(State.FAILURE, error=ValueError("no such invoice")).pk)
    with pytest.raises(ValueError, match=r"^no such invoice\n") as caught:
        result.get()
    assert str(caught.value) == "no such invoice"
    assert isinstance(caught.value, TaskFailure)
    assert caught.value.error_type == "ValueError"
    assert "no such invoice" in caught.value.remote_traceback
    assert "In the worker:" in caught.value.__notes__[0]
    assert result.traceback == caught.value.remote_traceback


def test_get_can_return_the_exception() -> None:
    result = AsyncResult(make_task(State.FAILURE).pk)
    error = result.get(propagate=False)
    assert isinstance(error, TaskFailure)
    assert isinstance(result.result, TaskFailure)
    assert isinstance(result.info, TaskFailure)


def _builtins() -> list[str]:
    kinds = [kind for kind in vars(builtins).values() if isinstance(kind, type)]
    grouped = {"ExceptionGroup"}  # cannot be made without its parts
    return sorted({k.__name__ for k in kinds if issubclass(k, Exception)} - grouped)


@pytest.mark.parametrize("name", _builtins())
def test_every_builtin_exception_is_raised_as_itself(name: str) -> None:
    error = failed_with(name)
    assert isinstance(error, getattr(builtins, name))
    assert str(error) == "the message"
    assert error.args == ("the message",)


def test_exception_with_a_required_argument_is_raised_as_itself() -> None:
    error = failed_with(f"{__name__}.Picky")
    assert isinstance(error, Picky)
    assert str(error) == "the message"


@pytest.mark.parametrize("name", ["ExceptionGroup", f"{__name__}.Hostile"])
def test_class_that_resists_becomes_a_plain_failure(name: str) -> None:
    error = failed_with(name)
    assert type(error) is TaskFailure
    assert (str(error), error.error_type) == ("the message", name)


@pytest.fixture
def _module_on_disk(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "trap_for_imports.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    assert "trap_for_imports" not in sys.modules


@pytest.mark.usefixtures("_module_on_disk")
@pytest.mark.parametrize(
    "path",
    [
        "trap_for_imports.Error", "no.such.module.Error", "os.system", "os.path", "builtins.eval",
        "subprocess.Popen", "sys.modules", "", ".", "..", "a b", "SystemExit", "KeyboardInterrupt",
        "django_tasktrack.exceptions.TaskRevoked", "\x1b[31m", "os.system.x", "Ünïcode",
    ],
)  # fmt: skip
def test_unknown_class_is_synthesised_and_never_imported_or_called(path: str) -> None:
    error = failed_with(path)
    assert isinstance(error, TaskFailure)
    assert isinstance(error, Exception)
    assert error.error_type == path
    assert str(error) == "the message"


def test_class_of_the_package_itself_is_raised_as_itself() -> None:
    assert isinstance(failed_with("django_tasktrack.exceptions.InvalidTask"), InvalidTask)


def test_revoked_task_raises_with_reason_and_actor() -> None:
    result = AsyncResult(make_task(State.REVOKED).pk)
    with pytest.raises(TaskRevokedError, match="was revoked: not wanted by user:boss"):
        result.get()
    assert isinstance(result.get(propagate=False), TaskRevokedError)


@pytest.mark.parametrize("state", [State.PENDING, State.STARTED, State.RETRY])
def test_get_gives_up_after_its_timeout(state: State) -> None:
    result = AsyncResult(make_task(state).pk)
    with pytest.raises(TimeoutError, match=f"is {state} after 0.01 s") as caught:
        result.get(timeout=0.01)
    assert isinstance(caught.value, builtins.TimeoutError)


def timed_out(task_id: object) -> str:
    with pytest.raises(TimeoutError) as caught:
        AsyncResult(str(task_id)).get(timeout=0)
    return caught.value.hint


def test_time_that_runs_out_says_what_the_task_does() -> None:
    worker = make_worker(name="w7@host")
    claim = running(worker.pk)
    since = f"{row(claim.task_id).started_at:%Y-%m-%d %H:%M:%S} UTC"
    assert timed_out(claim.task_id) == f"It has been running since {since} on w7@host."
    waiting = echo.apply_async(queue="slow")
    assert timed_out(waiting) == "manage.py worker must run for its queue, 'slow'."
    later = echo.apply_async(countdown=3600)
    at = f"{row(later.id).run_after:%Y-%m-%d %H:%M:%S} UTC"
    assert timed_out(later) == f"It runs no earlier than {at}."


def test_timeout_of_zero_looks_once() -> None:
    with pytest.raises(TimeoutError):
        AsyncResult(make_task().pk).get(timeout=0)
    assert AsyncResult(make_task(State.SUCCESS, result=1).pk).get(timeout=0) == 1


def test_waiting_where_nobody_can_see_the_task_is_refused() -> None:
    result = echo.delay()
    with pytest.raises(
        WouldDeadlock, match=r"Hint: Wait for it after the atomic block; in a TestCase"
    ):
        result.get(timeout=60)
    many = enqueue_many(echo, [((), {})])
    with pytest.raises(WouldDeadlock):
        many[0].get(timeout=60)


def test_who_waits_only_for_a_moment_goes_on_where_nobody_can_see_the_task() -> None:
    result = echo.delay()
    begun = time.monotonic()
    with contextlib.suppress(TimeoutError):
        result.get(timeout=60, propagate=False)
    assert time.monotonic() - begun < 30, "the wait would be in vain"
    assert (result.ready(), result.state) == (False, "PENDING")


def test_rolled_back_task_is_unknown_to_its_own_result() -> None:
    with transaction.atomic():  # a savepoint
        result = echo.delay()
        transaction.set_rollback(True)
    assert result.state == "UNKNOWN"
    with pytest.raises(UnknownTask):
        result.get()


@pytest.mark.django_db(transaction=True)
def test_after_the_commit_waiting_is_allowed() -> None:
    with transaction.atomic():
        result = echo.delay(1)
    with pytest.raises(TimeoutError):
        result.get(timeout=0.01)
    work()
    assert result.get(timeout=5) == 1


@pytest.mark.django_db(transaction=True)
def test_get_returns_when_the_task_ends() -> None:
    result = echo.delay("value")

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Timer(0.1, run)
    thread.start()
    assert result.get(timeout=10, interval=0.01) == "value"
    thread.join()


@pytest.mark.django_db(transaction=True)
def test_asynchronous_code_waits_too() -> None:
    done, waiting = make_task(State.SUCCESS, result=5), make_task()

    async def wait() -> Any:
        with pytest.raises(TimeoutError):
            await AsyncResult(waiting.pk).aget(timeout=0.02)
        return await AsyncResult(done.pk).aget()

    assert _in_a_loop(wait) == 5


def _in_a_loop(body: Callable[[], Any]) -> Any:
    return async_to_sync(body)()


# Acting on it


def test_revoke_and_rerun_by_the_result() -> None:
    result = echo.delay(1)
    assert result.revoke(actor="user:1", reason="no") is Answer.REVOKED
    assert result.state == "REVOKED"
    assert result.revoke() is Answer.REFUSED
    assert result.rerun(actor="user:1") is Answer.QUEUED
    assert result.state == "PENDING"
    assert result.rerun() is Answer.REFUSED


def test_revoke_of_a_running_task_asks_its_worker() -> None:
    claim = running()
    result = AsyncResult(claim.task_id)
    assert result.revoke(terminate=True, signal="SIGKILL") is Answer.TERMINATING
    (request,) = transitions.revoke_requests(the_vendor(), claim.worker_id)
    assert request.signal == "SIGKILL"


@pytest.mark.parametrize("signal", ["SIGSTOP", "9", "", "KILL"])
def test_signal_that_ends_nothing_is_refused(signal: str) -> None:
    result = echo.delay()
    with pytest.raises(InvalidTask, match="cannot end a task"):
        result.revoke(terminate=True, signal=signal)
    assert result.state == "PENDING"


def test_revoke_may_wait_for_the_end() -> None:
    result = AsyncResult(running().task_id)
    with pytest.raises(TimeoutError):
        result.revoke(wait=True, timeout=0.01)


def test_forget_drops_the_value_and_keeps_the_history() -> None:
    result = AsyncResult(make_task(State.SUCCESS, result="big").pk)
    assert result.get() == "big"
    result.forget()
    assert (result.state, result.result) == ("SUCCESS", None)
    assert [change.state for change in result.history()] == ["PENDING", "STARTED", "SUCCESS"]


def test_traceback_is_the_last_failed_attempt_s() -> None:
    claim = claimed()
    begin(claim)
    finish(claim, failed(ValueError("x")))
    assert "ValueError: x" in (AsyncResult(claim.task_id).traceback or "")
    assert AsyncResult(make_task(State.SUCCESS).pk).traceback is None
    assert claim_all(make_worker().pk) == []
