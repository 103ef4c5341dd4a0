"""One attempt: how the body ends, and what that means."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.test import override_settings

from django_tasktrack import context, registry, runner, states, task
from django_tasktrack.changes import Change
from django_tasktrack.declaration import Task
from django_tasktrack.exceptions import Ignore, Reject, Retry, TaskRevoked
from django_tasktrack.outcomes import REJECTED_PAUSE, Outcome, Report
from django_tasktrack.payloads import decode

from .test_declaration import make_claim


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_definitions", dict(registry._definitions))


def run(
    body: Callable[..., Any],
    options: dict[str, Any] | None = None,
    sent: list[Report] | None = None,
    revoked: bool = False,
    **claim: Any,
) -> Outcome:
    """The outcome of one attempt of ``body``, declared with ``options``."""
    collected: list[Report] = [] if sent is None else sent
    task(**{"name": "body", **(options or {})})(body)
    claim = {"ignore_result": registry.get("body").drops_value(), **claim}  # as it was enqueued
    return runner.run(
        make_claim(**{"name": "body", **claim}), "w1@host", collected.append, lambda: revoked
    )


def raising(error: BaseException) -> Callable[[], None]:
    def body() -> None:
        raise error

    return body


def test_return_value_is_the_result() -> None:
    outcome = run(lambda x, y: {"sum": x + y}, args="[1]", kwargs='{"y":2}')
    assert (outcome.transition, outcome.result) == (states.SUCCEED, '{"sum":3}')


def test_none_is_a_result() -> None:
    assert run(lambda: None).result == "null"


def test_exception_is_a_failure() -> None:
    outcome = run(raising(ValueError("no such invoice")))
    assert outcome.transition is states.FAIL
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.message) == ("ValueError", "no such invoice")
    assert "in body" in outcome.error.traceback
    assert outcome.result is None


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_what_would_end_the_process_is_the_task_s_failure(error: BaseException) -> None:
    outcome = run(raising(error))
    assert outcome.transition is states.FAIL
    assert outcome.error is not None
    assert outcome.error.type == type(error).__name__


def test_endless_recursion_is_the_task_s_failure() -> None:
    def body() -> None:
        body()

    outcome = run(body)
    assert outcome.error is not None
    assert outcome.error.type == "RecursionError"


def _deep() -> Any:
    value: Any = "\x00"
    for _ in range(sys.getrecursionlimit() // 2):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(object(), id="object"),
        pytest.param({1}, id="set"),
        pytest.param(float("nan"), id="NaN"),
        pytest.param("a\x00", id="NUL"),
        pytest.param("\ud800", id="surrogate"),
        pytest.param(10**5000, id="huge number"),
        pytest.param(_deep(), id="deep list"),
        pytest.param({(1,): 2}, id="tuple as key"),
        pytest.param("x" * 2**21, id="huge text"),
    ],
)
def test_result_that_json_cannot_carry_is_a_failure_that_says_so(value: Any) -> None:
    ran: list[int] = []

    def body() -> Any:
        ran.append(1)
        return value

    outcome = run(body, {"autoretry_for": (Exception,)})
    assert (outcome.transition, outcome.reason) == (states.FAIL, "the result cannot be stored")
    assert outcome.error is not None
    assert outcome.error.type == "django_tasktrack.exceptions.PayloadError"
    assert outcome.error.message.startswith("The result")
    assert ran == [1]


@override_settings(TASKTRACK={"MAX_PAYLOAD_BYTES": 10})
def test_result_beyond_the_limit_is_a_failure() -> None:
    assert run(lambda: "x" * 9).reason == "the result cannot be stored"


def test_ignored_result_is_dropped_whatever_it_is() -> None:
    outcome = run(lambda: object(), {"ignore_result": True})  # noqa: PLW0108  classes are no tasks
    assert (outcome.transition, outcome.result, outcome.reason) == (states.SUCCEED, None, "")


@pytest.mark.parametrize(
    ("of_task", "of_settings", "dropped"),
    [(None, True, True), (False, True, False), (True, False, True), (None, False, False)],
)
def test_task_says_whether_its_result_is_ignored_and_else_the_settings(
    of_task: bool | None, of_settings: bool, dropped: bool
) -> None:
    with override_settings(TASKTRACK={"task_ignore_result": of_settings}):
        outcome = run(lambda: 5, {"ignore_result": of_task})
    assert outcome.result == (None if dropped else "5")


@pytest.mark.parametrize(
    ("options", "of_settings", "kept"),
    [
        ({"ignore_result": True}, {}, True),
        ({"ignore_result": True}, {"STORE_ERRORS_EVEN_IF_IGNORED": False}, False),
        ({"ignore_result": True, "store_errors_even_if_ignored": False}, {}, False),
        (
            {"ignore_result": True, "store_errors_even_if_ignored": True},
            {"STORE_ERRORS_EVEN_IF_IGNORED": False},
            True,
        ),
        ({"store_errors_even_if_ignored": False}, {}, True),
    ],
)
@pytest.mark.parametrize("error", [ValueError("secret"), Retry(exc=ValueError("secret"))])
def test_errors_stay_unless_told_otherwise(
    options: dict[str, Any], of_settings: dict[str, bool], kept: bool, error: Exception
) -> None:
    with override_settings(TASKTRACK=of_settings):
        outcome = run(raising(error), options)
    assert outcome.error is not None
    assert outcome.error.type == "ValueError"
    assert outcome.error.message == ("secret" if kept else "")
    assert ("secret" in outcome.error.traceback) is kept


def test_ignore_is_a_success_without_a_result() -> None:
    outcome = run(raising(Ignore()))
    assert (outcome.transition, outcome.result, outcome.reason) == (
        states.SUCCEED,
        None,
        "ignored",
    )


@pytest.mark.parametrize(
    ("state", "meta", "transition", "result", "error"),
    [
        ("SUCCESS", {"n": 1}, states.SUCCEED, '{"n":1}', None),
        ("SUCCESS", None, states.SUCCEED, None, None),
        ("FAILURE", {"exc_type": "ValueError", "exc_message": "no"}, states.FAIL, None,
         ("ValueError", "no")),
        ("FAILURE", {"exc_type": "ValueError", "exc_message": ["no", 5]}, states.FAIL, None,
         ("ValueError", '["no",5]')),
        ("FAILURE", {"why": "no"}, states.FAIL, None,
         ("django_tasktrack.exceptions.Ignore", '{"why":"no"}')),
        ("FAILURE", None, states.FAIL, None, ("django_tasktrack.exceptions.Ignore", "")),
        ("REVOKED", None, states.STOP, None, None),
    ],
)  # fmt: skip
def test_ignore_ends_in_the_state_that_the_body_has_set(
    state: str,
    meta: dict[str, Any] | None,
    transition: states.Transition,
    result: str | None,
    error: tuple[str, str] | None,
) -> None:
    def body(self: Task[..., Any]) -> None:
        self.update_state(state=state, meta=meta)
        raise Ignore

    sent: list[Report] = []
    outcome = run(body, {"bind": True}, sent)
    assert (outcome.transition, outcome.result, outcome.reason) == (transition, result, "ignored")
    assert (outcome.error and (outcome.error.type, outcome.error.message)) == error
    assert sent == []


def test_a_final_state_counts_for_nothing_where_the_body_goes_on() -> None:
    def body(self: Task[..., Any]) -> str:
        self.update_state(state="FAILURE")
        return "done"

    assert run(body, {"bind": True}).transition is states.SUCCEED


def test_reject_puts_it_back_uncounted_and_not_at_once() -> None:
    outcome = run(raising(Reject("no room", requeue=True)))
    assert (outcome.transition, outcome.reason) == (states.RELEASE, "rejected: no room")
    assert outcome.delay == REJECTED_PAUSE > 0
    change = Change.of_outcome(make_claim(), outcome, 1.0, 2.0)
    assert (change.attempt, change.delay) == (-1, REJECTED_PAUSE)
    assert (
        Change.of_outcome(make_claim(), run(lambda: 1, {"name": "b"}, name="b"), 1, 2).attempt == 0
    )


def test_reject_for_good_is_a_failure_that_nobody_retries() -> None:
    outcome = run(raising(Reject("no such invoice")), {"autoretry_for": (Exception,)})
    assert (outcome.transition, outcome.reason) == (states.FAIL, "rejected")
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.message) == (
        "django_tasktrack.exceptions.Reject", "no such invoice",
    )  # fmt: skip


@pytest.mark.parametrize(("error", "expected"), [(KeyError(), True), (ValueError(), False)])
def test_what_a_task_throws_is_expected(error: Exception, expected: bool) -> None:
    outcome = run(raising(error), {"throws": (LookupError,)})
    assert (outcome.transition, outcome.expected) == (states.FAIL, expected)


def test_revoke_that_the_body_noticed_stops_it() -> None:
    def body() -> None:
        context.require("the test").checkpoint()

    assert run(body, revoked=True).transition is states.STOP


def test_body_that_catches_the_revoke_ends_as_it_likes() -> None:
    def body() -> str:
        try:
            context.require("the test").checkpoint()
        except TaskRevoked:
            return "tidied up"
        return "never revoked"

    assert run(body, revoked=True).result == '"tidied up"'


# Retries


@pytest.mark.parametrize(
    ("attempt", "losses", "reason"), [(1, 0, "retry 1 of 3"), (4, 2, "retry 2 of 3")]
)
def test_retry_says_which_one_it_is(attempt: int, losses: int, reason: str) -> None:
    outcome = run(raising(Retry(delay=5)), attempt=attempt, losses=losses)
    assert (outcome.transition, outcome.delay, outcome.reason) == (states.RETRY, 5, reason)


def test_retry_without_a_limit_names_none() -> None:
    assert run(raising(Retry()), max_attempts=None, attempt=7).reason == "retry 7"


def test_retry_keeps_its_cause() -> None:
    outcome = run(raising(Retry(exc=OSError("busy"))))
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.message) == ("OSError", "busy")


AUTO = {"autoretry_for": (OSError,), "dont_autoretry_for": (PermissionError,), "max_retries": 3,
        "default_retry_delay": 9}  # fmt: skip


def test_covered_exception_is_retried_without_being_asked() -> None:
    outcome = run(raising(ConnectionError("x")), AUTO)
    assert (outcome.transition, outcome.delay) == (states.RETRY, 9)


@pytest.mark.parametrize("error", [PermissionError(), ValueError()])
def test_others_are_not(error: Exception) -> None:
    assert run(raising(error), AUTO).transition is states.FAIL


@pytest.mark.parametrize(
    ("attempt", "losses", "expected"),
    [(3, 0, states.RETRY), (4, 0, states.FAIL), (4, 1, states.RETRY), (5, 1, states.FAIL)],
)
def test_last_allowed_attempt_fails_and_lost_ones_do_not_count(
    attempt: int, losses: int, expected: states.Transition
) -> None:
    outcome = run(raising(OSError()), AUTO, attempt=attempt, losses=losses)
    assert outcome.transition is expected


def test_limit_is_the_claim_s_and_not_today_s_declaration() -> None:
    assert run(raising(OSError()), AUTO, attempt=4, max_attempts=10).transition is states.RETRY


def test_backoff_grows_with_the_retries() -> None:
    options = {**AUTO, "retry_backoff": 3, "retry_jitter": False, "max_retries": 9}
    delays = [run(raising(OSError()), options, attempt=n, max_attempts=9).delay for n in (1, 2, 3)]
    assert delays == [3, 6, 12]


@pytest.mark.parametrize(
    ("given", "delay"), [({}, 5), ({"retry_backoff": 3, "retry_jitter": False}, 3)]
)
def test_what_is_retried_by_itself_may_have_a_delay_of_its_own(
    given: dict[str, Any], delay: float
) -> None:
    options = {**AUTO, **given, "retry_kwargs": {"countdown": 5}}
    assert run(raising(OSError()), options).delay == delay


def test_what_is_retried_by_itself_may_have_a_limit_of_its_own() -> None:
    options = {**AUTO, "retry_kwargs": {"max_retries": 5}}
    outcome = run(raising(OSError()), options, attempt=5)
    assert (outcome.transition, outcome.reason) == (states.RETRY, "retry 5 of 5")
    assert outcome.max_attempts == 6, "so that it is known where it is asked for"
    assert run(raising(OSError()), options, attempt=6).transition is states.FAIL


def test_a_smaller_limit_of_its_own_does_not_bind_what_the_task_asks_for() -> None:
    options = {**AUTO, "retry_kwargs": {"max_retries": 1}}
    outcome = run(raising(OSError()), options)
    assert (outcome.transition, outcome.max_attempts) == (states.RETRY, None)
    assert run(raising(OSError()), options, attempt=2).transition is states.FAIL


def test_a_retry_that_is_not_thrown_comes_when_the_body_returns() -> None:
    def body(self: Task[..., Any]) -> str:
        asked = self.retry(exc=OSError("busy"), countdown=4, throw=False)
        assert isinstance(asked, Retry)
        return "went on"

    outcome = run(body, {"bind": True})
    assert (outcome.transition, outcome.delay, outcome.result) == (states.RETRY, 4, None)
    assert outcome.error is not None
    assert outcome.error.message == "busy"


def test_what_is_raised_after_a_retry_that_was_not_thrown_decides() -> None:
    def body(self: Task[..., Any]) -> None:
        self.retry(throw=False)
        raise ValueError("worse")

    assert run(body, {"bind": True}).transition is states.FAIL


def test_exhausted_retry_in_the_body_is_its_failure() -> None:
    def body(self: Task[..., Any]) -> None:
        self.retry()

    outcome = run(body, {"bind": True}, attempt=4)
    assert outcome.transition is states.FAIL
    assert outcome.error is not None
    assert outcome.error.type == "django_tasktrack.exceptions.MaxRetriesExceededError"


# What the body sees


def test_request_tells_of_the_attempt() -> None:
    def body(self: Task[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        seen = self.request
        return {
            "args": seen.args, "kwargs": seen.kwargs, "retries": seen.retries, "id": seen.id,
            "attempt": seen.attempt, "hostname": seen.hostname, "owner": seen.owner,
            "info": seen.delivery_info, "eta": seen.eta, "direct": seen.called_directly,
        }  # fmt: skip

    claim = make_claim(name="body", args="[1]", kwargs='{"k":2}', attempt=3, losses=1, owner="7")
    task(bind=True, name="body")(body)
    sent: list[Report] = []
    outcome = runner.run(claim, "w1@host", sent.append, lambda: False)
    assert decode(outcome.result) == {
        "args": [1], "kwargs": {"k": 2}, "retries": 1, "id": str(claim.task_id), "attempt": 3,
        "hostname": "w1@host", "owner": "7", "eta": None, "direct": False,
        "info": {"exchange": "", "routing_key": "default", "priority": 0, "redelivered": True},
    }  # fmt: skip


def test_last_report_is_passed_on_before_the_end() -> None:
    sent: list[Report] = []

    def body(self: Task[..., Any]) -> None:
        for number in range(50):
            self.progress.set(number, 50)

    run(body, {"bind": True}, sent)
    assert sent[-1].current == 49
    assert len(sent) < 10


@pytest.mark.parametrize(
    "claim", [{"name": "nobody.knows"}, {"args": "["}, {"args": "5"}], ids=repr
)
def test_what_cannot_be_started_is_a_failure(claim: dict[str, Any]) -> None:
    outcome = run(lambda: None, **claim)
    assert outcome.transition is states.FAIL
    assert outcome.reason == "could not be started"


def test_no_attempt_is_left_current() -> None:
    run(raising(ValueError()))
    assert context.current() is None
