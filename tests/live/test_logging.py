"""What a real worker shows on its terminal: each pool, and projects that configure the root logger."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from django_tasktrack.exceptions import TaskFailure
from tests.app import tasks
from tests.workers import wait_until, worker


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "asyncio"])
def test_what_a_task_logs_stands_in_the_worker_s_log(pool: str, book: Path) -> None:
    talking = tasks.talks.delay("half of it\nfake line")
    with worker("-P", pool, "-c", "1") as shown:
        talking.get(timeout=20)
        named = re.escape(f"{tasks.talks.name}[{talking.id}]")
        wait_until(lambda: f"[{talking.id}] succeeded" in shown.output, what="the end in the log")
        assert re.search(rf"INFO/\d+\] {named} half of it\\nfake line$", shown.output, re.M)
        assert re.search(rf"INFO/\d+\] {named} succeeded in \d+\.\d+ s$", shown.output, re.M)


def test_level_is_for_what_tasks_log_too(book: Path) -> None:
    talking, failing = tasks.talks.delay("unheard"), tasks.fails.delay("out of paper")
    with worker("-c", "1", "-l", "error") as shown:
        talking.get(timeout=20)
        with pytest.raises(TaskFailure):
            failing.get(timeout=20)
        failed = f"{tasks.fails.name}[{failing.id}] failed in "
        wait_until(lambda: failed in shown.output, what="the failure in the log")
        assert "ValueError: out of paper" in shown.output
        assert "Traceback (most recent call last):" in shown.output
        assert "unheard" not in shown.output
        assert "succeeded" not in shown.output
