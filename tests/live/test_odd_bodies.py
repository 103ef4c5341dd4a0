"""Bodies that do what a worker would rather not meet."""

from __future__ import annotations

import pytest

from django_tasktrack.exceptions import TaskFailure
from tests.app import tasks
from tests.workers import worker


def test_a_process_that_a_body_forked_takes_nothing_from_the_next() -> None:
    with worker("-c", "1"):
        pid = tasks.forks_a_reporter.delay().get(timeout=20)
        results = [tasks.says_its_process.delay() for _ in range(30)]
        assert {result.get(timeout=20) for result in results} == {pid}
        assert all(result.progress.current is None for result in results)


def test_a_body_that_asks_the_terminal_fails_and_blocks_nobody() -> None:
    asking = tasks.asks_the_terminal.delay()
    with worker("-c", "1"):
        with pytest.raises(EOFError):
            asking.get(timeout=20)
        assert tasks.add.delay(1, 1).get(timeout=20) == 2


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "asyncio"])
def test_a_result_that_cannot_even_be_looked_at_is_a_failure(pool: str) -> None:
    odd = tasks.returns_something_odd.delay()
    with worker("-P", pool):
        with pytest.raises(TaskFailure):
            odd.get(timeout=20)
        assert tasks.add.delay(1, 1).get(timeout=20) == 2
    assert odd.history()[-1].reason == "the result cannot be stored"
    assert odd.history()[-1].attempt == 1


def test_a_retry_may_raise_the_limit() -> None:
    more = tasks.asks_for_more.delay()
    with worker():
        assert more.get(timeout=20) == 4
    assert [row.reason for row in more.history() if row.state == "RETRY"] == [
        f"retry {n} of 5" for n in (1, 2, 3)
    ]
