"""``@task``: its forms, and what the decorated function can do."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, get_overloads

import pytest
from django.test import override_settings

import django_tasktrack
from django_tasktrack import (
    current_task,
    declaration,
    enqueue_many,
    registry,
    shared_task,
    task,
)
from django_tasktrack.context import Context, Request, label_report, running
from django_tasktrack.declaration import Task
from django_tasktrack.exceptions import (
    InvalidTask,
    MaxRetriesExceededError,
    NotRegistered,
    NotRunning,
    PayloadError,
    Retry,
    TaskRevoked,
    WouldDeadlock,
)
from django_tasktrack.ids import new_id
from django_tasktrack.outcomes import Claim, Report
from django_tasktrack.retries import RetryPolicy
from django_tasktrack.states import State
from django_tasktrack.task_options import OPTION_NAMES

from .app.tasks import echo
from .factories import make_task


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test declares is forgotten with it."""
    monkeypatch.setattr(registry, "_definitions", dict(registry._definitions))


def make_claim(**values: Any) -> Claim:
    given: dict[str, Any] = {
        "task_id": new_id(), "name": "x", "args": "[]", "kwargs": "{}", "queue": "default",
        "priority": 0, "attempt": 1, "losses": 0, "crashes": 0, "lease": 1, "worker_id": 1,
        "max_attempts": 4, "eta": None, "expires_at": None, "owner": "",
        "goal_id": None,
    }  # fmt: skip
    return Claim(**{**given, **values})


def attempt(sent: list[Report] | None = None, **values: Any) -> running:
    """A running attempt whose reports are collected in ``sent``."""
    collected: list[Report] = [] if sent is None else sent
    return running(
        Context(make_claim(**values), lambda: Request(id="1"), collected.append, lambda: False)
    )


def policy_of(declared: Task[..., Any]) -> RetryPolicy:
    return registry.get(declared.name).retry


# Forms of the decorator


def test_decorated_function_can_still_be_called() -> None:
    @task
    def double(x: int) -> int:
        """Twice as much."""
        return 2 * x

    assert double(4) == 8
    assert (double.__name__, double.__doc__) == ("double", "Twice as much.")  # type: ignore[attr-defined]


def test_name_is_module_and_function_unless_given() -> None:
    @task
    def plain() -> None: ...

    @task(name="mail.send")
    def renamed() -> None: ...

    assert plain.name.startswith(f"{__name__}.")
    assert plain.name.endswith(".plain")
    assert registry.get("mail.send").origin.endswith(".renamed")
    assert "mail.send" in registry.names()


def test_shared_task_is_the_same_thing() -> None:
    assert shared_task is task
    assert django_tasktrack.task is task


def test_bound_task_gets_itself() -> None:
    @task(bind=True)
    def who(self: Task[..., Any], suffix: str) -> str:
        return self.name + suffix

    assert who("!") == f"{who.name}!"


def test_unknown_name_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'tusk'"):
        _ = django_tasktrack.tusk


def test_two_tasks_of_one_name_are_refused() -> None:
    @task(name="same")
    def one() -> None: ...

    with pytest.raises(InvalidTask, match=r"Two tasks are named 'same': .*\.one and .*\.two"):

        @task(name="same")
        def two() -> None: ...

    assert registry.get("same").origin.endswith(".one")


def test_module_may_be_loaded_again() -> None:
    def declare() -> Task[..., Any]:
        @task(name="again")
        def again() -> None: ...

        return again

    declare()
    newer = declare()
    assert registry.get("again") is newer._definition


def test_unknown_task_names_the_nearest() -> None:
    with pytest.raises(NotRegistered) as caught:
        registry.get("tests.app.tasks.ad")
    assert str(caught.value) == (
        "No task is named 'tests.app.tasks.ad' here. Hint: Did you mean 'tests.app.tasks.add'?"
    )


@pytest.mark.parametrize(
    "options",
    [
        {"queue": ""}, {"queue": 5}, {"queue": "q" * 101}, {"queue": "a\nb"},
        {"priority": 101}, {"priority": -101}, {"priority": "high"}, {"priority": True},
        {"priority": 1.5},
        {"name": "n" * 256}, {"name": "a\x00b"}, {"name": 5},
        {"max_retries": -1}, {"max_retries": "3"}, {"max_retries": 1.5}, {"max_retries": True},
        {"default_retry_delay": "soon"}, {"default_retry_delay": -1},
        {"retry_backoff": -1}, {"retry_backoff": "x"}, {"retry_backoff": float("nan")},
        {"retry_backoff_max": -1}, {"retry_backoff_max": None},
        {"autoretry_for": ValueError}, {"autoretry_for": ("ValueError",)},
        {"time_limit": 0}, {"time_limit": -1}, {"soft_time_limit": "long"}, {"on_lost": "ignore"},
        {"autoretry_for": (5,)}, {"dont_autoretry_for": (None,)},
        {"throws": (5,)}, {"throws": ValueError},
        {"retry_kwargs": {"max_retries": -1}}, {"retry_kwargs": {"countdown": "x"}},
        {"acks_late": False, "reject_on_worker_lost": True},
        {"acks_late": True, "on_lost": "fail"},
    ],
    ids=repr,
)  # fmt: skip
def test_option_that_cannot_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidTask, match=next(iter(options))):

        @task(**options)
        def refused() -> None: ...

    assert not any(name.endswith(".refused") for name in registry.names())


def test_only_functions_can_be_tasks() -> None:
    with pytest.raises(InvalidTask, match="decorates functions, not 5"):
        task(5)  # type: ignore[call-overload]


def _numbers() -> Iterator[int]:
    yield 1


async def _later() -> AsyncIterator[int]:
    yield 1


class _Sender:
    """Callable, and no function."""


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (_numbers, "It is a generator, so that calling it runs nothing"),
        (_later, "It is a generator"),
        (_Sender, "It is a class"),
        (partial(int, "1"), "It has no name of its own"),
        ("mail.send", r"Write @task\(name='mail.send'\)"),
    ],
)
def test_what_would_never_run_as_a_task_is_refused(given: Any, hint: str) -> None:
    known = registry.names()
    with pytest.raises(InvalidTask, match=f"@task decorates functions, not .* Hint: {hint}"):
        task(given)
    with pytest.raises(InvalidTask, match=hint):
        task(queue="mail")(given)
    assert registry.names() == known


def test_task_is_not_decorated_twice() -> None:
    @task
    def once() -> None: ...

    with pytest.raises(InvalidTask, match="not <task "):
        task(once)


def test_bound_task_needs_a_place_for_itself() -> None:
    with pytest.raises(InvalidTask, match=r"\.nb takes no argument.*Write self"):

        @task(bind=True)
        def nb() -> None: ...


@pytest.mark.parametrize(
    ("use", "options", "words"),
    [
        (task, {"queu": "mail"}, "@task has no option 'queu'. Hint: Did you mean 'queue'?"),
        (task, {"max_retry": 1}, "Did you mean 'max_retries'?"),
        (echo.apply_async, {"queu": "x"}, "apply_async() has no option 'queu'. Hint: Did you"),
        (echo.apply_async, {"count_down": 1}, "Did you mean 'countdown'?"),
        (partial(enqueue_many, echo, []), {"actor": "x"}, "enqueue_many() has no option 'actor'."),
    ],
)
def test_unknown_option_names_the_nearest(
    use: Callable[..., object], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(TypeError, match=re.escape(words)):
        use(**options)


def test_options_that_are_hinted_at_are_those_that_are_typed() -> None:
    overloads = get_overloads(declaration.task)
    typed = inspect.signature(overloads[1]).parameters
    assert set(typed) == set(OPTION_NAMES)


def test_plain_function_is_no_task_to_enqueue() -> None:
    with pytest.raises(InvalidTask, match=r"is no task\. Hint: Decorate the function"):
        enqueue_many(_numbers, [((), {})])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "again"),
    [
        ({}, True), ({"acks_late": True}, True), ({"acks_late": False}, False),
        ({"reject_on_worker_lost": True}, True), ({"reject_on_worker_lost": False}, True),
        ({"acks_late": True, "reject_on_worker_lost": True}, True),
        ({"acks_late": False, "on_lost": "fail"}, False), ({"on_lost": "fail"}, False),
    ],
)  # fmt: skip
def test_celery_s_words_say_what_becomes_of_a_lost_task(
    options: dict[str, Any], again: bool
) -> None:
    declared = task(**options)(lambda: None)
    assert registry.get(declared.name).rerun_if_lost is again


def test_retry_kwargs_names_the_nearest() -> None:
    with pytest.raises(TypeError, match=r"retry_kwargs has no option 'max_retry'.*'max_retries'"):
        task(retry_kwargs={"max_retry": 5})(lambda: None)


@override_settings(TASKTRACK={"DEFAULT_MAX_RETRIES": 7, "DEFAULT_RETRY_DELAY": 9})
def test_retries_come_from_the_settings_unless_given() -> None:
    @task
    def silent() -> None: ...

    @task(max_retries=None, default_retry_delay=timedelta(minutes=1), retry_backoff=True)
    def says() -> None: ...

    assert (policy_of(silent).max_retries, policy_of(silent).delay) == (7, 9)
    told = policy_of(says)
    assert (told.max_retries, told.delay, told.backoff) == (None, 60, 1)


# What only a running task can do


@pytest.mark.parametrize(
    "use",
    [
        lambda declared: declared.update_state(state="PROGRESS"),
        lambda declared: declared.progress,
        Task.retry,
        Task.checkpoint,
    ],
    ids=["update_state", "progress", "retry", "checkpoint"],
)
def test_outside_of_a_run_it_is_refused(use: Callable[..., object]) -> None:
    with pytest.raises(NotRunning, match="is for running tasks"):
        use(task(lambda: None))


def test_outside_of_a_run_the_request_is_empty() -> None:
    request = task(lambda: None).request
    assert (request.id, request.retries, request.called_directly) == (None, 0, True)


def test_inside_of_a_run_the_request_is_its_own() -> None:
    declared = task(lambda: None)
    with attempt():
        assert (declared.request.id, declared.request.called_directly) == ("1", False)


@pytest.mark.parametrize("state", [State.PENDING, State.RETRY])
def test_label_that_only_the_worker_sets_is_refused(state: State) -> None:
    with attempt(), pytest.raises(InvalidTask, match="is set by the worker alone"):
        task(lambda: None).update_state(state=state)


@pytest.mark.parametrize("state", ["", "x" * 51, "a\nb", "a\x00b", 5, "\ud800"])
def test_label_must_be_a_word(state: Any) -> None:
    with pytest.raises(InvalidTask, match="is no label"):
        label_report(state, None)


def test_started_takes_the_label_away() -> None:
    assert label_report("STARTED", None).label == ""


@pytest.mark.parametrize(
    ("meta", "current", "total"),
    [
        ({"current": 3, "total": 10}, 3, 10),
        ({"progress": 42.5}, 42.5, 100),
        ({"current": 1, "progress": 5}, 1, None),
        ({"current": "3", "total": None}, None, None),
        ({"current": True}, None, None),
        ({"note": "x"}, None, None),
        ({}, None, None),
    ],
)
def test_numbers_in_meta_move_the_bar(
    meta: dict[str, Any], current: float | None, total: float | None
) -> None:
    report = label_report("PROGRESS", meta)
    assert (report.label, report.current, report.total) == ("PROGRESS", current, total)


@pytest.mark.parametrize("meta", [{"a": object()}, {"current": float("nan")}, {"a": "\x00"}])
def test_meta_that_json_cannot_carry_is_refused(meta: dict[str, Any]) -> None:
    with pytest.raises(PayloadError, match=r"^meta\['"):
        label_report("PROGRESS", meta)


@pytest.mark.parametrize(
    ("state", "meta", "error"),
    [
        ([], None, InvalidTask),
        ("FAILURE", [1], PayloadError),
        ("SUCCESS", {"a": {1}}, PayloadError),
    ],
)
def test_a_final_state_is_checked_like_a_label(
    state: Any, meta: Any, error: type[Exception]
) -> None:
    with attempt(), pytest.raises(error):
        task(lambda: None).update_state(state=state, meta=meta)


@pytest.mark.parametrize("meta", [[1], "half", 5, [("a", 1)]])
def test_meta_must_be_a_mapping(meta: Any) -> None:
    with pytest.raises(PayloadError, match=r"^meta: "):
        label_report("PROGRESS", meta)


# Progress


@pytest.mark.parametrize(
    "numbers",
    [(float("nan"),), (1, float("inf")), ("3",), (10**400,), (True,), (1, "many"), (1j,)],
)
def test_progress_that_is_no_number_is_refused(numbers: tuple[Any, ...]) -> None:
    sent: list[Report] = []
    with attempt(sent), pytest.raises(PayloadError, match=r"^(current|total): "):
        task(lambda: None).progress.set(*numbers)
    assert not sent


def test_message_of_progress_can_be_stored_anywhere() -> None:
    sent: list[Report] = []
    with attempt(sent):
        task(lambda: None).progress.set(1, message="a\x00b\ud800" + "x" * 1000)
    (report,) = sent
    assert report.message is not None
    assert report.message.startswith("a\\x00b\\ud800xxx")
    assert len(report.message) == 255


def test_message_must_be_text() -> None:
    with attempt(), pytest.raises(PayloadError, match=r"^message: "):
        task(lambda: None).progress.set(1, message=5)  # type: ignore[arg-type]


def test_iterating_counts_what_is_done() -> None:
    sent: list[Report] = []
    declared = task(lambda: None)
    with attempt(sent):
        seen = list(declared.progress.iter(["a", "b", "c"], message="letters"))
    assert seen == ["a", "b", "c"]
    assert sent[0] == Report(current=0, total=3, message="letters")
    assert sent[-1].current == 3


def test_iterating_over_a_generator_has_no_total() -> None:
    sent: list[Report] = []
    with attempt(sent):
        list(task(lambda: None).progress.iter(number for number in range(2)))
    assert (sent[0].total, sent[-1].current) == (None, 2)


# self.retry()


def test_retry_uses_the_task_s_own_delay() -> None:
    declared = task(default_retry_delay=7)(lambda: None)
    with attempt(), pytest.raises(Retry) as caught:
        declared.retry(exc=OSError("x"))
    assert caught.value.delay == 7
    assert isinstance(caught.value.exc, OSError)


def test_retry_backs_off_by_the_retries_so_far() -> None:
    declared = task(retry_backoff=2, retry_jitter=False)(lambda: None)
    with attempt(attempt=4, losses=1), pytest.raises(Retry) as caught:
        declared.retry()
    assert caught.value.delay == 8  # two retries came before: 2 * 2 ** 2


def test_countdown_and_eta_win_over_the_delay() -> None:
    declared = task(lambda: None)
    with attempt(), pytest.raises(Retry) as caught:
        declared.retry(countdown=timedelta(seconds=3))
    assert caught.value.delay == 3
    with attempt(), pytest.raises(Retry) as caught:
        declared.retry(eta=datetime(2100, 1, 1, tzinfo=UTC))
    assert caught.value.delay > 86400 * 365 * 50


def test_retry_keeps_the_exception_that_is_being_handled() -> None:
    def body() -> None:
        try:
            raise ValueError("handled")
        except ValueError:
            task(body).retry()

    with attempt(), pytest.raises(Retry) as caught:
        body()
    assert str(caught.value.exc) == "handled"


def test_exhausted_retry_raises_what_was_given() -> None:
    with attempt(attempt=4), pytest.raises(OSError, match="the cause"):
        task(lambda: None).retry(exc=OSError("the cause"))


def test_exhausted_retry_without_a_cause_says_so() -> None:
    with attempt(attempt=4), pytest.raises(MaxRetriesExceededError, match="used its 3 retries"):
        task(lambda: None).retry()


def test_exhausted_retry_can_be_told_from_what_is_being_handled() -> None:
    def body() -> None:
        try:
            raise ConnectionError("the cause")
        except ConnectionError:
            task(body).retry()

    with attempt(attempt=4), pytest.raises(MaxRetriesExceededError) as caught:
        body()
    assert str(caught.value.__context__) == "the cause"


def test_lost_attempts_are_no_retries() -> None:
    with attempt(attempt=4, losses=1), pytest.raises(Retry):
        task(lambda: None).retry()


def test_one_call_may_have_a_limit_of_its_own() -> None:
    with attempt(attempt=2), pytest.raises(MaxRetriesExceededError):
        task(lambda: None).retry(max_retries=1)
    with attempt(attempt=9), pytest.raises(Retry):
        task(lambda: None).retry(max_retries=20)


def test_task_without_a_limit_is_retried_for_ever() -> None:
    with attempt(attempt=10**6, max_attempts=None), pytest.raises(Retry):
        task(lambda: None).retry()


@pytest.mark.parametrize(
    "when", [{"countdown": "soon"}, {"eta": "soon"}, {"eta": datetime(2100, 1, 1)}], ids=repr
)
def test_time_of_a_retry_must_be_one(when: dict[str, Any]) -> None:
    with attempt(), pytest.raises(InvalidTask):
        task(lambda: None).retry(**when)


def test_a_retry_may_name_the_arguments_that_the_task_has() -> None:
    declared = task(lambda *_, **__: None)
    with attempt(args="[1,[2]]", kwargs='{"k":3}'):
        with pytest.raises(Retry):
            declared.retry(args=(1, (2,)), kwargs={"k": 3})
        with pytest.raises(Retry):
            declared.retry(args=None, kwargs=None)


@pytest.mark.parametrize("changed", [{"args": (2,)}, {"args": ()}, {"kwargs": {"k": 4}}], ids=repr)
def test_a_retry_that_changes_them_is_refused(changed: dict[str, Any]) -> None:
    with (
        attempt(args="[1]", kwargs='{"k":3}'),
        pytest.raises(InvalidTask, match=f"{next(iter(changed))}=.*Enqueue another task"),
    ):
        task(lambda: None).retry(**changed)


def test_an_exception_in_the_place_of_the_arguments_is_a_mistake() -> None:
    with attempt(), pytest.raises(TypeError, match=r"Write self\.retry\(exc="):
        task(lambda: None).retry(OSError())  # type: ignore[call-overload]


def test_the_limit_tells_what_the_task_was_called_with() -> None:
    declared = task(lambda: None)
    request = Request(id="1", args=(1,), kwargs={"k": 2})
    with (
        running(Context(make_claim(attempt=4), lambda: request, lambda _: None, lambda: False)),
        pytest.raises(declared.MaxRetriesExceededError) as caught,
    ):
        declared.retry()
    assert (caught.value.task_args, caught.value.task_kwargs) == ((1,), {"k": 2})


# What else Celery's tasks have


def test_current_task_is_the_one_that_runs() -> None:
    declared = task(name="current")(lambda: None)
    assert not current_task
    assert repr(current_task) == "None"
    with attempt(name="current"):
        assert current_task
        assert current_task == declared
        assert current_task.name == "current"
        assert current_task.request.id == "1"
    with pytest.raises(AttributeError):
        _ = current_task.name


def test_update_state_may_name_its_own_task() -> None:
    declared = task(lambda: None)
    mine, sent = new_id(), list[Report]()
    with attempt(sent, task_id=mine):
        declared.update_state(task_id=str(mine), state="PROGRESS")
        with pytest.raises(InvalidTask, match="names another task"):
            declared.update_state(task_id=new_id(), state="PROGRESS")
    assert [report.label for report in sent] == ["PROGRESS"]


def test_a_final_state_is_a_checkpoint_too() -> None:
    context = Context(make_claim(), lambda: Request(id="1"), lambda _: None, lambda: True)
    with running(context), pytest.raises(TaskRevoked):
        task(lambda: None).update_state(state="FAILURE")


@pytest.mark.django_db
def test_a_task_that_asks_for_itself_is_started() -> None:
    declared = task(lambda: None)
    pending = make_task()
    with attempt(task_id=pending.pk):
        mine = declared.AsyncResult(str(pending.pk))
        assert mine.state == mine.status == "STARTED"
        declared.update_state(state="PROGRESS")
        assert mine.state == "PROGRESS"
        assert declared.AsyncResult(str(make_task().pk)).state == "PENDING", "another one"
        with pytest.raises(WouldDeadlock, match="waits for itself"):
            mine.get(timeout=1, disable_sync_subtasks=False)
    assert mine.state == "PENDING", "as its row shows"
