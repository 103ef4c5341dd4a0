"""Celery's settings in ours: both spellings, what they do, and a word for those that do nothing."""

from __future__ import annotations

import re
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_tasktrack import celery_names
from django_tasktrack.celery_names import EFFECTIVE, NAMES, ONLY, REFUSED, WITHOUT_EFFECT
from django_tasktrack.checks import check_settings
from django_tasktrack.conf import Config, config, errors

ROOT = Path(__file__).resolve().parent.parent
INERT = [name for names in WITHOUT_EFFECT.values() for name in names.split()]
CLOSED = [name for names in REFUSED.values() for name in names.split()]
#: A value that each of those with an effect can have, and what it is called here.
MEANT: list[tuple[str, Any, str, Any]] = [
    ("accept_content", ["application/json", "tagged"], "ACCEPT_CONTENT", ("json", "tagged")),
    ("result_accept_content", ["json"], "ACCEPT_CONTENT", ("json",)),
    ("result_expires", timedelta(days=1), "RESULT_EXPIRES", 86_400),
    ("result_expires", 0, "RESULT_EXPIRES", None),
    ("result_expires", None, "RESULT_EXPIRES", None),
    ("result_failure_expires", 3600, "FAILURE_RETENTION", 3600),
    ("result_serializer", "application/json", "RESULT_SERIALIZER", "json"),
    ("task_annotations", {"*": {"time_limit": 5}}, "TASK_ANNOTATIONS", {"*": {"time_limit": 5}}),
    ("task_default_priority", 5, "DEFAULT_PRIORITY", 5),
    ("task_default_priority", None, "DEFAULT_PRIORITY", 0),
    ("task_default_queue", "web", "DEFAULT_QUEUE", "web"),
    ("task_default_rate_limit", "10/m", "DEFAULT_RATE_LIMIT", "10/m"),
    ("task_default_rate_limit", 5, "DEFAULT_RATE_LIMIT", "5"),
    ("task_ignore_result", True, "IGNORE_RESULT", True),
    ("task_routes", {"a.*": "mail"}, "TASK_ROUTES", {"a.*": "mail"}),
    ("task_serializer", "tagged", "SERIALIZER", "tagged"),
    ("task_always_eager", True, "ALWAYS_EAGER", True),
    ("task_eager_propagates", True, "EAGER_PROPAGATES", True),
    ("beat_schedule", {}, "SCHEDULES", {}),
    ("imports", ["proj.jobs"], "INCLUDE", ("proj.jobs",)),
    ("include", "proj.jobs", "INCLUDE", ("proj.jobs",)),
    ("task_soft_time_limit", 9, "SOFT_TIME_LIMIT", 9),
    ("task_store_errors_even_if_ignored", False, "STORE_ERRORS_EVEN_IF_IGNORED", False),
    ("task_time_limit", 10.5, "TIME_LIMIT", 10.5),
    ("worker_concurrency", 3, "CONCURRENCY", 3),
    ("worker_max_memory_per_child", 12_000, "MAX_MEMORY_PER_CHILD", 12_000),
    ("worker_max_tasks_per_child", 7, "MAX_TASKS_PER_CHILD", 7),
    ("worker_pool", "solo", "POOL", "solo"),
]


def old(name: str) -> str:
    return f"CELERY_{name.upper()}"


@pytest.mark.parametrize("spell", [str, old])
@pytest.mark.parametrize(("name", "value", "ours", "meant"), MEANT)
def test_setting_with_an_effect_is_ours_in_both_spellings(
    name: str, value: Any, ours: str, meant: Any, spell: Any
) -> None:
    with override_settings(TASKTRACK={spell(name): value}):
        assert check_settings() == []
        assert getattr(config(), ours) == meant


def test_each_of_them_is_tried_and_leads_to_a_setting_that_exists() -> None:
    assert {name for name, *_ in MEANT} == set(EFFECTIVE)
    assert {ours for ours, _ in EFFECTIVE.values()} <= {field.name for field in fields(Config)}


@pytest.mark.parametrize("spell", [str, old])
@pytest.mark.parametrize("name", INERT)
def test_setting_that_changes_nothing_is_accepted(name: str, spell: Any) -> None:
    assert errors({spell(name): "anything"}) == []
    with override_settings(TASKTRACK={spell(name): "anything"}):
        assert config() == Config()


@pytest.mark.parametrize("spell", [str, old])
@pytest.mark.parametrize("name", CLOSED)
def test_setting_that_cannot_be_followed_is_refused_with_a_remedy(name: str, spell: Any) -> None:
    ((problem, hint),) = errors({spell(name): "anything"})
    assert problem == f"TASKTRACK[{spell(name)!r}] = 'anything' cannot be followed here."
    assert hint
    assert errors({spell(name): None}) == errors({spell(name): {}}) == []  # it says nothing


@pytest.mark.parametrize("name", ONLY)
def test_setting_is_accepted_only_as_things_are(name: str) -> None:
    as_it_is, hint = ONLY[name]
    assert errors({name: as_it_is}) == errors({name: None}) == []
    assert errors({name: not as_it_is})[0][1] == hint


def test_time_zone_is_django_s() -> None:
    assert errors({"timezone": settings.TIME_ZONE}) == errors({"CELERY_TIMEZONE": None}) == []
    assert errors({"timezone": "Asia/Taipei"})[0][1] == "Django's TIME_ZONE is 'UTC'; set that."


def test_no_setting_is_in_two_tables() -> None:
    listed = [*EFFECTIVE, *INERT, *ONLY, *CLOSED, "timezone"]
    assert sorted(listed) == sorted(NAMES)


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("task_default_queu", "task_default_queue"),
        ("CELERY_TASK_ROUTE", "CELERY_TASK_ROUTES"),
        ("CELERY_DEFAULT_QUEUE", "CELERY_TASK_DEFAULT_QUEUE"),
        ("TASK_ROUTE", "TASK_ROUTES"),
        ("SERIALISER", "SERIALIZER"),
        ("Task_Serializer", "task_serializer"),
    ],
)
def test_misspelt_setting_names_the_nearest_of_either_vocabulary(given: str, near: str) -> None:
    ((problem, hint),) = errors({given: 1})
    assert problem == f"TASKTRACK has no setting {given!r}."
    assert hint == f"Did you mean {near!r}?"


@pytest.mark.parametrize("names", [
    ("task_default_queue", "CELERY_TASK_DEFAULT_QUEUE"), ("DEFAULT_QUEUE", "task_default_queue"),
    ("broker_url", "CELERY_BROKER_URL"),
])  # fmt: skip
def test_one_setting_under_two_names_must_be_one_value(names: tuple[str, str]) -> None:
    assert errors(dict.fromkeys(names, "a")) == []
    ((problem, hint),) = errors(dict(zip(names, "ab", strict=True)))
    assert (
        problem
        == f"TASKTRACK[{names[0]!r}] and TASKTRACK[{names[1]!r}] mean the same setting, and differ."
    )
    assert hint == "Keep one of them."


def test_error_names_the_setting_as_it_was_written() -> None:
    with (
        override_settings(TASKTRACK={"CELERY_TASK_TIME_LIMIT": "long"}),
        pytest.raises(
            ImproperlyConfigured, match=r"TASKTRACK\['CELERY_TASK_TIME_LIMIT'\] = 'long'"
        ),
    ):
        config()


@pytest.mark.parametrize("name", sorted(celery_names.NEEDLESS))
def test_broker_and_result_backend_are_accepted_with_a_warning(name: str) -> None:
    with override_settings(TASKTRACK={old(name): "redis://localhost"}):
        (warned,) = check_settings()
        assert warned.id == "tasktrack.W005"
        assert "The database is the broker and the result backend" in warned.msg
        assert config() == Config()
    with override_settings(TASKTRACK={name: None}):
        assert check_settings() == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"priority_steps": [0, 4, 8]}, ["tasktrack.W007"]),
        ({"queue_order_strategy": "priority"}, ["tasktrack.W007"]),
        ({"queue_order_strategy": "round_robin", "visibility_timeout": 60}, []),
        (None, []),
    ],
)
def test_priorities_of_redis_are_warned_of(options: Any, said: list[str]) -> None:
    with override_settings(TASKTRACK={old("broker_transport_options"): options}):
        found = check_settings()
    assert [one.id for one in found] == said
    assert all("CELERY_BROKER_TRANSPORT_OPTIONS" in one.msg for one in found)


def test_every_name_is_documented_and_no_other() -> None:
    text = (ROOT / "docs/celery-settings.md").read_text()
    assert set(re.findall(r"`([a-z0-9_]+)`", text)) >= NAMES
    rows = "\n".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`([a-z0-9_]+)`", rows)) == NAMES
    remedies = [*WITHOUT_EFFECT, *REFUSED, *(hint for _, hint in ONLY.values())]
    assert [words for words in remedies if words not in text] == []
    assert all(f"| `{name}` | `{ours}`" in text for name, (ours, _) in EFFECTIVE.items())
