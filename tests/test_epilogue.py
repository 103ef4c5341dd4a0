"""What hooks and receivers are told of an attempt: when, in which order, and with what."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from django_tasktrack import Task, context, registry, runner, signals, task
from django_tasktrack.epilogue import Epilogue
from django_tasktrack.exceptions import Ignore, NotRunning, Reject, Retry, TaskRevoked
from django_tasktrack.outcomes import Outcome
from django_tasktrack.states import State
from tests.listening import Heard, listening, names
from tests.test_declaration import make_claim
from tests.test_runner import raising

ENDS = (
    signals.task_postrun, signals.task_success, signals.task_failure, signals.task_retry,
)  # fmt: skip
#: What hooks have been called with.
_hooked: list[tuple[str, tuple[Any, ...], BaseException | None]] = []


class Hooked(Task[..., Any]):
    """Notes its hooks."""

    abstract = True

    def before_start(self, *given: Any) -> None:
        _hooked.append(("before_start", given, None))

    def on_success(self, *given: Any) -> None:
        _hooked.append(("on_success", given, sys.exc_info()[1]))

    def on_failure(self, *given: Any) -> None:
        _hooked.append(("on_failure", given, sys.exc_info()[1]))

    def on_retry(self, *given: Any) -> None:
        _hooked.append(("on_retry", given, sys.exc_info()[1]))

    def after_return(self, *given: Any) -> None:
        _hooked.append(("after_return", given, sys.exc_info()[1]))


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_definitions", dict(registry._definitions))
    _hooked.clear()


def attempt(
    body: Callable[..., Any], options: dict[str, Any] | None = None, **claim: Any
) -> tuple[Outcome, list[Epilogue]]:
    """One attempt, and what is to be told of it later."""
    later: list[Epilogue] = []
    registry._definitions.pop("body", None)
    task(**{"name": "body", **(options or {})})(body)
    given = make_claim(**{"name": "body", "args": "[1]", "kwargs": '{"k":2}', **claim})
    outcome = runner.run(given, "w1@host", lambda _: None, lambda: False, later=later.append)
    return outcome, later


def ended(body: Callable[..., Any], options: dict[str, Any] | None = None) -> list[Heard]:
    """What is heard of an attempt, once its end is committed."""
    with listening(*ENDS) as heard:
        _, (epilogue,) = attempt(body, options)
        assert heard == [], "before it is committed"
        epilogue.tell()
    return heard


def failing(error: BaseException) -> Callable[..., None]:
    def body(*args: Any, **kwargs: Any) -> None:
        raise error

    return body


def returns(value: Any) -> Callable[..., Any]:
    def body(*args: Any, **kwargs: Any) -> Any:
        return value

    return body


# Whether anybody waits


def test_where_nobody_listens_nothing_is_told_later() -> None:
    for body in (returns(1), failing(ValueError()), failing(Retry()), failing(Ignore())):
        _, later = attempt(body)
        assert later == []


@pytest.mark.parametrize(
    ("listened", "body", "waits"),
    [
        (signals.task_success, returns(1), True),
        (signals.task_success, failing(ValueError()), False),
        (signals.task_failure, failing(ValueError()), True),
        (signals.task_failure, returns(1), False),
        (signals.task_retry, failing(Retry()), True),
        (signals.task_retry, failing(ValueError()), False),
        (signals.task_postrun, failing(Ignore()), True),
        (signals.task_postrun, failing(TaskRevoked()), True),
        (signals.task_prerun, returns(1), False),
    ],
)
def test_only_an_end_that_somebody_listens_to_is_waited_for(
    listened: signals.Signal, body: Callable[..., Any], waits: bool
) -> None:
    with listening(listened):
        assert bool(attempt(body)[1]) is waits


def test_who_listens_to_another_task_makes_nobody_wait() -> None:
    with listening(*ENDS, sender="another"):
        assert attempt(returns(1))[1] == []
    with listening(*ENDS, sender="body"):
        assert len(attempt(returns(1))[1]) == 1


def test_a_hook_makes_its_end_waited_for() -> None:
    class OnFailure(Task[..., Any]):
        abstract = True

        def on_failure(self, *given: Any) -> None: ...

    assert attempt(returns(1), {"base": OnFailure})[1] == []
    assert len(attempt(failing(ValueError()), {"base": OnFailure})[1]) == 1
    assert len(attempt(returns(1), {"base": Hooked})[1]) == 1


# Signals


def test_success_is_told_with_its_result() -> None:
    success, postrun = ended(returns({"sum": 3}))
    declared = registry.get("body").task
    assert (success.name, success.sender, success.handled) == ("task_success", declared, None)
    assert success.given["result"] == {"sum": 3}
    assert 0 <= success.given["runtime"] < 5
    assert (postrun.name, postrun.sender) == ("task_postrun", declared)
    told = postrun.given
    assert (told["task"], told["args"], told["kwargs"]) == (declared, (1,), {"k": 2})
    assert (told["retval"], told["state"]) == ({"sum": 3}, "SUCCESS")
    assert isinstance(told["task_id"], str)


def test_failure_is_told_inside_the_except_block_that_is_entered_again() -> None:
    error = ValueError("no such invoice")
    failure, postrun = ended(failing(error))
    assert failure.name == "task_failure"
    assert failure.handled is error
    told = failure.given
    assert told["exception"] is error
    assert (told["args"], told["kwargs"]) == ((1,), {"k": 2})
    assert told["traceback"].tb_frame.f_code.co_filename.endswith("runner.py")
    einfo = told["einfo"]
    assert (einfo.type, einfo.exception, einfo.tb) == (ValueError, error, told["traceback"])
    assert "no such invoice" in str(einfo)
    assert (postrun.given["state"], postrun.given["retval"]) == ("FAILURE", error)
    assert postrun.handled is error
    assert sys.exc_info() == (None, None, None)


def test_telling_leaves_the_traceback_as_the_body_left_it() -> None:
    error = ValueError()
    with listening(*ENDS):
        _, (epilogue,) = attempt(failing(error))
        trace = error.__traceback__
        epilogue.tell()
    assert error.__traceback__ is trace


def test_a_retry_that_was_asked_for_is_told_with_its_cause() -> None:
    asked = Retry("later", exc=OSError("busy"), delay=7)
    retry, postrun = ended(failing(asked))
    assert retry.name == "task_retry"
    assert retry.given["reason"] is asked
    assert retry.given["request"].kwargs == {"k": 2}
    assert retry.given["einfo"].exception is asked
    assert (postrun.given["state"], postrun.given["retval"]) == ("RETRY", asked)


def test_a_retry_by_itself_is_told_like_one_that_was_asked_for() -> None:
    error = OSError("busy")
    retry, _ = ended(failing(error), {"autoretry_for": (OSError,), "default_retry_delay": 9})
    reason = retry.given["reason"]
    assert isinstance(reason, Retry)
    assert (reason.exc, reason.when) == (error, 9)
    assert retry.handled is error


@pytest.mark.parametrize(
    ("error", "state"),
    [(Ignore(), "SUCCESS"), (Reject("no", requeue=True), "PENDING"), (TaskRevoked(), "REVOKED")],
)
def test_other_ends_have_task_postrun_alone(error: BaseException, state: str) -> None:
    (postrun,) = ended(failing(error))
    assert (postrun.name, postrun.given["state"]) == ("task_postrun", state)
    assert postrun.given["retval"] is error


def test_rejected_for_good_is_a_failure() -> None:
    assert names(ended(failing(Reject("no")))) == ["task_failure", "task_postrun"]


def test_a_result_that_cannot_be_stored_is_told_as_the_failure_that_it_is() -> None:
    failure, postrun = ended(returns(object()))
    assert failure.given["exception"].args[0].startswith("The result")
    assert postrun.given["state"] == "FAILURE"


# Before


def test_the_beginning_is_told_before_the_body() -> None:
    ran: list[str] = []
    with listening(signals.task_prerun) as heard:
        attempt(lambda *_, **__: ran.append(str(len(heard))))
    (prerun,) = heard
    assert ran == ["1"]
    assert prerun.sender is prerun.given["task"] is registry.get("body").task
    assert (prerun.given["args"], prerun.given["kwargs"]) == ((1,), {"k": 2})
    assert prerun.given["task_id"]


def test_what_a_receiver_raises_before_the_body_changes_nothing() -> None:
    def refuses(**given: Any) -> None:
        raise ValueError("no")

    signals.task_prerun.connect(refuses)
    try:
        outcome, _ = attempt(returns(1))
    finally:
        signals.task_prerun.disconnect(refuses)
    assert outcome.transition.target is State.SUCCESS


def test_what_before_start_raises_is_the_body_s() -> None:
    class Refuses(Task[..., Any]):
        abstract = True

        def before_start(self, *given: Any) -> None:
            raise ConnectionError("not now")

    ran: list[int] = []
    outcome, _ = attempt(
        lambda *_, **__: ran.append(1), {"base": Refuses, "autoretry_for": (ConnectionError,)}
    )
    assert outcome.transition.target is State.RETRY
    assert ran == []


# Hooks


def test_hooks_of_a_success() -> None:
    ended(returns(5), {"base": Hooked})
    (before, success, after) = _hooked
    task_id = before[1][0]
    assert before == ("before_start", (task_id, (1,), {"k": 2}), None)
    assert success == ("on_success", (5, task_id, (1,), {"k": 2}), None)
    assert after == ("after_return", ("SUCCESS", 5, task_id, (1,), {"k": 2}, None), None)


def test_hooks_of_a_failure() -> None:
    error = ValueError("no")
    heard = ended(failing(error), {"base": Hooked})
    _, failure, after = _hooked
    einfo = heard[0].given["einfo"]
    assert failure[0] == "on_failure"
    assert (failure[1][0], failure[1][2:4]) == (error, ((1,), {"k": 2}))
    assert str(failure[1][4]) == str(einfo)
    assert failure[2] is after[2] is error
    assert (after[0], after[1][:2]) == ("after_return", ("FAILURE", error))


def test_hooks_of_a_retry_get_its_cause() -> None:
    cause = OSError("busy")
    ended(failing(Retry(exc=cause)), {"base": Hooked})
    _, retry, after = _hooked
    assert (retry[0], retry[1][0], after[1][0]) == ("on_retry", cause, "RETRY")


@pytest.mark.parametrize("error", [Ignore(), Reject(requeue=True)])
def test_an_end_that_is_to_be_ignored_calls_no_hook(error: BaseException) -> None:
    ended(failing(error), {"base": Hooked})
    assert [name for name, *_ in _hooked] == ["before_start"]


def test_what_a_hook_raises_is_logged_and_the_rest_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Clumsy(Task[..., Any]):
        abstract = True

        def on_success(self, *given: Any) -> None:
            raise SystemExit(3)

    with caplog.at_level(logging.ERROR):
        heard = ended(returns(1), {"base": Clumsy})
    assert names(heard) == ["task_success", "task_postrun"]
    assert "on_success() has raised" in caplog.text


def test_after_the_end_the_task_is_still_itself_and_may_report_nothing() -> None:
    seen: list[Any] = []

    class Looks(Task[..., Any]):
        abstract = True

        def after_return(self, *given: Any) -> None:
            seen.append(self.request.id)
            uses: list[Callable[[], object]] = [lambda: self.progress.set(1), self.retry]
            for use in uses:
                with pytest.raises(NotRunning, match="has ended"):
                    use()
            seen.append("refused")

    ended(returns(1), {"base": Looks})
    assert seen[0] is not None
    assert seen[1:] == ["refused"]
    assert context.current() is None


# In an event loop


def test_in_an_event_loop_the_beginning_is_told_by_a_thread() -> None:
    threads: list[threading.Thread] = []

    def receiver(**given: Any) -> None:
        threads.append(threading.current_thread())

    async def body() -> str:
        return "done"

    task(name="body")(body)
    later: list[Epilogue] = []
    signals.task_prerun.connect(receiver)
    try:
        with listening(*ENDS) as heard:
            outcome = asyncio.run(
                runner.run_async(
                    make_claim(name="body"), "w", lambda _: None, lambda: False, later=later.append
                )
            )
            later.pop().tell()
    finally:
        signals.task_prerun.disconnect(receiver)
    assert outcome.result == '"done"'
    assert threads != [threading.main_thread()]
    assert names(heard) == ["task_success", "task_postrun"]


def test_a_cancelled_body_tells_of_its_end() -> None:
    async def body() -> None:
        raise asyncio.CancelledError

    task(name="body")(body)
    later: list[Epilogue] = []
    with listening(*ENDS) as heard:
        asyncio.run(
            runner.run_async(
                make_claim(name="body"), "w", lambda _: None, lambda: True, later=later.append
            )
        )
        later.pop().tell()
    assert [(one.name, one.given["state"]) for one in heard] == [("task_postrun", "REVOKED")]


def test_what_cannot_be_started_is_told_by_nobody_here() -> None:
    with listening(*ENDS):
        _, later = attempt(raising(ValueError()), name="nobody.knows")
    assert later == []
