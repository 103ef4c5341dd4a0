"""The command itself: verbs, exit codes, and what a terminal, a pipe and a program get."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command, load_command_class
from django.db import DatabaseError
from django.test import override_settings

from django_tasktrack.management.tasktrack import VERBS, blocks, console, stats
from django_tasktrack.management.tasktrack.verb import Verb, no_arguments
from tests import databases
from tests.factories import make_task, make_worker

from .run import Terminal, tasktrack

ROOT = Path(__file__).resolve().parents[3]


def test_verbs_have_names_of_their_own() -> None:
    names = [verb.name for verb in VERBS]
    assert len(names) == len(set(names)) >= 13
    assert all(verb.help for verb in VERBS)


@pytest.mark.parametrize("args", [[], ["nonsense"], ["show"], ["ls", "--limit", "0"], ["ls", "-x"]])
def test_wrong_usage_ends_with_2(args: list[str]) -> None:
    ran = tasktrack(*args)
    assert ran.code == 2
    assert ran.out == ""


def test_options_of_django_may_stand_after_the_verb() -> None:
    command = load_command_class("django_tasktrack", "tasktrack")
    parser = command.create_parser("manage.py", "tasktrack")
    given = parser.parse_args(["stats", "--no-color", "--settings", "x", "--traceback"])
    assert (given.no_color, given.settings, given.traceback) == (True, "x", True)
    assert not parser.parse_args(["stats"]).no_color
    assert parser.parse_args(["--no-color", "stats"]).no_color


@pytest.mark.django_db
def test_settings_that_are_wrong_are_wrong_usage() -> None:
    with override_settings(TASKTRACK={"RETENTON": 1}):
        out = io.StringIO()
        with pytest.raises(Exception, match="RETENTION") as caught:
            call_command("tasktrack", "ping", stdout=out, skip_checks=False)
    assert getattr(caught.value, "returncode", None) == 2


@pytest.mark.django_db(transaction=True)
def test_database_that_fails_ends_with_2(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise DatabaseError("the disk is gone\nat line 1")

    monkeypatch.setattr(stats, "take", fail)
    ran = tasktrack("stats")
    assert ran.code == 2
    assert "refused: the disk is gone. Hint" in ran.err


@pytest.mark.django_db
def test_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stats, "take", interrupt)
    assert tasktrack("stats").code == 130
    assert tasktrack("stats", "--watch").code == 0, "that is how watching ends"


def test_adding_a_verb_takes_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from django_tasktrack.management.commands import tasktrack as command

    def run(options: object, console: console.Console) -> int:
        console.give({"pong": True})
        return 0

    monkeypatch.setattr(command, "VERBS", (Verb("greet", "say hello", no_arguments, run),))
    monkeypatch.setitem(command._RUNS, "greet", run)
    assert tasktrack("greet", "--json").document == {"pong": True}


# Terminal and pipe


@pytest.mark.django_db
def test_pipe_gets_plain_text_and_a_terminal_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    make_task("FAILURE", worker=make_worker())
    assert "\x1b" not in tasktrack("ls").out
    assert "\x1b[1;31mFAILURE" in tasktrack("ls", terminal=True).out
    assert "\x1b" not in tasktrack("ls", "--json", terminal=True).out
    assert "\x1b[1;31mFAILURE" in tasktrack("ls", "--force-color").out


@pytest.mark.django_db
def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    make_task("FAILURE", worker=make_worker())
    assert "31m" not in tasktrack("ls", "--no-color", terminal=True).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "31m" not in tasktrack("ls", terminal=True).out


@pytest.mark.django_db
def test_without_rich_a_terminal_gets_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "django_tasktrack.management.tasktrack.colours", None)
    task = make_task("FAILURE", worker=make_worker())
    for args in (["ls"], ["show", task.pk], ["stats"], ["tail", task.pk], ["doctor"]):
        assert "\x1b" not in tasktrack(*args, terminal=True).out
    head, row = tasktrack("ls", terminal=True).lines
    assert head.index("STATE") == row.index("FAILURE")


@pytest.mark.django_db
@pytest.mark.parametrize("columns", [80, 140])
def test_tables_fit_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    worker = make_worker(name="a worker with a long name@and-a-long-host.example.org")
    name = "shop.reports.tasks.yearly_statement_of_the_whole_company"
    task = make_task("FAILURE", worker=worker, name=name, error=OSError("disk full " * 20))
    for verb in ("ls", "workers", "stats"):
        lines = _visible(tasktrack(verb, terminal=True).out).splitlines()
        assert max(map(len, lines)) <= columns, verb
    shown = _visible(tasktrack("ls", terminal=True).out)
    assert str(task.pk) in shown
    assert "_whole_company" in shown, "the end of a name tells most"


@pytest.mark.django_db
def test_narrow_terminal_tells_how_far_tasks_are_too(monkeypatch: pytest.MonkeyPatch) -> None:
    make_task("STARTED", progress=(42, 100, "row 42"))
    for columns, told in (("80", "DONE"), ("140", "PROGRESS")):
        monkeypatch.setenv("COLUMNS", columns)
        shown = _visible(tasktrack("inspect", "active", terminal=True).out)
        assert (told in shown, shown.count("42%")) == (True, 1)
    plain = tasktrack("inspect", "active").out
    assert ("DONE" in plain, plain.count("42%")) == (False, 1)


def _visible(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@pytest.mark.django_db
@pytest.mark.parametrize("terminal", [False, True])
def test_what_tasks_say_cannot_drive_the_terminal(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    evil = "\x1b]0;title\x07[red]x[/red]\x9b31m"
    task = make_task(
        "FAILURE", worker=make_worker(name=evil[:20]), owner=evil, error=ValueError(evil + "\nfake")
    )
    for args in (["ls"], ["show", task.pk], ["doctor", task.pk], ["workers", "--all"]):
        out = tasktrack(*args, terminal=terminal).out
        assert not {"\x1b]", "\x07", "\x9b"} & {
            out[i : i + n] for n in (1, 2) for i in range(len(out))
        }
    assert "[red]x[/red]" in tasktrack("show", task.pk, terminal=terminal).out


def test_what_an_encoding_lacks_is_escaped() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    console.Console(out, io.StringIO()).show(blocks.line("日本"))
    out.flush()
    assert raw.getvalue() == b"\\u65e5\\u672c\n"


def test_numbers_that_json_has_not_become_null() -> None:
    out = io.StringIO()
    document = {"a": [float("inf"), float("nan"), 1.5], "b": (float("-inf"),)}
    console.Console(out, io.StringIO(), as_json=True).give(document)
    assert json.loads(out.getvalue()) == {"a": [None, None, 1.5], "b": [None]}


def test_nobody_at_the_keyboard_means_no(monkeypatch: pytest.MonkeyPatch) -> None:
    err = io.StringIO()
    asking = console.Console(io.StringIO(), err)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert not asking.confirm("End all?")
    assert "--yes" in err.getvalue()


@pytest.mark.parametrize(
    ("typed", "agreed"), [("y\n", True), ("YES\n", True), ("\n", False), ("", False)]
)
def test_person_is_asked(typed: str, agreed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    assert console.Console(io.StringIO(), io.StringIO()).confirm("End all?") is agreed


def test_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    name = str(tmp_path / "fresh.sqlite3")
    known = {key: value for key, value in os.environ.items() if key != databases.NAME}
    env = {**known, "DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONUNBUFFERED": "1"}
    env |= {databases.CHOICE: "sqlite", databases.NAME: name}
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "migrate", "-v", "0"], cwd=ROOT, env=env, check=True, timeout=60)
    read, write = os.pipe()
    os.close(read)
    ran = subprocess.run(
        [*manage, "tasktrack", "doctor"],
        cwd=ROOT, env=env, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
    )  # fmt: skip
    os.close(write)
    assert (ran.returncode, ran.stderr) == (0, "")
