"""Options that the settings give to tasks, and names that tasks had before."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from django_tasktrack import enqueue_many, registry, task
from django_tasktrack.conf import errors
from django_tasktrack.exceptions import InvalidTask
from django_tasktrack.registry import Definition
from django_tasktrack.task_annotations import OPTIONS, of_task
from django_tasktrack.task_options import OPTION_NAMES
from tests.inline import enqueue, row, work


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_definitions", dict(registry._definitions))


def declared(given: Any, **options: Any) -> Definition:
    """What is known of a task ``tasks.add`` that is declared under these annotations."""
    with override_settings(TASKTRACK={"task_annotations": given}):
        task(name="tasks.add", **options)(lambda: None)
    return registry.get("tasks.add")


# Annotations


def test_setting_goes_before_the_declaration() -> None:
    found = declared({"tasks.add": {"time_limit": 5, "max_retries": 1}}, time_limit=60, priority=3)
    assert (found.time_limit, found.retry.max_retries, found.priority) == (5, 1, 3)


def test_star_is_every_task_and_a_name_goes_before_it() -> None:
    given = {"tasks.add": {"time_limit": 5}, "*": {"time_limit": 9, "queue": "all"}}
    found = declared(given)
    assert (found.time_limit, found.queue) == (5, "all")


def test_of_several_dicts_the_first_is_followed() -> None:
    found = declared([{"tasks.add": {"queue": "a"}}, {"tasks.add": {"queue": "b", "priority": 1}}])
    assert (found.queue, found.priority) == ("a", 1)


def test_other_tasks_are_left_alone() -> None:
    assert declared({"tasks.ad": {"queue": "a"}}).queue is None


def test_rate_is_kept_for_what_will_limit_by_it() -> None:
    assert declared({"tasks.add": {"rate_limit": "10/m"}}).rate_limit == "10/m"
    with pytest.raises(InvalidTask, match="'fast' is no rate"):
        declared({"tasks.add": {"rate_limit": "fast"}})


def test_value_that_cannot_be_is_refused_where_the_task_is_declared() -> None:
    with pytest.raises(InvalidTask, match="priority=1000"):
        declared({"*": {"priority": 1000}})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("tasks.add", "annotates nothing"),
        ([5], "annotates nothing"),
        ({"tasks.add": 5}, "is no annotation"),
        ({5: {}}, "is no annotation"),
        (
            {"tasks.add": {"time_limits": 5}},
            "has no option 'time_limits'. Did you mean 'time_limit'?",
        ),
        ({"tasks.add": {"name": "x"}}, "has no option 'name'"),
        ({"tasks.add": {"bind": True}}, "has no option 'bind'"),
    ],
)
def test_what_annotates_nothing_is_a_wrong_setting(given: Any, words: str) -> None:
    ((problem, hint),) = errors({"TASK_ANNOTATIONS": given})
    assert problem.startswith("TASKTRACK['TASK_ANNOTATIONS']: ")
    assert words in f"{problem} {hint}"
    assert of_task(given, "tasks.add") == {}


def test_every_option_of_tasks_can_be_given_but_who_they_are() -> None:
    who = {"name", "aliases", "bind", "schedule", "base"}
    assert set(OPTIONS) == set(OPTION_NAMES) - who


# Aliases


@pytest.mark.django_db
def test_row_under_an_old_name_runs_and_keeps_it() -> None:
    task(name="tasks.add", aliases=("old.path.add",))(lambda x: x + 1)
    old = enqueue(name="old.path.add", args=[1])
    (result,) = enqueue_many("old.path.add", [((2,), {})])
    work()
    assert (row(old.task_id).result, row(old.task_id).name) == (2, "old.path.add")
    assert (result.get(timeout=0), result.name) == (3, "tasks.add")


def test_worker_knows_both_names() -> None:
    task(name="tasks.add", aliases=["old.path.add"])(lambda: None)
    assert {"tasks.add", "old.path.add"} <= set(registry.names())


@pytest.mark.parametrize(
    "options",
    [{"name": "b", "aliases": ("a",)}, {"name": "b", "aliases": ("was",)}, {"name": "was"}],
)
def test_name_that_another_task_has_or_had_is_refused(options: dict[str, Any]) -> None:
    def first() -> None: ...

    def second() -> None: ...

    task(name="a", aliases=("was",))(first)
    with pytest.raises(InvalidTask, match=r"Two tasks are named '(a|was)'"):
        task(**options)(second)
    assert registry.get("was").name == registry.get("a").name == "a"
    assert "b" not in registry.names()


def test_declared_again_it_is_the_same_task() -> None:
    def body() -> None: ...

    for _ in range(2):
        task(name="a", aliases=("was",))(body)
    assert registry.get("was") is registry.get("a")


@pytest.mark.parametrize("aliases", ["old.path.add", ("",), (5,), ("a\x00",)])
def test_alias_is_a_name_among_others(aliases: Any) -> None:
    with pytest.raises(InvalidTask):
        task(name="a", aliases=aliases)(lambda: None)


@pytest.mark.parametrize("serializer", ["pickle", "yaml", "", 5])
def test_serializer_is_one_of_those_there_are(serializer: Any) -> None:
    with pytest.raises(InvalidTask, match="neither 'json' nor 'tagged'"):
        task(name="a", serializer=serializer)(lambda: None)
