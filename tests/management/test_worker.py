"""Options of ``manage.py worker`` as a person gets them wrong."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from django_tasktrack.management.commands import worker
from django_tasktrack.served import Served
from django_tasktrack.worker import WorkerOptions


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[WorkerOptions]]:
    """What workers were started with; none runs."""
    found: list[WorkerOptions] = []

    class Fake:
        def __init__(self, options: WorkerOptions) -> None:
            found.append(options)

        def run(self) -> int:
            return 0

    monkeypatch.setattr(worker, "Worker", Fake)
    level = logging.getLogger("django_tasktrack").level
    yield found
    logging.getLogger("django_tasktrack").setLevel(level)


def refusal(*args: str) -> str:
    with pytest.raises(CommandError) as caught:
        call_command("worker", *args)
    assert caught.value.returncode == 2
    return str(caught.value)


@pytest.mark.parametrize(
    ("args", "queues"),
    [
        ([], []),
        (["-Q", "mail"], ["mail"]),
        (["-Q", "mail, web"], ["mail", "web"]),
        (["-Q", "a,b", "-Q", "c", "--queues=b"], ["a", "b", "c"]),
    ],
)
def test_queues_accumulate(
    args: list[str], queues: list[str], started: list[WorkerOptions]
) -> None:
    call_command("worker", *args)
    assert started[0].queues == queues


@pytest.mark.parametrize(
    ("args", "served"),
    [
        (["-X", "slow, big", "--exclude-queues=slow"], "all but slow, big"),
        (["-Q", "a,b,c", "-X", "b,other"], "a, c"),
    ],
)
def test_queues_that_are_left_out(
    args: list[str], served: str, started: list[WorkerOptions]
) -> None:
    call_command("worker", *args)
    assert str(Served.of(started[0].queues, started[0].exclude_queues)) == served


def test_one_queue_has_to_be_left(started: list[WorkerOptions]) -> None:
    assert "Of a, b without b, a no queue is left." in refusal("-Q", "a,b", "-X", "b,a")
    assert "-X ',' leaves a queue without its name." in refusal("-X", ",")
    assert started == []


def test_words_of_celery_s_are_accepted(started: list[WorkerOptions]) -> None:
    call_command("worker", "-A", "proj", "-E", "-B")
    assert started == [WorkerOptions(queues=[])]


def test_pidfile_may_name_the_worker(tmp_path: Path, started: list[WorkerOptions]) -> None:
    (tmp_path / "mail.pid").write_text("a word\n")
    told = refusal("-n", "mail@%h", "--pidfile", f"{tmp_path}/%n.pid")
    assert f"{tmp_path}/mail.pid exists and holds no process id" in told


SETTINGS = {
    "worker_pool": "threads",
    "CONCURRENCY": 3,
    "task_time_limit": 60,
    "SOFT_TIME_LIMIT": 50,
    "MAX_TASKS_PER_CHILD": 100,
    "CELERY_WORKER_MAX_MEMORY_PER_CHILD": 200_000,
}


@override_settings(TASKTRACK=SETTINGS)
def test_settings_are_for_options_that_are_not_given(started: list[WorkerOptions]) -> None:
    call_command("worker")
    assert started == [
        WorkerOptions(
            queues=[], pool="threads", concurrency=3, time_limit=60, soft_time_limit=50,
            max_tasks_per_child=100, max_memory_per_child=200_000 * 1024,
        )
    ]  # fmt: skip


@override_settings(TASKTRACK=SETTINGS)
def test_options_go_before_the_settings(started: list[WorkerOptions]) -> None:
    call_command("worker", "-P", "prefork", "-c", "5", "--time-limit", "7")
    call_command("worker", "--autoscale", "8,2")
    first, second = started
    assert (first.pool, first.concurrency, first.time_limit) == ("prefork", 5, 7)
    assert (second.concurrency, second.least) == (8, 2)


def test_without_either_it_is_prefork_with_no_limits(started: list[WorkerOptions]) -> None:
    call_command("worker")
    assert started == [WorkerOptions(queues=[])]


@pytest.mark.parametrize("given", [{"queues": "a,b"}, {"queues": ["a", "b"]}])
def test_queues_from_code(given: dict[str, Any], started: list[WorkerOptions]) -> None:
    call_command("worker", **given)
    assert started[0].queues == ["a", "b"]


@pytest.mark.parametrize("given", ["", ",", ",,", " ", "a,,b", "a,"])
def test_queue_without_a_name_is_not_all_queues(given: str, started: list[WorkerOptions]) -> None:
    told = refusal(f"--queues={given}")
    assert f"-Q {given!r} leaves a queue without its name." in told
    assert "Leave -Q out for all queues." in told
    assert started == []


@pytest.mark.parametrize(
    ("name", "what"), [("w%n", "'%n'"), ("50%", "'%'"), ("%%h", "'%%'"), ("%h%d", "'%d'")]
)
def test_unknown_percent_in_a_name_is_refused(
    name: str, what: str, started: list[WorkerOptions]
) -> None:
    assert f"{what} means nothing. Hint: Only %h is replaced" in refusal("-n", name)


def test_name_may_hold_the_host(started: list[WorkerOptions]) -> None:
    call_command("worker", "-n", "mail@%h")
    assert started[0].name == "mail@%h"


def test_handlers_of_signals_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    class Signalled:
        def __init__(self, options: WorkerOptions) -> None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

        def run(self) -> int:
            return 0

    monkeypatch.setattr(worker, "Worker", Signalled)
    before = signal.getsignal(signal.SIGINT)
    call_command("worker")
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("option", ["-c", "--time-limit", "--max-tasks-per-child"])
def test_numbers_are_positive(option: str, started: list[WorkerOptions]) -> None:
    assert "must be more than 0" in refusal(option, "0")


def test_solo_says_that_it_runs_one_at_a_time(
    started: list[WorkerOptions], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="django_tasktrack"):
        call_command("worker", "-P", "solo", "-c", "4")
        call_command("worker", "-P", "solo", "-c", "1")
    assert caplog.messages == ["The solo pool runs one task at a time, not 4."]
