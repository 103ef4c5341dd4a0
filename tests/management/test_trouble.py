"""Errors of the database are told by what to do about them, without SQL."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError
from django.db import DataError

from django_tasktrack.exceptions import InvalidTask
from django_tasktrack.management.trouble import told_cleanly
from tests import databases

ROOT = Path(__file__).resolve().parent.parent.parent


def told(error: Exception) -> tuple[int, str]:
    with pytest.raises(CommandError) as caught, told_cleanly():
        raise error
    return caught.value.returncode, str(caught.value)


def test_wrong_request_ends_with_2() -> None:
    assert told(InvalidTask("It is wrong.", hint="Mend it.")) == (2, "It is wrong. Hint: Mend it.")


@pytest.mark.django_db(transaction=True)
def test_what_the_database_refuses_is_told_in_a_line() -> None:
    code, text = told(DataError("value too long\nLINE 1: SELECT\n     ^"))
    assert code == 1
    assert "refused: value too long. Hint: --traceback shows where." in text


@pytest.mark.django_db(transaction=True)
def test_code_for_the_database_is_the_command_s() -> None:
    with pytest.raises(CommandError) as caught, told_cleanly(database=2):
        raise DataError("value too long")
    assert caught.value.returncode == 2


def manage(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """``manage.py`` with another database than the suite's."""
    known = {name: value for name, value in os.environ.items() if name != databases.NAME}
    return subprocess.run(
        [sys.executable, "manage.py", *args],
        cwd=ROOT,
        env={**known, "DJANGO_SETTINGS_MODULE": "tests.settings", **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


COMMANDS = pytest.mark.parametrize(
    ("args", "code"),
    [
        (("worker", "--burst", "-P", "solo"), 1),
        (("worker", "--burst"), 1),
        (("tasktrack", "purge"), 2),
        (("tasktrack", "ping", "--json"), 2),
    ],
)


@COMMANDS
def test_missing_migrations_are_named(args: tuple[str, ...], code: int, tmp_path: Path) -> None:
    name = str(tmp_path / "fresh.sqlite3")
    ran = manage(*args, **{databases.CHOICE: "sqlite", databases.NAME: name})
    assert ran.returncode == code
    assert re.search(r"lacks \d+ of this app's migrations\. Hint: Run manage.py mig", ran.stderr)
    assert "Traceback" not in ran.stderr
    assert "no such table" not in ran.stderr


@COMMANDS
def test_unreachable_database_is_one_block(args: tuple[str, ...], code: int) -> None:
    url = "postgres://nobody@127.0.0.1:9/nothing"
    ran = manage(*args, **{databases.CHOICE: "postgresql", databases.POSTGRES: url})
    assert ran.returncode == code
    assert "cannot be reached: " in ran.stderr
    assert "Hint: Is it up" in ran.stderr
    assert "Traceback" not in ran.stderr
