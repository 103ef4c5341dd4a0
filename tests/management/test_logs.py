"""What a command shows on its terminal: everybody's records, one line each, with the running task."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

import pytest

from django_tasktrack.context import Context, Request, running
from django_tasktrack.management import logs
from django_tasktrack.outcomes import Report
from tests.test_declaration import make_claim


@contextmanager
def bare_root() -> Iterator[logging.Logger]:
    """The root logger as a process begins with it. Within the test: pytest adds handlers around it."""
    root, own = logging.getLogger(), logging.getLogger(logs.PACKAGE)
    handlers, levels = root.handlers[:], (root.level, own.level)
    root.handlers[:] = []
    own.setLevel(logging.NOTSET)
    try:
        yield root
    finally:
        root.handlers[:] = handlers
        root.setLevel(levels[0])
        own.setLevel(levels[1])


@contextmanager
def terminal(level: str | None = None) -> Iterator[io.StringIO]:
    """What ``to_terminal`` shows in a process of which nobody has configured the logging."""
    with bare_root(), redirect_stderr(io.StringIO()) as written:
        logs.to_terminal(level)
        yield written


def test_what_a_task_logs_is_shown_with_its_name_and_id() -> None:
    claim = make_claim()
    reports: list[Report] = []
    attempt = Context(claim, lambda: Request(id="1"), reports.append, lambda: False)
    with terminal() as shown:
        with running(attempt):
            logging.getLogger("invoices.tasks").info("half of it")
        logging.getLogger("invoices.views").info("outside")
    inside, outside = shown.getvalue().splitlines()
    assert inside.endswith(f"] {claim.name}[{claim.task_id}] half of it")
    assert outside.endswith("] outside")
    assert "INFO/" in inside


def test_level_is_everybody_s() -> None:
    with terminal("WARNING") as shown:
        logging.getLogger("invoices").info("unseen")
        logging.getLogger("django_tasktrack.task").info("unseen")
        logging.getLogger("invoices").warning("seen")
    assert shown.getvalue().count("\n") == 1


def test_configured_root_logger_is_not_touched() -> None:
    handler = logging.NullHandler()
    with bare_root() as root:
        root.addHandler(handler)
        root.setLevel(logging.ERROR)
        logs.to_terminal("DEBUG")
        assert (root.handlers, root.level) == ([handler], logging.ERROR)
        assert handler.filters == []
        assert logging.getLogger(logs.PACKAGE).level == logging.DEBUG


def test_level_that_the_project_gave_our_logger_stays() -> None:
    with bare_root():
        logging.getLogger(logs.PACKAGE).setLevel(logging.ERROR)
        logs.to_terminal(None)
        assert logging.getLogger(logs.PACKAGE).level == logging.ERROR


def test_our_records_are_not_shown_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    own, projects = io.StringIO(), logging.getLogger(logs.PACKAGE)
    monkeypatch.setattr(projects, "handlers", [logging.StreamHandler(own)])
    with terminal() as shown:
        logging.getLogger("django_tasktrack.worker").info("once")
    assert (own.getvalue(), shown.getvalue()) == ("once\n", "")


def test_one_record_is_one_line() -> None:
    with terminal() as shown:
        logging.getLogger("invoices").info("a\nfake: record\r\x1b[31m\x85\u2028é")
    (line,) = shown.getvalue().splitlines()
    assert line.endswith("a\\nfake: record\\r\\x1b[31m\\x85\\u2028é")


def test_traceback_is_indented_and_has_no_escapes() -> None:
    with terminal() as shown:
        try:
            raise ValueError("\x1b]0;title\x07\n[fake: CRITICAL/1] record")
        except ValueError:
            logging.getLogger("invoices").exception("broken")
    first, second, *_, said, more = shown.getvalue().splitlines()
    assert first.endswith("] broken")
    assert second == "    Traceback (most recent call last):"
    assert said == "    ValueError: \\x1b]0;title\\x07"
    assert more == "    [fake: CRITICAL/1] record"
