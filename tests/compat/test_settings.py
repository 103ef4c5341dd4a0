"""``app.conf`` and the dict: one truth, and a word for each place that contradicts it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_tasktrack import conf
from django_tasktrack.checks import check_eager, check_schedules, check_settings
from django_tasktrack.compat.celery import Celery
from django_tasktrack.compat.celery.app.settings import Settings
from django_tasktrack.compat.celery.schedules import crontab, schedule
from django_tasktrack.exceptions import InvalidSchedule
from tests.app.tasks import add, keyed


@pytest.fixture
def app() -> Iterator[Celery]:
    with Celery("proj", set_as_current=False) as made:
        yield made


def problems() -> list[str]:
    return [" ".join(found) for found in conf.problems()]


@pytest.mark.parametrize("spell", [str, lambda name: f"CELERY_{name.upper()}"], ids=["new", "old"])
def test_what_is_given_counts_in_each_spelling(app: Celery, spell: Any) -> None:
    app.conf[spell("task_default_queue")] = "mail"
    assert conf.config().DEFAULT_QUEUE == "mail"
    assert app.conf.task_default_queue == app.conf[spell("task_default_queue")] == "mail"
    del app.conf[spell("task_default_queue")]
    assert conf.config().DEFAULT_QUEUE == "default"


def test_ways_to_give(app: Celery) -> None:
    app.conf.task_default_queue = "a"
    app.conf.update({"task_default_priority": 1}, worker_concurrency=3)
    app.conf["DEFAULT_RETRY_DELAY"] = 7
    app.conf.setdefault("worker_pool", "threads")
    config = conf.config()
    assert (config.DEFAULT_QUEUE, config.DEFAULT_PRIORITY, config.CONCURRENCY) == ("a", 1, 3)
    assert (config.DEFAULT_RETRY_DELAY, app.conf.DEFAULT_RETRY_DELAY) == (7, 7)
    app.conf.task_default_queue = "b"
    assert conf.config().DEFAULT_QUEUE == "b"


def test_what_is_asked_for_is_what_is_in_force(app: Celery) -> None:
    with override_settings(TASKTRACK={"DEFAULT_QUEUE": "web", "task_time_limit": 9}):
        assert (app.conf.task_default_queue, app.conf.task_time_limit) == ("web", 9)
    assert (app.conf.timezone, app.conf.enable_utc, app.conf.task_acks_late) == ("UTC", True, True)
    assert app.conf.broker_url is None
    assert app.conf.get("no_such", 5) == 5
    assert not hasattr(app.conf, "no_such")
    assert set(app.conf) >= {"broker_url", "task_routes"}


@pytest.mark.parametrize(
    "give",
    [
        lambda app: setattr(app.conf, "task_default_queu", "x"),
        lambda app: app.conf.update(task_default_queu="x"),
        lambda app: app.conf.__setitem__("task_default_queu", "x"),
        lambda _: Celery("other", task_default_queu="x"),
        lambda _: Celery("other", changes={"task_default_queu": "x"}),
    ],
    ids=["attribute", "update", "item", "argument", "changes"],
)
def test_unknown_setting_is_refused_where_it_is_given(app: Celery, give: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="Did you mean 'task_default_queue'"):
        give(app)
    assert problems() == []


def test_unknown_setting_that_is_asked_for_names_the_nearest(app: Celery) -> None:
    with pytest.raises(AttributeError, match=r"Celery\('proj'\)\.conf has no setting 'task_rout'"):
        app.conf.task_rout  # noqa: B018
    with pytest.raises(KeyError, match="Did you mean 'task_routes'"):
        app.conf["task_rout"]


def test_both_places_are_named_where_they_contradict_each_other(app: Celery) -> None:
    app.conf.task_default_queue = "mail"
    with override_settings(TASKTRACK={"DEFAULT_QUEUE": "mail"}):
        assert problems() == []
    with override_settings(TASKTRACK={"DEFAULT_QUEUE": "web"}):
        said = (
            "TASKTRACK['DEFAULT_QUEUE'] and Celery('proj').conf['task_default_queue'] mean the same setting, "
            "and differ. Keep one of them."
        )
        assert problems() == [said]
        assert [found.id for found in check_settings()] == ["tasktrack.E001"]
        with pytest.raises(ImproperlyConfigured, match="mean the same setting"):
            conf.config()


def test_two_applications_must_agree(app: Celery) -> None:
    with Celery("other", set_as_current=False, task_time_limit=5):
        app.conf.task_time_limit = 6
        (said,) = problems()
        assert "Celery('proj').conf['task_time_limit'] and Celery('other').conf" in said
    assert problems() == [], "one that is closed says nothing"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("task_default_queue", 5, "Celery('proj').conf['task_default_queue'] = 5 is not a string."),
        ("task_serializer", "pickle", "would decode pickles"),
        ("timezone", "Asia/Taipei", "Django's TIME_ZONE is 'UTC'"),
        ("task_annotations", {"a": {"nix": 1}}, "'a' has no option 'nix'"),
        ("worker_direct", True, "cannot be followed here"),
    ],
)
def test_value_is_judged_by_the_checks(app: Celery, name: str, value: Any, said: str) -> None:
    app.conf[name] = value
    (problem,) = problems()
    assert said in problem
    assert app.conf.task_default_priority == 0, "asking at the start leaves it to them"


def test_other_checks_are_made_although_a_broker_is_named(app: Celery) -> None:
    schedules = {"wrong": {"task": "no.such", "schedule": 5}}
    given = {"broker_url": "redis://", "SCHEDULES": schedules, "ALWAYS_EAGER": True}
    with override_settings(TASKTRACK=given):
        assert [found.id for found in check_settings()] == ["tasktrack.W005"]
        assert [found.id for found in check_schedules()] == ["tasktrack.E016"]
        assert [found.id for found in check_eager()] == ["tasktrack.W010"]


def test_broker_is_warned_of_once(app: Celery) -> None:
    with pytest.warns(UserWarning, match="without effect") as warned:
        app.conf.update(broker_url="redis://", result_backend="redis://")
    assert [record.filename for record in warned] == [__file__]
    app.conf.result_backend = "rpc://"  # warnings are errors here
    (found,) = check_settings()
    assert found.id == "tasktrack.W005"
    assert "conf['broker_url'], Celery('proj').conf['result_backend']" in found.msg


# Objects


class Configuration:
    task_default_queue = "mail"
    broker_url = ""
    helper = os
    _private = 1
    host = "localhost"

    def compute(self) -> None: ...


@pytest.mark.parametrize(
    "given",
    [
        Configuration,
        Configuration(),
        "tests.compat.test_settings:Configuration",
        "tests.compat.test_settings.Configuration",
        {"task_default_queue": "mail"},
        SimpleNamespace(task_default_queue="mail"),
    ],
    ids=["class", "object", "path with colon", "path", "dict", "namespace"],
)
def test_objects_are_read(app: Celery, given: Any) -> None:
    app.config_from_object(given)
    assert problems() == []
    assert conf.config().DEFAULT_QUEUE == "mail"
    app.conf.task_default_queue = "other"
    assert conf.config().DEFAULT_QUEUE == "other", "what is given goes before what is read"


def test_django_s_settings_are_read_by_their_prefix_whenever_they_change(app: Celery) -> None:
    app.config_from_object("django.conf:settings", namespace="CELERY")
    with override_settings(CELERY_TASK_DEFAULT_QUEUE="mail", CELERY_ONCE={"a": 1}):
        assert problems() == []
        assert conf.config().DEFAULT_QUEUE == app.conf.task_default_queue == "mail"
    assert conf.config().DEFAULT_QUEUE == "default"
    with override_settings(CELERY_TASK_ALWAYS_EAGR=True, CELERY_IGNORE_RESULT=True):
        assert [said.partition(". ")[2] for said in problems()] == [
            "Did you mean 'CELERY_TASK_IGNORE_RESULT'?",
            "Did you mean 'CELERY_TASK_ALWAYS_EAGER'?",
        ]
        assert "Celery('proj').conf has no setting 'CELERY_IGNORE_RESULT'." in problems()[0]


def test_django_s_settings_have_the_prefix_anyway(app: Celery) -> None:
    app.config_from_object("django.conf:settings")
    with override_settings(CELERY_TASK_DEFAULT_QUEUE="mail", CACHE_MIDDLEWARE_SECONDS=5):
        assert (problems(), conf.config().DEFAULT_QUEUE) == ([], "mail")


def test_another_namespace(app: Celery) -> None:
    app.config_from_object({"JOBS_TASK_TIME_LIMIT": 5, "OTHER": 1}, namespace="JOBS")
    assert (conf.config().TIME_LIMIT, app.conf.task_time_limit) == (5, 5)


def test_key_of_a_dict_is_never_passed_over(app: Celery) -> None:
    app.config_from_object({"zzz": 1})
    assert "Celery('proj').conf has no setting 'zzz'." in problems()[0]


def test_path_that_leads_nowhere(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    app.config_from_object("no.such.module", silent=True)
    assert problems() == []
    app.conf.clear()
    with pytest.raises(ImportError, match="NO_SUCH_VARIABLE is not set"):
        app.config_from_envvar("NO_SUCH_VARIABLE")
    monkeypatch.setenv("CONFIGURATION", "tests.compat.test_settings:Configuration")
    app.config_from_envvar("CONFIGURATION")
    assert conf.config().DEFAULT_QUEUE == "mail"
    app.conf.clear()
    app.config_from_object("no.such.module")
    with pytest.raises(ModuleNotFoundError, match="No module named 'no'"):
        conf.config()
    app.conf.clear()


# Schedules


def test_schedules_can_be_added_to(app: Celery) -> None:
    app.conf.beat_schedule["a"] = {"task": add.name, "schedule": 5.0, "args": (1, 2)}
    name = app.add_periodic_task(10.0, add.s(1, 2), expires=5)
    assert app.add_periodic_task(crontab(minute=0), add, (1, 2), name="b", queue="mail") == "b"
    app.add_periodic_task(schedule(run_every=30), keyed.si(3), name="c")
    schedules = conf.config().SCHEDULES
    assert schedules is app.conf.beat_schedule
    assert schedules
    assert set(schedules) == {"a", "b", "c", name}
    assert name == f"{add.name}(1, 2)"
    assert schedules["b"]["args"] == [1, 2]
    assert schedules["b"]["options"] == {"queue": "mail"}
    assert check_schedules() == []


def test_schedules_of_the_dict_are_the_same_ones(app: Celery) -> None:
    entry = {"task": add.name, "schedule": 5.0, "args": (1, 2)}
    with override_settings(TASKTRACK={"SCHEDULES": {"ours": entry}}):
        app.add_periodic_task(10.0, add.s(1, 2), name="theirs")
        assert set(conf.config().SCHEDULES or {}) == {"ours", "theirs"}


def test_mistake_elsewhere_makes_no_second_place_for_schedules(app: Celery) -> None:
    ours = {"ours": {"task": keyed.name, "schedule": 5.0, "args": [1]}}
    with override_settings(TASKTRACK={"LEASEE": 1, "SCHEDULES": ours}):
        app.conf.beat_schedule["lost"] = {}
        assert len(problems()) == 1
    with override_settings(TASKTRACK={"SCHEDULES": ours}):
        assert (problems(), conf.config().SCHEDULES) == ([], ours)


def test_two_schedules_of_one_name_are_refused(app: Celery) -> None:
    app.add_periodic_task(10.0, add.s(1, 2), name="a")
    app.add_periodic_task(10.0, add.s(1, 2), name="a")  # the same again
    with pytest.raises(InvalidSchedule, match="Two schedules are named 'a'"):
        app.add_periodic_task(20.0, add.s(1, 2), name="a")


def test_schedule_enqueues_a_single_task(app: Celery) -> None:
    with pytest.raises(InvalidSchedule, match="is no call of a single task"):
        app.add_periodic_task(10.0, add.s(1, 2) | add.s(3))


def test_settings_show_whose_they_are() -> None:
    assert repr(Settings("Celery('x').conf")) == "<Celery('x').conf>"
