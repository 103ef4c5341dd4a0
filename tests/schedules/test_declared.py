"""What code says of schedules, and what is said of what it should not have said."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.test import override_settings

from django_tasktrack import registry, schedules, task
from django_tasktrack.checks import check_rows_of_schedules, check_schedules, check_settings
from django_tasktrack.schedules import crontab, declared, every
from django_tasktrack.schedules.declared import Entry, Wrong
from tests.app.tasks import echo
from tests.factories import make_schedule
from tests.workers import ROOT


@pytest.fixture(autouse=True)
def _own_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test declares is forgotten after it."""
    monkeypatch.setattr(registry, "_definitions", dict(registry._definitions))


def settings_of(given: object) -> Any:
    return override_settings(TASKTRACK={**settings.TASKTRACK, "SCHEDULES": given})


def read(given: object) -> Entry | Wrong:
    with settings_of({"nightly": given}):
        (found,) = declared.declared()
    return found


BARE = Entry(
    name="nightly",
    task=echo.name,
    timing="0 3 * * *",
    timezone="",
    args=[],
    kwargs={},
    queue="",
    priority=None,
    expires=None,
    unique_key="",
    catch_up=1,
)


def test_nothing_is_declared_at_first() -> None:
    assert declared.declared() == []
    assert check_schedules() == []


@pytest.mark.parametrize(
    "schedule", ["0 3 * * *", crontab(0, 3), schedules.Timing("0 3 * * *")]
)  # fmt: skip
def test_settings_in_celery_s_shape(schedule: object) -> None:
    assert read({"task": echo.name, "schedule": schedule}) == BARE
    assert read({"task": echo, "schedule": schedule}) == BARE


def test_all_that_a_declaration_may_say() -> None:
    found = read(
        {
            "task": echo.name,
            "schedule": crontab(0, 3, timezone="Asia/Tokyo"),
            "args": (1,),
            "kwargs": None,
            "options": {
                "queue": "mail",
                "priority": 5,
                "expires": timedelta(minutes=2),
                "unique_key": "n",
            },
            "catch_up": 7,
            "enabled": False,
        }
    )
    assert found == Entry(
        name="nightly", task=echo.name, timing="0 3 * * *", timezone="Asia/Tokyo", args=[1], kwargs={},
        queue="mail", priority=5, expires=120.0, unique_key="n", catch_up=7, enabled=False,
    )  # fmt: skip


def test_on_the_task_itself() -> None:
    @task(name="tests.nightly", schedule=crontab(hour=7, minute=30, day_of_week="mon-fri"))
    def nightly() -> None: ...

    @task(name="tests.often", schedule=timedelta(minutes=5))
    def often() -> None: ...

    @task(name="tests.more", schedule={"schedule": "@daily", "args": [1], "catch_up": 0})
    def more(number: int) -> None: ...

    found = {one.name: one for one in declared.declared() if isinstance(one, Entry)}
    assert {name: one.timing for name, one in found.items()} == {
        "tests.nightly": "30 7 * * mon-fri", "tests.often": "every 300 s", "tests.more": "@daily",
    }  # fmt: skip
    assert (found["tests.more"].args, found["tests.more"].catch_up) == ([1], 0)
    with settings_of({"tests.often": {"task": "tests.often", "schedule": every(60)}}):
        told = {one.name: one for one in declared.declared()}
    assert isinstance(told["tests.often"], Entry)
    assert told["tests.often"].timing == "every 60 s", "the settings count"


@pytest.mark.parametrize(
    ("given", "problem", "hint"),
    [
        ("0 3 * * *", "It has no 'task'", "Write {"),
        ({"task": echo.name}, "It has no 'schedule'", "Write {"),
        ({"task": "nobody.knows", "schedule": 5}, "No task is named 'nobody.knows'", "Known"),
        ({"task": echo.name, "schedule": "soon"}, "'soon' has 1 fields", "Write minute"),
        ({"task": echo.name, "schedule": "0 3 * * xyz"}, "bad day-of-week", "Write minute"),
        ({"task": echo.name, "schedule": None}, "schedule=None says no time", "Write a cron"),
        ({"task": echo.name, "schedule": 0.2}, "'every 0.2 s' cannot be", "from 1 second"),
        ({"task": echo.name, "schedule": 5, "timezone": "Mars"}, "timezone='Mars'", "Berlin"),
        ({"task": echo.name, "schedule": 5, "arg": [1]}, "has no 'arg'", "Did you mean 'args'?"),
        ({"task": echo.name, "schedule": 5, "options": {"que": 1}}, "has no 'que'", "'queue'"),
        ({"task": echo.name, "schedule": 5, "options": [1]}, "options=[1] is no dict", "queue"),
        ({"task": echo.name, "schedule": 5, "args": "abc"}, "args='abc' is no list", "['abc']"),
        ({"task": echo.name, "schedule": 5, "args": [1, 2, 3]}, "too many positional", ""),
        ({"task": echo.name, "schedule": 5, "args": [{1, 2}]}, "args[0]: a value of type set", "Pass"),
        ({"task": echo.name, "schedule": 5, "options": {"priority": 500}}, "priority=500", "-100"),
        ({"task": echo.name, "schedule": 5, "options": {"expires": "x"}}, "expires='x'", "seconds"),
        ({"task": echo.name, "schedule": 5, "options": {"queue": "a,b"}}, "queue='a,b'", "commas"),
        ({"task": echo.name, "schedule": 5, "catch_up": -1}, "catch_up=-1", "1000"),
        ({"task": echo.name, "schedule": 5, "catch_up": True}, "catch_up=True", "1000"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_check_with_its_remedy(
    given: object, problem: str, hint: str
) -> None:
    right = {"task": echo.name, "schedule": "@daily"}
    with settings_of({"wrong": given, "right": right}):
        (message,) = check_schedules()
        found = {one.name: one for one in declared.declared()}
        assert check_settings() == []
    assert message.id == "tasktrack.E016"
    assert message.msg.startswith("Schedule wrong: ")
    assert problem in message.msg
    assert hint in (message.hint or "")
    assert isinstance(found["right"], Entry)


def test_a_task_that_says_nonsense_is_a_task_all_the_same() -> None:
    @task(name="tests.nonsense", schedule="every now and then")
    def nonsense() -> int:
        return 5

    assert nonsense() == 5
    (message,) = check_schedules()
    assert "tests.nonsense" in message.msg


def test_a_unique_key_that_raises_is_told_and_breaks_nothing() -> None:
    def key(*args: object) -> str:
        raise KeyError("customer")

    @task(name="tests.keyed", schedule="@daily", unique_key=key)
    def keyed() -> None: ...

    (message,) = check_schedules()
    assert "KeyError('customer')" in message.msg


@pytest.mark.parametrize("given", [[], "x", 5])
def test_schedules_are_a_dict(given: object) -> None:
    with settings_of(given):
        (message,) = check_settings()
        assert check_schedules() == [], "its settings are not known"
    assert message.id == "tasktrack.E001"
    assert "nightly" in (message.hint or "")


def test_checks_are_registered() -> None:
    with settings_of({"wrong": {"task": echo.name, "schedule": "soon"}}):
        assert "tasktrack.E016" in {message.id for message in run_checks()}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, None),
        ({"timing": "soon"}, "1 fields"),
        ({"task": "nobody.knows"}, "No task is named"),
        ({"timezone": "Mars"}, "'Mars' is unknown"),
        ({"task": "nobody.knows", "enabled": False}, None),
    ],
)
def test_rows_are_checked_with_the_database(values: dict[str, Any], told: str | None) -> None:
    make_schedule(**values)
    assert check_rows_of_schedules() == []
    found = check_rows_of_schedules(databases=["default"])
    assert [message.id for message in found] == (["tasktrack.W016"] if told else [])
    assert all(told and told in message.msg for message in found)


def test_settings_may_import_it() -> None:
    """Before there are settings, and without anything of Django's that needs them."""
    code = (
        "from django_tasktrack.schedules import crontab, every, once\n"
        "import sys\n"
        "assert crontab(hour=7).text == '* 7 * * *'\n"
        "assert 'django.db.models' not in sys.modules\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=ROOT, env={}
    )
    assert ran.returncode == 0, ran.stderr
