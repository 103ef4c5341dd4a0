"""Rows B: First Steps with Celery, as a user types them. Each test is named by its row."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.checks import run_checks
from django.db import transaction

from django_tasktrack import chain, chord, group, schedules, signature
from django_tasktrack.exceptions import InvalidTask, TimeLimitExceeded
from django_tasktrack.models import Schedule, TrackedTask
from django_tasktrack.registry import names
from tests import databases, ledger
from tests.app import tasks
from tests.app.snippets import (
    cleans_up,
    hangs,
    hooked,
    ignores,
    mul,
    named,
    rejects,
    send,
    send_twitter_status,
    tomorrow,
    xsum,
)
from tests.app.tasks import add
from tests.workers import ROOT, WorkerProcess, wait_until, worker

fast = pytest.mark.usefixtures("running")


@fast
def test_b1_names() -> None:
    assert named.name == "proj.tasks.old_name"
    assert add.name in names()
    assert add(4, 4) == 8, "calling it runs it here"
    assert add.delay(4, 4).get(timeout=10) == 8


def test_b2_the_worker(tmp_path: Path, book: Path) -> None:
    pidfile = tmp_path / "w.pid"
    options = (
        "-l", "INFO", "-c", "2", "-n", "w1@%h", "-P", "prefork", "-Q", "default,mail", "--burst",
        "--pidfile", str(pidfile), "--time-limit", "60", "--soft-time-limit", "50",
        "--max-tasks-per-child", "100", "--max-memory-per-child", "500000", "-B",
    )  # fmt: skip
    result = add.apply_async((1, 2), queue="mail")
    with worker(*options) as one:
        assert one.wait(20) == 0, "a burst ends when nothing is due"
        assert "w1@" in one.output
    assert result.get(timeout=1) == 3
    assert not pidfile.exists()


@fast
def test_b3_calling() -> None:
    result = add.apply_async(
        (2, 2),
        countdown=0.1,
        expires=60,
        queue="mail",
        priority=3,
        headers={"trace": 1},
        link=mul.s(4),
    )
    assert result.get(timeout=10) == 4
    wait_until(lambda: [child.state for child in result.children] == ["SUCCESS"])
    assert result.children[0].get() == 16
    assert add.apply((4, 4)).get() == 8
    with transaction.atomic():
        inside = add.delay(1, 1)
        assert inside.state == "PENDING"
    assert inside.get(timeout=10) == 2


@fast
def test_b4_retries() -> None:
    automatic, asked = send.delay(2), send_twitter_status.delay(1)
    assert (automatic.get(timeout=20), asked.get(timeout=20)) == (2, 1)
    assert [row.state for row in asked.history()].count("RETRY") == 1
    lost = send_twitter_status.delay(9)
    with pytest.raises(OSError, match="over capacity"):
        lost.get(timeout=20)
    assert lost.retries == 2
    assert ignores.delay().get(timeout=10) is None
    with pytest.raises(Exception, match="no reason"):
        rejects.delay().get(timeout=10)


def test_b5_limits(book: Path) -> None:
    with worker("-c", "2"):
        soft, hard = cleans_up.delay(), hangs.delay()
        assert soft.get(timeout=20) == "cleaned up"
        with pytest.raises(TimeLimitExceeded):
            hard.get(timeout=20)


@fast
def test_b6_hooks(book: Path) -> None:
    hooked.delay()
    hooked.delay(fails=True)
    wait_until(lambda: sorted(entry.note for entry in ledger.read(book)) == [1, 2])


def test_b7_settings() -> None:
    code = "import django; django.setup(); from django.core.management import call_command; call_command('check')"
    environment = {
        "DJANGO_SETTINGS_MODULE": "tests.settings", databases.CHOICE: "sqlite", "PATH": "",
        "TASKTRACK_TEST_SETTINGS": '{"task_default_queu": "mail"}',
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Did you mean 'task_default_queue'?" in done.stderr
    assert done.returncode != 0


@fast
def test_b8_more_than_json() -> None:
    result = tomorrow.delay(date(2026, 5, 1), Decimal("1.50"))
    assert result.get(timeout=10) == {"day": date(2026, 5, 1), "price": Decimal("3.00")}


@fast
def test_b9_routes(settings: LazySettings) -> None:
    settings.TASKTRACK = {
        **settings.TASKTRACK,
        "task_routes": {"tests.app.tasks.a*": {"queue": "low-priority"}},
    }
    result = add.delay(1, 1)
    assert result.get(timeout=10) == 2
    assert result.queue == "low-priority"


@fast
def test_b14_a_second_worker_with_the_same_pidfile(tmp_path: Path, running: WorkerProcess) -> None:
    command = [sys.executable, "manage.py", "worker", "--pidfile"]
    for path in (tmp_path / "no" / "such" / "folder", tmp_path):
        done = subprocess.run(
            [*command, str(path)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert str(path) in done.stderr


@fast
def test_b15_canvas() -> None:
    assert (add.s(2, 2) | mul.s(4)).delay().get(timeout=20) == 16
    assert chain(add.s(4), mul.s(8))(4).get(timeout=20) == 64
    assert group(add.s(i, i) for i in range(5))().get(timeout=20) == [0, 2, 4, 6, 8]
    assert chord([add.s(i, i) for i in range(10)])(xsum.s()).get(timeout=20) == 90
    assert (group(add.s(i, i) for i in range(3)) | xsum.s()).delay().get(timeout=20) == 6
    assert ~xsum.map([[1, 2], [3, 4]]) == [3, 7]
    assert add.starmap([(1, 1), (2, 2)]).delay().get(timeout=20) == [2, 4]
    assert add.chunks(zip(range(4), range(4), strict=True), 2)().get(timeout=20) == [[0, 2], [4, 6]]
    assert signature(add.name, args=(2, 2), countdown=0.1).delay().get(timeout=20) == 4
    failed = chain(add.si(1, 1), tasks.fails.si("broken"), add.si(1, 1)).delay()
    with pytest.raises(ValueError, match="broken"):
        failed.get(timeout=20)
    assert failed.state == "REVOKED"


def test_b16_periodic_tasks(book: Path) -> None:
    declared = {"every second": {"task": add.name, "schedule": 1.0, "args": (16, 16)}}
    with worker("-P", "threads", tasktrack={"beat_schedule": declared}):
        wait_until(lambda: TrackedTask.objects.filter(name=add.name, state="SUCCESS").count() >= 2)
    assert Schedule.objects.get(name="every second").task == add.name
    schedules.crontab(minute=0, hour=0)


@fast
def test_b17_brokers(settings: LazySettings) -> None:
    settings.TASKTRACK = {
        **settings.TASKTRACK,
        "broker_url": "amqp://guest@localhost//",
        "result_backend": "redis://",
    }
    said = " ".join(found.msg for found in run_checks() if found.id == "tasktrack.W005")
    assert "broker_url" in said
    assert "result_backend" in said
    assert add.delay(1, 1).get(timeout=10) == 2


@fast
def test_b18_unique_tasks() -> None:
    first = tasks.keyed.apply_async((5,), countdown=60)
    assert tasks.keyed.delay(5) == first
    with pytest.raises(InvalidTask, match="has the unique key"):
        (tasks.keyed.s(5) | add.si(1, 1)).delay()
