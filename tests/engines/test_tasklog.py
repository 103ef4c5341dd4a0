"""How the ends of attempts read in the worker's log."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from django_tasktrack import states, transitions
from django_tasktrack.changes import Change, RevokeRequest
from django_tasktrack.engines.tasklog import LINES_A_SECOND, TaskLog
from django_tasktrack.management.logs import OneLine
from django_tasktrack.outcomes import Outcome, failed, ignored, retry_later, succeeded
from tests.test_declaration import make_claim

CLAIM = make_claim()
NAMED = f"{CLAIM.name}[{CLAIM.task_id}] "


def logged(caplog: pytest.LogCaptureFixture, change: Change) -> tuple[str, str]:
    """Level and text of the one record."""
    with caplog.at_level(logging.DEBUG, logger="django_tasktrack.task"):
        TaskLog().end(CLAIM, change)
    (record,) = caplog.records
    assert record.name == "django_tasktrack.task"
    message = record.getMessage()
    assert message.startswith(NAMED)
    return record.levelname, message.removeprefix(NAMED)


def end(outcome: Outcome) -> Change:
    return Change.of_outcome(CLAIM, outcome, 100.0, 102.5)


def error(text: str = "no") -> ValueError:
    try:
        raise ValueError(text)
    except ValueError as caught:
        return caught


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (succeeded("1"), ("INFO", "succeeded in 2.500 s")),
        (ignored(), ("INFO", "succeeded in 2.500 s: ignored")),
        (
            retry_later(error(), 30, "retry 1 of 3"),
            ("WARNING", "retry in 30 s: retry 1 of 3: ValueError: no"),
        ),
        (failed(error("100 %s")), ("ERROR", "failed in 2.500 s: ValueError: 100 %s")),
        (Outcome(states.RELEASE, reason="stopped"), ("WARNING", "goes back to its queue: stopped")),
    ],
)
def test_end_of_a_body(
    outcome: Outcome, told: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert logged(caplog, end(outcome)) == told


def test_failure_comes_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    logged(caplog, end(failed(error("two\nlines"))))
    first, second, *_ = OneLine("%(message)s").format(caplog.records[0]).splitlines()
    assert first == f"{NAMED}failed in 2.500 s: ValueError: two\\nlines"
    assert second == "    Traceback (most recent call last):"


def test_what_a_task_throws_is_a_line_of_information(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        TaskLog().end(CLAIM, end(failed(error())), expected=True)
    (record,) = caplog.records
    assert (record.levelname, record.exc_text) == ("INFO", None)
    assert record.getMessage() == f"{NAMED}failed in 2.500 s: ValueError: no"


def test_revoked_task_says_by_whom(caplog: pytest.LogCaptureFixture) -> None:
    request = RevokeRequest(CLAIM.task_id, CLAIM.lease, None, actor="user:ada", reason="runs away")
    change = transitions.stopped(request, 1, began=100.0)
    assert logged(caplog, change) == ("WARNING", "revoked by user:ada: runs away")


@pytest.mark.parametrize(
    ("crashes", "told"),
    [
        (0, ("WARNING", "lost: signal SIGKILL (crash 1 of 3); it is run again")),
        (2, ("ERROR", "lost: signal SIGKILL; crash 3, no further attempt (crash 3 of 3)")),
    ],
)
def test_lost_task_counts_its_crashes(
    crashes: int, told: tuple[str, str], caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    settings.TASKTRACK = {}
    claim = CLAIM._replace(crashes=crashes)
    with caplog.at_level(logging.DEBUG, logger="django_tasktrack.task"):
        TaskLog().end(claim, transitions.lost(claim, 100.0, "signal SIGKILL"))
    (record,) = caplog.records
    assert (record.levelname, record.getMessage().removeprefix(NAMED)) == told


def test_start_is_for_debugging(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="django_tasktrack.task"):
        TaskLog().start(CLAIM)
    assert caplog.records == []


def test_nothing_is_composed_that_nobody_reads(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, logger="django_tasktrack.task"):
        TaskLog().end(CLAIM, end(succeeded("1")))
    assert caplog.records == []


def test_successes_beyond_so_many_a_second_are_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("django_tasktrack.engines.tasklog.time.monotonic", lambda: now)
    log, other = TaskLog(), make_claim(name="y")
    with caplog.at_level(logging.INFO, logger="django_tasktrack.task"):
        for claim in [CLAIM] * (LINES_A_SECOND + 1200) + [other] * 3:
            log.end(claim, end(succeeded("1")))
        assert len(caplog.records) == LINES_A_SECOND
        log.end(CLAIM, end(failed(error())))
        assert len(caplog.records) == LINES_A_SECOND + 1, "a failure always has its line"
        assert log.due_at() == 1001.0
        log.sum_up(1000.9)
        assert len(caplog.records) == LINES_A_SECOND + 1
        now = 1001.0
        log.end(CLAIM, end(succeeded("1")))
    *_, summary, single = [record.getMessage() for record in caplog.records]
    assert summary == f"1,203 more succeeded: {CLAIM.name} 1,200, y 3"
    assert single.endswith("succeeded in 2.500 s")
    assert log.due_at() == float("inf")


def test_at_debug_each_success_has_its_line(caplog: pytest.LogCaptureFixture) -> None:
    log = TaskLog()
    with caplog.at_level(logging.DEBUG, logger="django_tasktrack.task"):
        for _ in range(LINES_A_SECOND + 5):
            log.end(CLAIM, end(succeeded("1")))
    assert len(caplog.records) == LINES_A_SECOND + 5
