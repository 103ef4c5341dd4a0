"""The pytest plugin behind the exam: marks, figures, and a line of record for every case that ran."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from pytest_django.plugin import blocking_manager_key

from tests import databases
from tests.exam.cases import CASES

#: Where the record goes; set by ``python -m tests.exam``. With it, long cases run too.
RECORD = "TASKTRACK_EXAM_RECORD"

Figures = dict[str, Any]
_FIGURES = pytest.StashKey[Figures]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "case(number, ...): a case of the exam (tests/exam/cases.py)"
    )
    config.addinivalue_line("markers", "long: runs under `make exam`, not under `make test`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is long, unless asked for, and cases of other databases."""
    wants_long = os.environ.get(RECORD) or "long" in (config.getoption("-m") or "")
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        long = item.get_closest_marker("long") is not None
        elsewhere = any(databases.kind() not in CASES[n].databases for n in numbers(item))
        (left_out if elsewhere or (long and not wants_long) else kept).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def pytest_collection_finish(session: pytest.Session) -> None:
    """What the results are of: the server, and what its commits wait for."""
    if RECORD in os.environ:
        with session.config.stash[blocking_manager_key].unblock():
            server, durability = databases.version(), databases.durability()
        _write({"database": databases.kind(), "server": server, "durability": durability})


def numbers(item: pytest.Item) -> list[str]:
    """The cases that a test is part of.

    Raises:
        UsageError: it names one that does not exist.
    """
    found = [str(number) for mark in item.iter_markers("case") for number in mark.args]
    for number in found:
        if number not in CASES:
            raise pytest.UsageError(f"{item.nodeid}: there is no case {number}.")
    return found


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """What a case has measured, for the table: name → number or word."""
    stash: pytest.Stash = request.node.stash
    return stash.setdefault(_FIGURES, {})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    ended = call.when == "call" or report.outcome != "passed"
    if os.environ.get(RECORD) and ended:
        for number in numbers(item):
            _record(number, item, report, item.stash.get(_FIGURES, {}))
    return report


def _record(number: str, item: pytest.Item, report: pytest.TestReport, figures: Figures) -> None:
    line = {
        "case": number,
        "database": databases.kind(),
        "test": item.nodeid,
        "outcome": report.outcome,
        "seconds": round(report.duration, 1),
        "figures": figures,
    }
    _write(line | ({"reason": _reason(report)} if report.outcome == "skipped" else {}))


def _reason(report: pytest.TestReport) -> str:
    """Why a test was skipped."""
    told = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
    return str(told).removeprefix("Skipped: ")


def _write(line: dict[str, Any]) -> None:
    with Path(os.environ[RECORD]).open("a") as file:
        file.write(json.dumps(line) + "\n")
