"""Verbs that change something: enqueue, revoke, retry, shutdown, purge. History says who, and why."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from django_tasktrack import AsyncResult
from django_tasktrack.ids import new_id
from django_tasktrack.management.tasktrack import answers
from django_tasktrack.management.tasktrack import console as consoles
from django_tasktrack.models import TrackedTask, Worker
from django_tasktrack.states import Stage, State
from tests.factories import NAME, make_task, make_worker
from tests.inline import enqueue, history, row, the_vendor, work

from .run import Ran, Terminal, tasktrack

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _who(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")


@pytest.fixture
def type_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Somebody sits at the terminal, and types this."""
    return lambda text: monkeypatch.setattr(sys, "stdin", Terminal(text))


def told(ran: Ran) -> dict[str, str]:
    return {entry["id"]: entry["answer"] for entry in ran.document}


def states() -> list[str]:
    return list(TrackedTask.objects.order_by("pk").values_list("state", flat=True))


# enqueue


def test_enqueued_task_has_its_arguments_and_options() -> None:
    ran = tasktrack(
        "enqueue", "tests.app.tasks.add", "[2]", "--kwargs", '{"y": 3}', "--queue", "mail",
        "--priority", "7", "--owner", "42", "--countdown", "90s", "--expires", "2h",
        "--time-limit", "10m", "--soft-time-limit", "9m", "--unique-key", "sum",
    )  # fmt: skip
    assert ran.code == 0
    task = row(ran.out.strip())
    assert (task.args, task.kwargs, task.queue, task.priority) == ([2], {"y": 3}, "mail", 7)
    assert (task.owner, task.unique_key) == ("42", "sum")
    assert (task.time_limit, task.soft_time_limit) == (600, 540)
    assert task.stage == Stage.SCHEDULED
    assert 80 < (task.run_after - task.created_at).total_seconds() <= 90
    assert task.expires_at
    assert [change.actor for change in history(task.pk)] == ["cli:ada"]


def test_last_part_of_a_name_will_do() -> None:
    ran = tasktrack("enqueue", "tasks.add", "[2, 3]", "--json")
    assert ran.document | {"id": ""} == {"id": "", "task": "tests.app.tasks.add", "enqueued": True}
    work()
    assert AsyncResult(ran.document["id"]).result == 5


def test_what_stands_in_its_way_is_said_beside_it() -> None:
    ran = tasktrack("enqueue", "tasks.add", "[2, 3]")
    assert (ran.code, len(ran.lines)) == (0, 1)
    assert "No worker lives." in ran.err
    make_worker(known_tasks=["tests.app.tasks.add"])
    assert tasktrack("enqueue", "tasks.add", "[2, 3]").err == ""


def test_same_unique_key_answers_with_the_task_that_has_it() -> None:
    make_worker(known_tasks=["tests.app.tasks.keyed"])
    first = tasktrack("enqueue", "keyed", "[7]", "--json").document
    second = tasktrack("enqueue", "keyed", "[7]", "--json")
    assert (second.code, second.document["id"], second.document["enqueued"]) == (
        0,
        first["id"],
        False,
    )
    assert "Nothing was enqueued" in second.err


def test_own_id() -> None:
    task_id = new_id()
    assert tasktrack("enqueue", "tasks.add", "[1, 1]", "--id", task_id).out.strip() == str(task_id)
    ran = tasktrack("enqueue", "tasks.add", "[1, 1]", "--id", task_id)
    assert ran.code == 2
    assert "exists" in ran.err


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["nope"], "No task is named 'nope'"),
        (["tasks.add", "[2]"], "missing a required argument: 'y'"),
        (["tasks.add", '{"x": 1}'], "write for example"),
        (["tasks.add", "[2, "], "is not JSON"),
        (["tasks.add", "[2, 3]", "--kwargs", "[]"], "write for example"),
        (["tasks.add", "[2, 3]", "--priority", "1000"], "out of range"),
        (["tasks.add", "[2, 3]", "--queue", "a,b"], "queue"),
        (["tasks.add", "[2, 3]", "--id", "x"], "is not a UUID"),
        (["tasks.add", "[2, 3]", "--countdown", "soon"], "no duration"),
    ],
)
def test_what_cannot_be_enqueued_is_wrong_usage(args: list[str], why: str) -> None:
    ran = tasktrack("enqueue", *args)
    assert (ran.code, ran.out, states()) == (2, "", [])
    assert why in ran.err


def test_following_what_was_enqueued(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consoles.Console, "sleep", lambda *_: work())
    ran = tasktrack("enqueue", "tasks.add", "[2, 3]", "--tail")
    assert ran.code == 0
    assert ran.lines[-1] == "5"


# revoke


def test_revoke_by_id_says_what_it_could_do() -> None:
    waiting, running, ended = make_task(), make_task("STARTED"), make_task("SUCCESS")
    absent = new_id()
    ids = [waiting.pk, running.pk, ended.pk, absent]
    ran = tasktrack("revoke", *ids, "--reason", "wrong file", "--json")
    assert ran.code == 1, "not with all of them"
    assert told(ran) == {
        str(waiting.pk): "revoked",
        str(running.pk): "requested",
        str(ended.pk): "refused",
        str(absent): "unknown",
    }
    last = history(waiting.pk)[-1]
    assert (last.state, last.actor, last.reason) == ("REVOKED", "cli:ada", "wrong file")
    assert tasktrack("revoke", make_task().pk).code == 0


@pytest.mark.parametrize("args", [["--terminate"], ["--signal", "SIGINT"]])
def test_terminating_takes_the_lease_away(args: list[str]) -> None:
    task = make_task("STARTED", worker=make_worker(can_terminate=True))
    ran = tasktrack("revoke", task.pk, *args, "--json")
    assert told(ran) == {str(task.pk): "terminating"}
    wish: dict[str, Any] = row(task.pk).revoke_request or {}
    assert wish["signal"] == ("SIGTERM" if args == ["--terminate"] else "SIGINT")
    assert row(task.pk).lease == task.lease + 1


def test_pool_that_cannot_kill_says_so() -> None:
    task = make_task("STARTED", worker=make_worker(can_terminate=False))
    assert "cannot kill" in tasktrack("revoke", task.pk, "--terminate").out


def test_revoke_by_filter_takes_what_has_not_ended() -> None:
    worker = make_worker()
    for state in State:
        make_task(state, worker=worker, queue="mail")
    later = enqueue(queue="mail", delay=60.0)
    held = enqueue(queue="mail", name="nobody.knows")
    TrackedTask.objects.filter(pk=held.task_id).update(stage=Stage.HELD)
    other = make_task(queue="web")
    ran = tasktrack("revoke", "--queue", "mail", "--yes", "--json")
    assert ran.code == 0
    assert sorted(told(ran).values()) == ["requested"] + ["revoked"] * 4
    assert {str(later.task_id), str(held.task_id)} <= told(ran).keys()
    assert row(other.pk).state == "PENDING"


def test_filter_asks_first(type_in: Callable[[str], None]) -> None:
    for _ in range(2):
        make_task(queue="mail")
    type_in("n\n")
    ran = tasktrack("revoke", "--queue", "mail")
    assert (ran.code, states()) == (1, ["PENDING"] * 2)
    assert f"Revoke 2 tasks (2 PENDING {NAME})?" in ran.err
    type_in("y\n")
    assert tasktrack("revoke", "--queue", "mail").code == 0
    assert states() == ["REVOKED"] * 2


def test_ids_are_not_asked_about_and_nobody_is_not_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consoles.Console, "confirm", lambda *_: pytest.fail("asked"))
    assert tasktrack("revoke", make_task().pk).code == 0


def test_revoke_of_nothing() -> None:
    ran = tasktrack("revoke", "--queue", "nowhere", "--yes", "--json")
    assert (ran.code, ran.document) == (1, [])
    assert "No unfinished task fits." in ran.err


@pytest.mark.parametrize("verb", ["revoke", "retry"])
def test_neither_ids_nor_filter_or_both_is_wrong_usage(verb: str) -> None:
    task = make_task()
    assert tasktrack(verb).code == 2
    assert tasktrack(verb, "--yes").code == 2, "that would be everything"
    assert tasktrack(verb, task.pk, "--queue", "mail").code == 2
    assert states() == ["PENDING"]


def test_many_are_done_in_batches_and_told_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "BATCH", 10)
    for _ in range(25):
        make_task(queue="mail")
    ran = tasktrack("revoke", "--queue", "mail", "--yes")
    assert (ran.code, states()) == (0, ["REVOKED"] * 25)
    assert ran.lines == ["25 revoked it never ran, and never will"]


# retry


def test_retry_by_id() -> None:
    failed, running = make_task("FAILURE"), make_task("STARTED")
    ran = tasktrack("retry", failed.pk, running.pk, "--reason", "smtp is back", "--json")
    assert ran.code == 1
    assert told(ran) == {str(failed.pk): "queued", str(running.pk): "refused"}
    last = history(failed.pk)[-1]
    assert (last.state, last.actor, last.reason) == ("PENDING", "cli:ada", "smtp is back")


def test_retry_by_filter_takes_failures_unless_told_otherwise() -> None:
    worker = make_worker()
    failed, revoked = (make_task(s, worker=worker, queue="mail") for s in ("FAILURE", "REVOKED"))
    make_task("SUCCESS", worker=worker, queue="mail")
    ran = tasktrack("retry", "--queue", "mail", "--yes", "--json")
    assert told(ran) == {str(failed.pk): "queued"}
    ran = tasktrack("retry", "--queue", "mail", "--state", "revoked", "--yes", "--json")
    assert told(ran) == {str(revoked.pk): "queued"}
    assert tasktrack("retry", "--queue", "mail", "--yes").code == 1


def test_retry_of_all_failures_has_to_name_their_state() -> None:
    failed = make_task("FAILURE")
    assert tasktrack("retry", "--yes").code == 2
    ran = tasktrack("retry", "--state", "FAILURE", "--yes", "--json")
    assert told(ran) == {str(failed.pk): "queued"}


# shutdown


def test_shutdown_by_name_or_number_asks_those_alone() -> None:
    first, second, third = (make_worker(name=f"{n}@host") for n in ("a", "b", "c"))
    ran = tasktrack("shutdown", "a@host", second.pk, "--json")
    assert ran.code == 0
    assert [(w["worker"], w["answer"]) for w in ran.document] == [
        ("a@host", "asked"),
        ("b@host", "asked"),
    ]
    asked = Worker.objects.exclude(shutdown_requested_at=None).order_by("pk")
    assert list(asked) == [first, second]
    assert third not in asked


def test_all_workers_are_asked_about_first(type_in: Callable[[str], None]) -> None:
    make_worker(name="a@host")
    type_in("n\n")
    ran = tasktrack("shutdown")
    assert ran.code == 1
    assert "End all 1 workers (a@host)?" in ran.err
    assert not Worker.objects.exclude(shutdown_requested_at=None).exists()
    type_in("y\n")
    assert tasktrack("shutdown").code == 0
    assert Worker.objects.exclude(shutdown_requested_at=None).exists()


def test_nobody_to_shut_down_is_a_no() -> None:
    assert tasktrack("shutdown", "--yes").code == 1
    make_worker(name="a@host", stopped_at=timezone.now())
    ran = tasktrack("shutdown", "a@host")
    assert ran.code == 1
    assert "does not live any more" in ran.err


def test_waiting_until_they_have_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = make_worker(name="a@host")

    def stop(*_: object) -> None:
        Worker.objects.filter(pk=worker.pk).update(stopped_at=the_vendor().now())

    monkeypatch.setattr(consoles.Console, "sleep", stop)
    ran = tasktrack("shutdown", "a@host", "--wait", "--json")
    assert (ran.code, ran.document[0]["answer"]) == (0, "stopped")


def test_worker_that_does_not_stop_in_time_is_a_no() -> None:
    make_worker(name="a@host")
    ran = tasktrack("shutdown", "a@host", "--wait", "0.3s", "--json")
    assert (ran.code, ran.document[0]["answer"]) == (1, "asked")
    assert "Not all have stopped" in ran.err


def test_worker_that_ends_at_the_same_moment_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    from django_tasktrack.management.tasktrack import shutdown

    worker, meant = make_worker(name="a@host"), shutdown._meant

    def meanwhile(*args: Any) -> Any:
        found = meant(*args)
        Worker.objects.filter(pk=worker.pk).update(stopped_at=timezone.now())
        return found

    monkeypatch.setattr(shutdown, "_meant", meanwhile)
    ran = tasktrack("shutdown", "a@host", "--json")
    assert (ran.code, ran.document[0]["answer"]) == (1, "gone")


def test_actor_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from django_tasktrack.management.tasktrack import arguments

    def nobody() -> str:
        raise OSError("No username set in the environment")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert arguments.actor() == "cli"
