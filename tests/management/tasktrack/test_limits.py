"""``rate-limit``, ``time-limit``, ``pause`` and ``resume``."""

from __future__ import annotations

import pytest

from django_tasktrack import limits
from django_tasktrack.models import Queue, TaskLimits
from tests.factories import make_task
from tests.inline import the_vendor

from .run import tasktrack

pytestmark = pytest.mark.django_db

ADD = "tests.app.tasks.add"


def test_rate_limit_is_set_and_taken_back() -> None:
    ran = tasktrack("rate-limit", ADD, "10/m", "--json")
    assert (ran.code, ran.document["task"], ran.document["rate_limit"]) == (0, ADD, "10/m")
    assert ran.document["set_by"].startswith("cli")
    assert limits.read(the_vendor()).rates == {ADD: pytest.approx(1 / 6)}
    assert "no limit" in tasktrack("rate-limit", ADD, "0").out
    assert limits.read(the_vendor()).rates == {}
    TaskLimits.objects.update(declared="5/m")
    assert "5/m, as declared" in tasktrack("rate-limit", ADD, "--declared").out
    assert limits.read(the_vendor()).rates == {ADD: pytest.approx(1 / 12)}


@pytest.mark.parametrize(
    "args",
    [
        ["rate-limit", ADD],
        ["rate-limit", ADD, "fast"],
        ["rate-limit", ADD, "1/m", "--declared"],
        ["time-limit", ADD],
        ["time-limit", ADD, "1", "2", "3"],
        ["time-limit", ADD, "9", "8"],
        ["time-limit", ADD, "long"],
        ["time-limit", ADD, "9", "--declared"],
        ["pause"],
        ["pause", "a,b"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_ends_with_2_and_changes_nothing(args: list[str]) -> None:
    ran = tasktrack(*args)
    assert (ran.code, ran.out) == (2, "")
    assert not TaskLimits.objects.exists()
    assert not Queue.objects.exists()


def test_time_limits() -> None:
    assert tasktrack("time-limit", ADD, "1m").code == 0
    assert limits.read(the_vendor()).times == {ADD: (None, 60.0)}
    ran = tasktrack("time-limit", ADD, "60", "90s", "--json")
    assert (ran.document["soft_time_limit"], ran.document["time_limit"]) == (60.0, 90.0)
    assert "soft 1 min, hard none" in tasktrack("time-limit", ADD, "60", "0").out
    assert "as tasks were enqueued" in tasktrack("time-limit", ADD, "--declared").out
    assert limits.read(the_vendor()).times == {}


def test_name_that_nobody_knows_is_limited_and_said() -> None:
    ran = tasktrack("rate-limit", "nobody.knows", "1/s")
    assert ran.code == 0
    assert "No task is known as 'nobody.knows'" in ran.err


def test_pause_and_resume() -> None:
    make_task(queue="mail")
    assert tasktrack("pause", "mail", "--json").document == [{"queue": "mail", "answer": "paused"}]
    assert "was paused" in tasktrack("pause", "mail").out
    (told,) = tasktrack("stats", "--json").document["queues"]
    assert (told["queue"], told["due"], told["paused_by"]) == (
        "mail",
        1,
        Queue.objects.get().paused_by,
    )
    assert "paused" in tasktrack("stats").out
    assert tasktrack("resume", "mail").out.split() == ["mail", "resumed"]
    ran = tasktrack("resume", "mail", "--json")
    assert (ran.code, ran.document) == (0, [{"queue": "mail", "answer": "was not paused"}])
    assert "paused" not in tasktrack("stats").out


def test_queue_that_nobody_knows_is_paused_and_said() -> None:
    ran = tasktrack("pause", "mial")
    assert ran.code == 0
    assert "'mial'" in ran.err
    assert Queue.objects.get().paused_at
    assert tasktrack("pause", "default").err == ""
