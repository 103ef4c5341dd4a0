"""Where calls go: routers as Celery's, the first that says anything, behind what the code says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings

from django_tasktrack import enqueue_many, goals, registry, task
from django_tasktrack.checks import check_routes
from django_tasktrack.conf import errors
from django_tasktrack.exceptions import InvalidTask
from django_tasktrack.routes import Route, Routes
from tests.inline import row

from .app.models import Entry
from .app.tasks import add, echo

ADD = "tests.app.tasks.add"


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_definitions", dict(registry._definitions))


@pytest.fixture
def routed(request: pytest.FixtureRequest) -> Iterator[None]:
    with override_settings(TASKTRACK={"TASK_ROUTES": request.param}):
        yield


def by_first_argument(
    name: str, args: Any, kwargs: Any, options: Any, task: Any = None, **kw: Any
) -> Any:
    return {"queue": args[0]} if args and isinstance(args[0], str) else None


class Router:
    """As they were before Celery 4."""

    def route_for_task(self, task: str, args: Any = None, kwargs: Any = None) -> str | None:
        return "old" if task == ADD else None


def broken(name: str, args: Any, kwargs: Any, options: Any, task: Any = None) -> int:
    return 5


# What routers say


@pytest.mark.parametrize(
    ("given", "queue"),
    [
        ({ADD: "low-priority"}, "low-priority"),
        ({"tests.app.*": "app"}, "app"),
        ({"*": "all", "tests.*": "later"}, "all"),
        ({"*": "all", ADD: "exactly"}, "exactly"),
        ({re.compile(r".*\.(add|mul)"): {"queue": "maths"}}, "maths"),
        ({re.compile("add"): "from the beginning"}, None),
        ({"tests.app.tasks.ad": "other", "tests.app": "other"}, None),
        ({"TESTS.*": "other"}, None),
        ([{"other": "x"}, {ADD: "second"}, {ADD: "third"}], "second"),
        (([("tests.*", "a"), (re.compile(ADD), "b")],), "a"),
        ("tests.test_routes.by_first_argument", None),
        ("tests.test_routes.Router", "old"),
        ([by_first_argument, "tests.test_routes.Router"], "old"),
        ({ADD: {}}, None),
        ([{ADD: {}}, {ADD: "not asked any more"}], None),
    ],
)
def test_first_router_that_says_anything_is_followed(given: Any, queue: str | None) -> None:
    assert Routes(given).of(ADD).queue == queue


def test_router_is_told_of_the_call() -> None:
    seen: list[Any] = []

    def router(name: str, args: Any, kwargs: Any, options: Any, task: Any = None, **kw: Any) -> Any:
        seen.append((name, args, kwargs, options, task, kw))

    assert Routes(router).of(ADD, [1], {"y": 2}, {"countdown": 5}, "task") == Route()
    assert seen == [(ADD, [1], {"y": 2}, {"countdown": 5}, "task", {})]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (5, "5 is no router"),
        ({5: "a"}, "5 is no name of a task"),
        ({"a": 5}, "The route of 'a' is 5"),
        ({"a": {"queu": "b"}}, "has no option 'queu'. Did you mean 'queue'?"),
        ({"a": {"exchange": "b"}}, "has no option 'exchange'"),
        ({"a": "b,c"}, "cannot be served"),
        ({"a": {"priority": 101}}, "priority=101 is out of range"),
        ([("a", "b")], ""),
        (["a router"], ""),
    ],
)
def test_what_routes_nothing_is_a_wrong_setting(given: Any, words: str) -> None:
    ((problem, hint),) = errors({"TASK_ROUTES": given})
    assert problem.startswith("TASKTRACK['TASK_ROUTES']: ")
    assert words in f"{problem} {hint}"
    assert hint
    with override_settings(TASKTRACK={"TASK_ROUTES": given}):
        assert check_routes() == []  # told by the check of the settings


@override_settings(TASKTRACK={"TASK_ROUTES": "nowhere.to.be.found"})
def test_router_that_cannot_be_imported_is_told_by_the_check() -> None:
    (found,) = check_routes()
    assert (found.id, "nowhere" in found.msg) == ("tasktrack.E006", True)


@override_settings(
    TASKTRACK={
        "TASK_ROUTES": {"tests.app.tasks.ad": "a", "x.*": "b"},
        "task_annotations": {"z": {}},
    }
)
def test_name_that_no_task_has_is_told_by_the_check() -> None:
    route, annotation = check_routes()
    assert (route.id, route.hint) == ("tasktrack.W006", f"Did you mean {ADD!r}?")
    assert "TASKTRACK['TASK_ANNOTATIONS'] names 'z'" in annotation.msg


# At the call


@pytest.mark.django_db
class TestAtTheCall:
    @pytest.mark.parametrize(
        "routed", [{ADD: {"queue": "low", "priority": -5}}, [by_first_argument, {ADD: {"queue": "low", "priority": -5}}]],
        indirect=True,
    )  # fmt: skip
    @pytest.mark.usefixtures("routed")
    def test_call_goes_where_the_route_says(self) -> None:
        found = row(add.delay(1, 2).id)
        assert (found.queue, found.priority) == ("low", -5)
        other = row(echo.delay(1).id)
        assert (other.queue, other.priority) == ("default", 0)

    @pytest.mark.parametrize("routed", [{ADD: {"queue": "low", "priority": -5}}], indirect=True)
    @pytest.mark.usefixtures("routed")
    def test_call_goes_before_the_route_each_option_by_itself(self) -> None:
        found = row(add.apply_async((1, 2), queue="mine").id)
        assert (found.queue, found.priority) == ("mine", -5)
        found = row(add.apply_async((1, 2), priority=0).id)
        assert (found.queue, found.priority) == ("low", 0)

    @pytest.mark.parametrize(
        "routed", [{"declared": {"queue": "low", "priority": 1}}], indirect=True
    )
    @pytest.mark.usefixtures("routed")
    def test_declaration_goes_before_the_route_as_in_celery(self) -> None:
        declared = task(name="declared", queue="own", priority=2)(lambda: None)
        found = row(declared.delay().id)
        assert (found.queue, found.priority) == ("own", 2)

    @pytest.mark.parametrize("routed", [by_first_argument], indirect=True)
    @pytest.mark.usefixtures("routed")
    def test_each_of_many_goes_where_its_arguments_say(self) -> None:
        results = enqueue_many(echo, [((word,), {}) for word in ("a", "b", 5)])
        assert [result.queue for result in results] == ["a", "b", "default"]

    @pytest.mark.parametrize("routed", [{"tests.*": "low"}], indirect=True)
    @pytest.mark.usefixtures("routed")
    def test_goal_s_task_is_routed_too(self) -> None:
        status = goals.pursue("x", key=1, task=echo).status()
        assert status.task is not None
        assert status.task.queue == "low"

    @pytest.mark.parametrize("routed", [[broken]], indirect=True)
    @pytest.mark.usefixtures("routed")
    def test_answer_that_is_none_names_the_router_and_leaves_nothing(self) -> None:
        Entry.objects.create(text="the caller goes on")
        with pytest.raises(InvalidTask, match="The route of router 'broken' is 5"):
            echo.delay()
        assert Entry.objects.count() == 1

    def test_settings_are_followed_when_they_change(self) -> None:
        for queue in ("one", "two"):
            with override_settings(TASKTRACK={"task_routes": {ADD: queue}}):
                assert row(add.delay(1, 2).id).queue == queue
        assert row(add.delay(1, 2).id).queue == "default"

    @override_settings(TASKTRACK={"task_default_priority": 7})
    def test_default_priority_is_for_what_names_none(self) -> None:
        assert row(echo.delay().id).priority == 7
        assert row(echo.apply_async(priority=0).id).priority == 0
