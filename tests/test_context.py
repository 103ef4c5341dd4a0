"""A running attempt: reports are throttled, refused after its end, and carry the wish to revoke."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from django_tasktrack import context
from django_tasktrack.context import Context, Request, running
from django_tasktrack.exceptions import NotRunning, TaskRevoked
from django_tasktrack.outcomes import Report

from .test_declaration import make_claim


class Clock:
    """A monotonic clock that stands still until it is told to move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(context, "time", clock)
    return clock


@pytest.fixture
def sent() -> list[Report]:
    return []


@pytest.fixture
def revoked() -> list[bool]:
    return []


@pytest.fixture
def attempt(sent: list[Report], revoked: list[bool]) -> Context:
    return Context(make_claim(), lambda: Request(id="1"), sent.append, lambda: bool(revoked))


def test_first_report_is_passed_on_at_once(
    attempt: Context, sent: list[Report], clock: Clock
) -> None:
    attempt.report(Report(current=1))
    assert sent == [Report(current=1)]


def test_reports_that_come_too_fast_are_joined(
    attempt: Context, sent: list[Report], clock: Clock
) -> None:
    for number in range(100):
        attempt.report(Report(current=number, message="m" if number == 5 else None))
    assert len(sent) == 1
    clock.now += context.REPORT_INTERVAL
    attempt.report(Report(current=100))
    assert sent[1:] == [Report(current=100, message="m")]


def test_new_label_is_passed_on_at_once(attempt: Context, sent: list[Report], clock: Clock) -> None:
    attempt.report(Report(current=1))
    attempt.report(Report(current=2))
    attempt.report(Report(label="PROGRESS"))
    attempt.report(Report(label="PROGRESS", current=3))
    assert sent[1:] == [Report(current=2, label="PROGRESS")]


def test_unchanged_label_is_not_passed_on_again(
    attempt: Context, sent: list[Report], clock: Clock
) -> None:
    for label in ["", "PROGRESS", "PROGRESS", "PROGRESS", "UPLOAD", "PROGRESS", "", ""]:
        attempt.report(Report(current=1, label=label))
        clock.now += context.REPORT_INTERVAL
    assert [report.label for report in sent] == [
        None, "PROGRESS", None, None, "UPLOAD", "PROGRESS", "", None,
    ]  # fmt: skip


def test_end_passes_on_what_is_left(attempt: Context, sent: list[Report], clock: Clock) -> None:
    with running(attempt):
        attempt.report(Report(current=1))
        attempt.report(Report(current=2))
    assert sent == [Report(current=1), Report(current=2)]


def test_report_after_the_end_is_refused(
    attempt: Context, sent: list[Report], clock: Clock
) -> None:
    with running(attempt):
        attempt.report(Report(current=1))
    clock.now += 10
    with pytest.raises(NotRunning, match="has ended; its progress can no longer change"):
        attempt.report(Report(current=2))
    assert sent == [Report(current=1)]


def test_checkpoint_raises_once_somebody_wants_the_end(
    attempt: Context, revoked: list[bool]
) -> None:
    attempt.checkpoint()
    revoked.append(True)
    with pytest.raises(TaskRevoked):
        attempt.checkpoint()


def test_report_is_a_checkpoint_and_is_still_passed_on(
    attempt: Context, sent: list[Report], revoked: list[bool], clock: Clock
) -> None:
    revoked.append(True)
    with pytest.raises(TaskRevoked):
        attempt.report(Report(current=1))
    assert sent == [Report(current=1)]


def test_checkpoint_after_the_end_is_quiet(attempt: Context, revoked: list[bool]) -> None:
    revoked.append(True)
    attempt.close()
    attempt.checkpoint()


def test_revoke_is_not_swallowed_by_except_exception() -> None:
    assert not issubclass(TaskRevoked, Exception)


def test_increment_goes_on_from_what_was_set(
    attempt: Context, sent: list[Report], clock: Clock
) -> None:
    attempt.report(Report(current=10, total=20))
    clock.now += 1
    attempt.increment(2.5)
    assert sent[-1].current == 12.5


@pytest.fixture
def _restless_threads() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_restless_threads")
def test_threads_lose_no_increment(attempt: Context, sent: list[Report]) -> None:
    def count() -> None:
        for _ in range(500):
            attempt.increment(1)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    attempt.close()
    assert sent[-1].current == 4000


def test_attempts_do_not_see_each_other(attempt: Context, sent: list[Report]) -> None:
    seen: list[Context | None] = []
    with running(attempt):
        thread = threading.Thread(target=lambda: seen.append(context.current()))
        thread.start()
        thread.join()
        assert context.current() is attempt
    assert seen == [None]
    assert context.current() is None
