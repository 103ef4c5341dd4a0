"""Names the database in the header, ends every worker process, shows its log where a test failed."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest
from pytest_django.plugin import blocking_manager_key

from django_tasktrack import pytest_plugin

from . import databases, invariants, ledger, routed, workers
from .exam import report

#: Folders whose tests run real workers: they commit, and the invariants hold after each.
_LIVE = tuple(Path(__file__).parent / name for name in ("live", "rows", "exam"))

#: What is the same on every database and takes real processes: one database of two is enough in each
#: `make test`. `make exam` runs its cases on all of them, and the whole suite on MariaDB.
_ONCE = tuple(
    str(Path(__file__).parent / name)
    for name in (
        *("management/test_", "compat", "test_forking.py"),
        *(f"pools/test_{name}.py" for name in ("asyncio", "child", "inbox", "link")),
        *(f"pools/test_{name}.py" for name in ("local", "prefork")),
        *(f"exam/test_{name}.py" for name in ("hostile", "terminate")),
        *(f"live/test_{name}.py" for name in ("asyncio", "goals", "logging")),
        *(f"live/test_{name}.py" for name in ("odd_bodies", "payloads", "revoke", "schedules")),
        *(f"live/test_{name}.py" for name in ("shutdown", "signals")),
    )
)

# A machine that is busy is no fault of the code under test.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(report, "exam")
    if not config.pluginmanager.has_plugin("tasktrack"):  # else an installed package has brought it
        config.pluginmanager.register(pytest_plugin, "tasktrack")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    elsewhere = databases.kind() == "postgresql" and not os.environ.get(report.RECORD)
    for item in items:
        if _is_live(item.path) and not item.get_closest_marker("django_db"):
            item.add_marker(pytest.mark.django_db(transaction=True))
        if elsewhere and str(item.path).startswith(_ONCE):
            item.add_marker(
                pytest.mark.skip(reason="the same on every database: SQLite's run has it")
            )


def _is_live(path: Path) -> bool:
    return any(folder in path.parents for folder in _LIVE)


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a fresh ledger, known to the worker processes too."""
    path = tmp_path / "ledger.jsonl"
    monkeypatch.setenv(ledger.PATH, str(path))
    return path


@pytest.fixture
def tasks_apart(transactional_db: None) -> Iterator[None]:
    """The tasks are in one database, the business data in another."""
    with routed.in_use():
        yield


@pytest.fixture(autouse=True)
def _invariants_hold(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every live test, the tables are as they must be."""
    if _is_live(request.path):
        request.getfixturevalue("transactional_db")
        yield
        invariants.check(quiet=False)
    else:
        yield


def pytest_report_header(config: pytest.Config) -> str:
    with config.stash[blocking_manager_key].unblock():
        return f"database: {databases.version()}"


@pytest.fixture(autouse=True)
def _no_worker_outlives_its_test() -> Iterator[None]:
    """Ends them before the tables are flushed: autouse fixtures of plugins are torn down later."""
    yield
    workers.end_all()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "setup":
        workers.forget_logs()
    if report.failed:
        report.sections += [(f"log of {name}", text) for name, text in workers.logs()]
    return report
