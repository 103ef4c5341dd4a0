"""The settings dict: clear errors for what it cannot hold."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import override_settings

from django_tasktrack.checks import check_mariadb, check_settings, check_sqlite
from django_tasktrack.conf import Config, config, errors
from django_tasktrack.pools import POOLS
from django_tasktrack.setting_values import CHOICES

ROOT = Path(__file__).resolve().parent.parent
NUMBERS = [field.name for field in fields(Config) if str(field.type).startswith(("int", "float"))]
FLAGS = [field.name for field in fields(Config) if field.type == "bool"]
WHOLE = [field.name for field in fields(Config) if str(field.type).startswith("int")]


def problem(value: Any) -> str:
    """The one thing that is wrong with the dict, with its hint."""
    (found,) = errors(value)
    return " ".join(found)


def test_every_setting_has_a_default_that_is_right() -> None:
    defaults = {field.name: field.default for field in fields(Config)}
    assert errors(defaults) == []


def test_unknown_setting_names_the_nearest() -> None:
    assert problem({"HEART_BEAT": 1}) == (
        "TASKTRACK has no setting 'HEART_BEAT'. Did you mean 'HEARTBEAT'?"
    )


def test_setting_that_is_near_to_none_lists_the_known_ones() -> None:
    assert "Known: ACCEPT_CONTENT, ALWAYS_EAGER, BUSINESS_DATABASE, " in problem({"XYZ": 1})


@pytest.mark.parametrize("value", [None, [], "LEASE=5"])
def test_settings_must_be_a_dict(value: object) -> None:
    assert problem(value).startswith("TASKTRACK must be a dict.")


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("value", [1, 0, "yes", None, 2.5])
def test_flag_must_be_one(name: str, value: object) -> None:
    said = f"TASKTRACK[{name!r}] = {value!r} is not True or False. Give True or False."
    assert problem({name: value}) == said
    assert errors({name: True}) == []


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["5", True, [], math.nan, math.inf, -1])
def test_number_must_be_one(name: str, value: object) -> None:
    if (name, value) != ("DEFAULT_PRIORITY", -1):  # which is one
        assert problem({name: value}).startswith(f"TASKTRACK['{name}']")


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", [1.5, timedelta(seconds=3)])
def test_count_must_be_whole(name: str, value: object) -> None:
    assert "is not a whole number" in problem({name: value})


@pytest.mark.parametrize(
    "name",
    ["HEARTBEAT", "LEASE", "MAINTENANCE", "POLL_MIN", "POLL_MAX", "MAX_PAYLOAD_BYTES", "CONCURRENCY",
     "TIME_LIMIT", "SOFT_TIME_LIMIT", "MAX_TASKS_PER_CHILD", "MAX_MEMORY_PER_CHILD", "RESULT_EXPIRES"],
)  # fmt: skip
def test_what_would_stand_still_at_zero_must_be_positive(name: str) -> None:
    assert "must be positive" in problem({name: 0})


@pytest.mark.parametrize("name", ["RETENTION", "FAILURE_RETENTION", "REVOKED_RETENTION"])
def test_rows_are_kept_for_an_hour_at_the_least(name: str) -> None:
    assert "must be an hour (3600) or more" in problem({name: 3599})
    assert errors({name: 3600}) == []


def test_row_is_kept_as_long_as_its_value_where_nothing_is_said_of_it() -> None:
    month = 30 * 86_400
    for given, kept in (({"RESULT_EXPIRES": month}, month), ({"result_expires": 0}, None)):
        with override_settings(TASKTRACK=given):
            assert kept == config().RETENTION
    with override_settings(TASKTRACK={"RESULT_EXPIRES": 60}):
        assert config().RETENTION == 14 * 86_400


@pytest.mark.parametrize("value", [7201, None])
def test_row_cannot_go_before_its_value(value: object) -> None:
    found = problem({"RESULT_EXPIRES": value, "RETENTION": 7200})
    assert "the row, with the value in it, is kept for 7200 s only" in found
    assert errors({"RESULT_EXPIRES": 7200, "RETENTION": 7200}) == []


@pytest.mark.parametrize("name", ["DEFAULT_QUEUE", "TASKS_MODULE", "BUSINESS_DATABASE"])
@pytest.mark.parametrize("value", [None, 5, "", b"mail"])
def test_text_must_be_text(name: str, value: object) -> None:
    assert "is not a string" in problem({name: value})


def test_none_means_no_limit_only_where_there_can_be_none() -> None:
    may_be_none = ["DEFAULT_MAX_RETRIES", "GOAL_MAX_ATTEMPTS", "RETENTION", "FAILURE_RETENTION"]
    may_be_none += ["RESULT_EXPIRES", "REVOKED_RETENTION"]
    assert errors(dict.fromkeys(may_be_none)) == []
    assert "is not a number" in problem({"LEASE": None})


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ({"LEASE": "30"}, "Give seconds or a timedelta."),
        ({"RETENTION": "7d"}, "Give seconds or a timedelta, or None for ever."),
        ({"MAX_CRASHES": 1.5}, "Give a whole number, such as 3."),
        ({"DEFAULT_MAX_RETRIES": "3"}, "Give a whole number, such as 3, or None for no limit."),
        ({"DEFAULT_QUEUE": 5}, "Give a string, such as 'default'."),
        ({"IGNORE_RESULT": 1}, "Give True or False."),
        ({"SERIALIZABLE_MODULES": "invoices.types"}, "Give a list of strings."),
        ({"CONCURRENCY": "4"}, "Give a whole number, or None for one a processor."),
    ],
)
def test_hint_says_what_is_expected(given: dict[str, Any], hint: str) -> None:
    assert problem(given).endswith(hint)


@pytest.mark.parametrize("name", ["IGNORE_RESULT", "STORE_ERRORS_EVEN_IF_IGNORED"])
@pytest.mark.parametrize("value", [None, 0, 1, "yes"])
def test_switch_is_on_or_off(name: str, value: object) -> None:
    assert "is not True or False" in problem({name: value})


@pytest.mark.parametrize("value", [-101, 101])
def test_priority_stays_in_its_range(value: int) -> None:
    assert "must be -100 to 100" in problem({"DEFAULT_PRIORITY": value})


@pytest.mark.parametrize("name", ["SERIALIZER", "RESULT_SERIALIZER"])
def test_serializer_is_one_of_those_there_are(name: str) -> None:
    assert problem({name: "yaml"}).endswith("There are 'json', 'tagged'.")
    assert "would decode pickles, which is never done" in problem({name: "pickle"})


@pytest.mark.parametrize("value", [["json", "pickle"], ("application/x-python-pickle",)])
def test_pickle_is_never_accepted(value: Any) -> None:
    assert "would decode pickles" in problem({"ACCEPT_CONTENT": value})
    assert "would decode pickles" in problem({"accept_content": value})


def test_what_is_written_has_to_be_accepted() -> None:
    given = {"SERIALIZER": "tagged", "ACCEPT_CONTENT": ["json"]}
    assert problem(given).startswith("TASKTRACK['SERIALIZER'] is 'tagged', which ACCEPT_CONTENT")
    assert errors({"ACCEPT_CONTENT": ["json"]}) == []


def test_pools_are_those_that_there_are() -> None:
    assert set(CHOICES["POOL"]) == set(POOLS)
    assert "There are 'asyncio'" in problem({"POOL": "gevent"})


def test_every_wrong_setting_is_told() -> None:
    assert len(errors({"LEASEE": 1, "GRACE": "x", "HEARTBEAT": 0})) == 3


@pytest.mark.parametrize(
    "value", [{"LEASE": 14}, {"HEARTBEAT": 11}, {"LEASE": timedelta(seconds=9), "HEARTBEAT": 4}]
)
def test_lease_is_three_heartbeats_at_least(value: dict[str, Any]) -> None:
    assert "shorter than three heartbeats" in problem(value)


def test_lease_of_exactly_three_heartbeats_is_enough() -> None:
    assert errors({"LEASE": 15, "HEARTBEAT": 5}) == []


def test_shortest_pause_is_no_longer_than_the_longest() -> None:
    assert "POLL_MIN" in problem({"POLL_MIN": 2, "POLL_MAX": 1})


@override_settings(TASKTRACK={"LEASE": timedelta(minutes=1), "RETENTION": timedelta(days=2)})
def test_durations_are_seconds_or_timedelta() -> None:
    assert (config().LEASE, config().RETENTION) == (60, 172_800)


def test_settings_are_read_again_after_a_change() -> None:
    with override_settings(TASKTRACK={"GRACE": 1}):
        assert config().GRACE == 1
    with override_settings(TASKTRACK={"GRACE": 2}):
        assert config().GRACE == 2


@override_settings(TASKTRACK={"LEASEE": 5})
def test_wrong_settings_are_not_worked_with() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"'LEASEE'\. Hint: Did you mean 'LEASE'\?"):
        config()


@override_settings(TASKTRACK={"LEASEE": 5, "GRACE": "x"})
def test_system_check_reports_each_wrong_setting() -> None:
    found = check_settings()
    assert [message.id for message in found] == ["tasktrack.E001", "tasktrack.E001"]
    assert found[0].hint == "Did you mean 'LEASE'?"


def test_manage_py_check_fails_and_names_the_nearest_setting() -> None:
    ran = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "TASKTRACK_TEST_SETTINGS": json.dumps({"LEASEE": 5}),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode != 0
    assert "TASKTRACK has no setting 'LEASEE'" in ran.stderr
    assert "Did you mean 'LEASE'?" in ran.stderr


@pytest.mark.parametrize("command", ["worker", "check", "tasktrack"])
def test_wrong_setting_is_one_block_for_commands(command: str) -> None:
    """Although declaring tasks, which comes before, looks at the settings too."""
    ran = subprocess.run(
        [sys.executable, "manage.py", command, *(["purge"] if command == "tasktrack" else [])],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "TASKTRACK_TEST_SETTINGS": json.dumps({"TASKS_MODUL": "jobs"}),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == (2 if command == "tasktrack" else 1)
    assert "HINT: Did you mean 'TASKS_MODULE'?" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_sqlite_is_asked_to_begin_its_transactions_as_a_writer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert check_sqlite(databases=["default"]) == []
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {})
    warned = [message.id for message in check_sqlite(databases=["default"])]
    assert warned == (["tasktrack.W001"] if connection.vendor == "sqlite" else [])
    assert check_sqlite(databases=None) == []


@pytest.mark.django_db
def test_the_documented_settings_leave_nothing_to_complain_of() -> None:
    assert run_checks(databases=["default"]) == []
    assert check_mariadb(databases=None) == []


def complaints() -> list[str]:
    return [
        str(message.id).removeprefix("tasktrack.")
        for message in check_mariadb(databases=["default"])
    ]


@pytest.fixture
def _mariadb(db: None) -> None:
    if connection.vendor != "mysql":
        pytest.skip("about MariaDB")


@pytest.mark.usefixtures("_mariadb")
@pytest.mark.parametrize(
    ("version", "expected"), [((10, 6, 18), ["W002"]), ((10, 11, 5), ["W002"]), ((11, 4, 2), [])]
)
def test_a_mariadb_that_sorts_ids_wrongly_is_told(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...], expected: list[str]
) -> None:
    monkeypatch.setattr(connection, "mysql_version", version)
    assert complaints() == expected


@pytest.mark.usefixtures("_mariadb")
def test_another_isolation_level_than_the_tried_one_is_told() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        try:
            assert complaints() == ["W003"]
        finally:
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")


@pytest.mark.usefixtures("_mariadb")
def test_tables_without_transactions_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:  # over before the test's own transaction is rolled back
        patch.setattr(connection.features, "supports_transactions", False)
        assert complaints() == ["E002"]


@pytest.mark.django_db(transaction=True)
def test_tables_that_cannot_hold_every_character_are_an_error() -> None:
    if connection.vendor != "mysql":
        pytest.skip("about MariaDB")
    change = "ALTER TABLE tasktrack_progress MODIFY message varchar(255) CHARACTER SET {} NOT NULL"
    with connection.cursor() as cursor:
        cursor.execute(change.format("latin1"))
        try:
            assert complaints() == ["E003"]
        finally:
            cursor.execute(change.format("utf8mb4"))
