"""Tasks of an application: made at once or later, with Celery's options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.core.exceptions import AppRegistryNotReady
from django.test import override_settings

from django_tasktrack import registry, signature, startup
from django_tasktrack.compat.celery import Celery, Task, current_app, shared_task, signals
from django_tasktrack.compat.celery.app.lazy import LazyTask
from django_tasktrack.compat.celery.exceptions import (
    DuplicateTaskId,
    InvalidTaskError,
    NotRegistered,
)
from django_tasktrack.models import TrackedTask
from django_tasktrack.startup import Moment
from tests.app.application import add, app, counted, debug_task


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tasks that a test declares are forgotten after it."""
    monkeypatch.setattr(registry, "_definitions", dict(registry._definitions))
    yield
    app.set_current()


@pytest.fixture
def early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Django's apps are there."""
    monkeypatch.setattr(startup, "_reached", set())
    monkeypatch.setattr(startup, "_waiting", {moment: [] for moment in Moment})
    monkeypatch.setattr(apps, "apps_ready", False)


def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apps, "apps_ready", True)
    startup.reach(Moment.MODELS)
    startup.reach(Moment.TASKS)


# Later


def test_task_that_is_declared_early_is_made_when_the_apps_are_there(
    early: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    @app.task(bind=True, name="early.task", ignore_result=True)
    def function(self: Any, x: int) -> tuple[str, int]:
        """What it does."""
        return self.name, x

    assert isinstance(function, LazyTask)
    assert (function.name, function.__name__, function.__doc__) == (
        "early.task", "function", "What it does.",
    )  # fmt: skip
    assert repr(function) == "<task early.task>"
    assert not isinstance(function, Task)
    assert "early.task" not in registry.names()
    too_early = r"Task early\.task is used before .* Hint:"
    with pytest.raises(AppRegistryNotReady, match=too_early):
        function.delay(1)
    with pytest.raises(AppRegistryNotReady, match=too_early):
        function(1)
    ready(monkeypatch)
    made = registry.get("early.task").task
    assert isinstance(function, Task)
    assert (function == made, made == function, function != add) == (True, True, True)
    assert function(3) == ("early.task", 3)
    assert (function.app, function.ignore_result) == (app, True)
    assert signature(function, (1,)).task == function.s(1).task == "early.task"
    with pytest.raises(AttributeError):
        function.no_such_thing  # noqa: B018


def test_task_that_is_used_between_is_made_then_and_once(
    early: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    @shared_task
    def between() -> None: ...

    monkeypatch.setattr(apps, "apps_ready", True)
    made = between.resolve()
    ready(monkeypatch)
    assert between.resolve() is made is registry.get(between.name).task


def test_mistake_in_an_early_task_is_told_with_its_place(
    early: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TypeError, match="Did you mean 'max_retries'"):
        app.task(max_retry=1)

    @app.task(name="early.wrong", max_retries=-1)
    def wrong() -> None: ...

    with pytest.raises(InvalidTaskError) as refused:
        ready(monkeypatch)
    assert refused.value.__notes__ == [f"In {__name__}, where task early.wrong is declared."]


def test_application_can_be_told_to_run_at_once() -> None:
    app.conf.task_always_eager = True
    try:
        assert add.delay(1, 2).get() == 3
    finally:
        app.conf.clear()


def test_signals_of_an_early_task_reach_its_receivers(
    early: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    @app.task(name="early.heard")
    def heard() -> None: ...

    seen: list[object] = []

    @signals.task_success.connect(sender=heard)
    def receive(sender: Any, **kwargs: Any) -> None:
        seen.append(sender)

    ready(monkeypatch)
    signals.task_success.tell(registry.get("early.heard").task)
    assert seen == [heard]


def test_occasions_come_once_all_tasks_are_declared(
    early: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    with Celery("occasion", set_as_current=False) as one:

        @one.on_after_configure.connect
        def configured(sender: Any, **kwargs: Any) -> None:
            seen.append((sender, "later.one" in registry.names()))

        @one.on_after_finalize.connect()
        def finalized(sender: Any, **kwargs: Any) -> None:
            seen.append("finalized")

        @one.task(name="later.one")
        def later() -> None: ...

        assert seen == []
        ready(monkeypatch)
        assert seen == [(one, True), "finalized"]
        one.on_after_finalize.connect(finalized)
        assert seen[2:] == ["finalized"], "who comes late is called at once"


def test_moments_call_what_has_waited_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "_reached", set())
    monkeypatch.setattr(startup, "_waiting", {moment: [] for moment in Moment})
    seen: list[int] = []
    startup.when(Moment.MODELS, lambda: startup.when(Moment.MODELS, lambda: seen.append(3)))
    startup.when(Moment.MODELS, lambda: seen.append(1))
    startup.when(Moment.TASKS, lambda: seen.append(9))
    startup.reach(Moment.MODELS)
    assert seen == [1, 3]
    startup.when(Moment.MODELS, lambda: seen.append(4))
    assert seen == [1, 3, 4]


# At once


def test_decorator_in_each_of_its_forms() -> None:
    @app.task
    def bare() -> int:
        return 1

    @app.task()
    def empty() -> int:
        return 2

    assert (bare(), empty(), type(bare), bare.app) == (1, 2, Task, app)
    with pytest.raises(TypeError, match="takes one function"):
        app.task(bare, empty)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="Did you mean 'max_retries'"):
        app.task(max_retry=1)(lambda: None)
    with pytest.raises(InvalidTaskError, match="decorates functions"):
        app.task("name")  # type: ignore[call-overload]


def test_class_of_an_application_s_tasks() -> None:
    with Celery("own", task_cls="tests.app.application:Counting", set_as_current=False) as one:

        @one.task(name="own.counted")
        def function() -> None: ...

        assert (type(function), type(counted)) == (one.Task, one.Task)
        assert one.Task.__name__ == "Counting"


def test_options_that_change_nothing_are_taken() -> None:
    @app.task(shared=True, lazy=False, typing=False, trail=True, compression="gzip")
    def many() -> None: ...

    result = many.apply((), retries=0)
    assert result.state == "SUCCESS"


@pytest.mark.django_db
def test_options_of_calls_that_change_nothing_are_taken() -> None:
    chosen = str(uuid4())
    result = add.apply_async(
        (1, 2), None, chosen, None, countdown=60, retry=True, retry_policy={}, compression="zlib",
        connection=None, serializer="json",
    )  # fmt: skip
    assert (result.id, result.state) == (chosen, "PENDING")
    for wrong in ({"routing_key": "x"}, {"serializer": "pickle"}):
        with pytest.raises(TypeError, match="has no option"):
            add.apply_async((1, 2), **wrong)


# By name


@pytest.mark.django_db
def test_call_of_an_unknown_task_takes_what_the_settings_say_of_it() -> None:
    annotations = {"far.away": {"max_retries": 7, "time_limit": 5, "on_lost": "fail"}}
    with override_settings(
        TASKTRACK={"TASK_ANNOTATIONS": annotations, "TASK_ROUTES": {"far.*": "far"}}
    ):
        result = app.send_task("far.away", [1], {"a": 2}, priority=3)
    row = TrackedTask.objects.get(pk=result.id)
    assert (row.name, row.args, row.kwargs, row.queue) == ("far.away", [1], {"a": 2}, "far")
    assert (row.max_attempts, row.time_limit, row.rerun_if_lost, row.priority) == (8, 5, False, 3)


@pytest.mark.django_db
def test_call_of_an_unknown_task_is_checked_as_others_are() -> None:
    with pytest.raises(TypeError, match=r"send_task\(\) has no option 'countdow'.*'countdown'"):
        app.send_task("far.away", countdow=1)
    with pytest.raises(TypeError, match="is no list or tuple"):
        app.send_task("far.away", "abc")
    chosen = uuid4()
    app.send_task("far.away", task_id=chosen)
    with pytest.raises(DuplicateTaskId):
        app.send_task("far.away", task_id=chosen)
    with pytest.raises(NotRegistered, match=r"far\.away"):
        app.send_task("far.away", link=add.s(1))
    with override_settings(TASKTRACK={"ALWAYS_EAGER": True}):
        with pytest.raises(NotRegistered, match=r"far\.away"):
            app.send_task("far.away")
        assert app.send_task(add.name, (1, 2)).get() == 3


# Which application


def test_current_application_is_the_last_that_was_made() -> None:
    assert current_app() is app
    with Celery("second") as second:
        assert current_app() is second
        assert (current_app.main, current_app == second, repr(current_app)) == (
            "second", True, "<Celery second>",
        )  # fmt: skip
        assert debug_task.app is app
        with Celery("third", set_as_current=False):
            assert current_app() is second
    app.set_default()
    assert current_app() is app


def test_there_is_always_a_current_application(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_tasktrack.compat.celery.app.current._current", None)
    assert current_app.main == "default"
    current_app.close()


def test_what_an_application_does_not_have_is_told() -> None:
    with pytest.raises(AttributeError, match="nothing to connect to"):
        app.connection  # noqa: B018
    assert not hasattr(app, "no_such_thing")
    app.finalize()
    assert app.now().tzinfo is not None
    assert app.current_worker_task is None
