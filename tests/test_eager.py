"""Calls that run here and now: ``Task.apply()``, and every call under ``ALWAYS_EAGER``."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.checks import run_checks
from django.test import override_settings
from django.utils import timezone

from django_tasktrack import AsyncResult, EagerResult, enqueue_many, goals, registry, task
from django_tasktrack.conf import Config, config
from django_tasktrack.declaration import Task
from django_tasktrack.exceptions import (
    Ignore,
    MaxRetriesExceededError,
    NotRunning,
    PayloadError,
    TaskRevoked,
    TaskRevokedError,
)
from django_tasktrack.models import TrackedTask
from django_tasktrack.testing import eager

from .app.models import Entry
from .app.tasks import achieves, add, echo, fails, flaky, reads_the_database, says_autocommit
from .inline import claimed


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_definitions", dict(registry._definitions))


def declared(**options: Any) -> Callable[[Callable[..., Any]], Task[..., Any]]:
    return task(name="eager", **options)


# apply()


def test_result_has_the_face_of_any_other() -> None:
    result = add.apply((2,), {"y": 3}, queue="slow")
    assert isinstance(result, AsyncResult)
    assert (result.state, result.status, result.result, result.info) == ("SUCCESS",) * 2 + (5, 5)
    assert (result.get(), result.wait(timeout=1)) == (5, 5)
    assert (result.ready(), result.successful(), result.failed(), result.revoked()) == (
        (True, True, False, False)
    )
    assert (result.name, result.args, result.kwargs) == (add.name, [2], {"y": 3})
    assert (result.queue, result.retries, result.worker) == ("slow", 0, socket.gethostname())
    assert timezone.now() - result.date_done < timedelta(minutes=1)
    assert (result.traceback, result.exists(), result.expired, result.history()) == (
        (None, False, False, [])
    )
    assert str(result) == result.id == result.task_id
    assert repr(result) == f"<EagerResult {result.id}>"


@pytest.mark.django_db
def test_there_is_no_row() -> None:
    assert AsyncResult(add.apply((1, 2)).id).state == "UNKNOWN"
    assert not TrackedTask.objects.exists()


def test_arguments_and_result_are_as_after_the_way_through_a_row() -> None:
    body = declared()(lambda value: (type(value).__name__, value))
    assert body.apply([(1, 2)]).get() == ["list", [1, 2]]


@pytest.mark.parametrize("error", [TypeError, PayloadError])
def test_call_that_could_not_be_enqueued_is_not_run(error: type[Exception]) -> None:
    with pytest.raises(error):
        add.apply((1,) if error is TypeError else (1, {2}))


def test_unknown_option_names_the_nearest() -> None:
    with pytest.raises(TypeError, match=r"apply\(\) has no option 'que'.*'queue'"):
        add.apply((1, 2), que="x")


def test_failure_keeps_the_body_s_own_exception() -> None:
    result = fails.apply(["boom"])
    assert (result.state, result.failed(), result.successful()) == ("FAILURE", True, False)
    assert isinstance(result.result, ValueError)
    assert result.get(propagate=False) is result.result
    assert "raise ValueError(message)" in (result.traceback or "")
    with pytest.raises(ValueError, match="boom") as caught:
        result.get()
    assert type(caught.value) is ValueError
    assert caught.traceback[-1].name == "fails"


def test_throw_raises_it() -> None:
    with pytest.raises(ValueError, match="boom"):
        fails.apply(["boom"], throw=True)


@override_settings(TASKTRACK={"EAGER_PROPAGATES": True})
def test_setting_makes_it_throw() -> None:
    with pytest.raises(ValueError, match="boom"):
        fails.apply(["boom"])
    assert fails.apply(["boom"], throw=False).failed()


def test_value_that_cannot_be_stored_is_a_failure_here_too() -> None:
    result = declared()(lambda: {1}).apply()
    with pytest.raises(PayloadError, match="The result"):
        result.get()


def test_retries_come_at_once() -> None:
    result = flaky.apply([3])
    assert (result.get(), result.retries) == (3, 2)


def test_retries_end() -> None:
    result = flaky.apply([4])
    assert (result.state, result.retries) == ("FAILURE", 2)
    with pytest.raises(ConnectionError, match="attempt 3 of 4"):
        result.get()


def test_call_may_begin_as_its_last_retry() -> None:
    assert flaky.apply([3], retries=2).get() == 3
    assert flaky.apply([4], retries=2).failed()


def test_body_may_ask_for_more_retries() -> None:
    def body(self: Any) -> int:
        if self.request.retries < 3:
            self.retry(countdown=60, max_retries=5)
        return int(self.request.retries)

    assert declared(bind=True, max_retries=1)(body).apply().get() == 3


def test_retries_without_an_end_are_an_error() -> None:
    def body(self: Any) -> None:
        self.retry(countdown=60)

    with pytest.raises(
        MaxRetriesExceededError, match=r"eager was retried 1,000 times.*max_retries"
    ):
        declared(bind=True, max_retries=None)(body).apply()


def test_request_says_that_it_is_eager() -> None:
    seen = []
    declared(bind=True)(lambda self: seen.append(self.request)).apply(owner="ann", priority=3)
    (request,) = seen
    assert request.is_eager
    assert not request.called_directly
    assert (request.owner, request.delivery_info["priority"]) == ("ann", 3)


def test_progress_is_what_was_told_last() -> None:
    def body(self: Any) -> None:
        self.progress.set(1, 4, "first")
        self.update_state(state="HALF", meta={"current": 2, "note": "x"})

    result = declared(bind=True)(body).apply()
    assert result.state == "SUCCESS"
    assert (result.progress.percent, result.progress.message) == (50.0, "first")
    assert result.progress.meta == {"current": 2, "note": "x"}
    assert add.apply((1, 2)).progress.percent is None


def test_ignored_is_a_success_without_a_value() -> None:
    def body() -> None:
        raise Ignore

    result = declared()(body).apply()
    assert (result.state, result.get()) == ("SUCCESS", None)


def test_revoked_by_itself() -> None:
    def body() -> None:
        raise TaskRevoked

    result = declared()(body).apply(throw=True)
    assert (result.state, result.revoked()) == ("REVOKED", True)
    with pytest.raises(TaskRevokedError):
        result.get()


def test_what_changes_rows_is_refused() -> None:
    result = add.apply((1, 2))
    assert (result.revoke(terminate=True), result.rerun()) == ("refused", "refused")
    result.refresh()
    assert result.get() == 3
    result.forget()
    assert (result.state, result.get()) == ("SUCCESS", None)


def test_ctrl_c_is_not_the_task_s() -> None:
    def body() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        declared()(body).apply()


def test_exit_is_the_task_s() -> None:
    def body() -> None:
        raise SystemExit(3)

    assert declared()(body).apply().failed()


@pytest.mark.django_db
def test_async_body_sees_the_caller_s_transaction() -> None:
    Entry.objects.create(text="not committed")

    async def body() -> int:
        return await Entry.objects.acount()

    assert declared()(body).apply().get() == 1
    assert reads_the_database.apply().get() == 0


def test_async_body_in_an_event_loop_says_what_to_do() -> None:
    async def body() -> None: ...

    async def call() -> EagerResult:
        return declared()(body).apply()

    with pytest.raises(NotRunning, match="sync_to_async"):
        asyncio.run(call()).get()


@pytest.mark.django_db
def test_goal_is_achieved_without_a_lease() -> None:
    goals.pursue("invoice.delivered", key="1", task=echo)
    assert achieves.apply(["invoice.delivered", "1"], throw=True).successful()
    assert goals.get("invoice.delivered", "1").state == goals.State.ACHIEVED


# ALWAYS_EAGER


@pytest.fixture
def _always_eager() -> Iterator[None]:
    with override_settings(TASKTRACK={"ALWAYS_EAGER": True}):
        yield


@pytest.mark.usefixtures("_always_eager")
def test_calls_run_at_once_and_need_no_database() -> None:
    results = [add.delay(1, 2), add.apply_async((2, 2), countdown=60)]
    results += enqueue_many(add, [((n, 0), {}) for n in (5, 6)])
    assert [result.get() for result in results] == [3, 4, 5, 6]
    assert all(isinstance(result, EagerResult) for result in results)


@pytest.mark.usefixtures("_always_eager")
def test_failures_stay_in_the_result() -> None:
    assert fails.delay().failed()


@pytest.mark.django_db
def test_body_is_inside_of_the_caller_s_transaction() -> None:
    with eager():
        assert says_autocommit.delay().get() is False


def test_deploying_it_is_warned_of() -> None:
    def warned() -> list[str | None]:
        found = run_checks(include_deployment_checks=True)
        return [message.id for message in found if "W010" in str(message.id)]

    assert warned() == []
    with eager():
        assert warned() == ["tasktrack.W010"]


@pytest.mark.django_db
def test_claim_of_a_row_is_never_eager() -> None:
    assert not claimed().is_eager


def test_settings_are_off() -> None:
    assert (Config().ALWAYS_EAGER, Config().EAGER_PROPAGATES) == (False, False)


# eager()


@pytest.mark.django_db
def test_block_is_eager_and_raises() -> None:
    with eager():
        assert add.delay(1, 2).get() == 3
        with pytest.raises(ValueError, match="boom"):
            fails.delay("boom")
    assert add.delay(1, 2).state == "PENDING"


def test_block_may_keep_what_is_raised() -> None:
    with eager(propagates=False):
        assert fails.delay().failed()


@override_settings(TASKTRACK={"DEFAULT_QUEUE": "web"})
def test_block_keeps_other_settings() -> None:
    with eager():
        assert (config().ALWAYS_EAGER, config().DEFAULT_QUEUE) == (True, "web")
    assert not config().ALWAYS_EAGER


@eager()
def test_function_can_be_eager() -> None:
    assert add.delay(1, 2).get() == 3


@eager()
def test_unique_key_is_free_again_at_once() -> None:
    keyed = declared(unique_key="one")(lambda number: number)
    assert [keyed.delay(n).get() for n in (1, 2)] == [1, 2]


def test_value_of_a_call_that_ran_here_never_expires() -> None:
    result = add.apply((1, 2))
    assert (result.result_expired_at, result.get()) == (None, 3)
