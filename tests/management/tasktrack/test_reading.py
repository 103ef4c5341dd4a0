"""Verbs that look: ls, show, tail, stats, doctor, inspect, workers, ping."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_tasktrack import outcomes, purge
from django_tasktrack.changes import ProgressWrite
from django_tasktrack.ids import new_id
from django_tasktrack.management.tasktrack import console as consoles
from django_tasktrack.management.tasktrack import documents, stats, tail
from django_tasktrack.models import TrackedTask, Worker
from django_tasktrack.rest_framework import serializers
from django_tasktrack.states import Stage, State
from tests.factories import NAME, make_goal, make_task, make_worker
from tests.inline import begin, claimed, enqueue, finish, the_vendor

from .run import Ran, tasktrack

pytestmark = pytest.mark.django_db


def ids(ran: Ran) -> list[str]:
    return [task["id"] for task in ran.document]


def fill(worker: Worker) -> dict[State, TrackedTask]:
    return {state: make_task(state, worker=worker) for state in State}


# ls


def test_ls_lists_the_newest_first() -> None:
    made = fill(make_worker())
    ran = tasktrack("ls", "--json")
    assert (ran.code, ids(ran)) == (0, [str(task.pk) for task in reversed(made.values())])
    assert ids(tasktrack("ls", "--json", "--limit", "2")) == ids(ran)[:2]
    text = tasktrack("ls", "--limit", "2")
    assert len(text.lines) == 4
    assert text.lines[-1] == "There are more: --limit 20"


@pytest.mark.parametrize("state", State)
def test_ls_by_state(state: State) -> None:
    made = fill(make_worker())
    assert ids(tasktrack("ls", "--json", "--state", state.lower())) == [str(made[state].pk)]


def test_ls_by_several_states_merges_them_by_age() -> None:
    worker = make_worker()
    made = [make_task(state, worker=worker) for state in ("FAILURE", "PENDING", "STARTED") * 2]
    make_task("SUCCESS", worker=worker)
    held = enqueue(name="nobody.knows")
    TrackedTask.objects.filter(pk=held.task_id).update(stage=Stage.HELD)
    later = enqueue(delay=60.0)
    asked = [part for state in ("FAILURE", "PENDING", "STARTED") for part in ("--state", state)]
    found = ids(tasktrack("ls", "--json", *asked))
    assert found == [
        str(later.task_id),
        str(held.task_id),
        *(str(task.pk) for task in reversed(made)),
    ]
    assert ids(tasktrack("ls", "--json", *asked, "--limit", "3")) == found[:3]


def test_ls_by_what_tasks_have_in_common() -> None:
    worker, other = make_worker(name="a@host", known_tasks=[NAME]), make_worker(name="b@host")
    mine = make_task("SUCCESS", worker=worker, queue="mail", owner="7")
    others = make_task("SUCCESS", worker=other, queue="web", owner="8", name="shop.tasks.other")
    old = make_task("SUCCESS", worker=other)
    TrackedTask.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(hours=2))
    for args in (
        ["--queue", "mail"], ["--owner", "7"], ["--worker", "a@host"], ["--worker", worker.pk],
        ["--name", NAME, "--since", "1h"], ["--name", "work", "--since", "1h"],
    ):  # fmt: skip
        assert ids(tasktrack("ls", "--json", *args)) == [str(mine.pk)], args
    since = timezone.now() - timedelta(minutes=5)
    assert ids(tasktrack("ls", "--json", "--since", since.isoformat())) == [
        str(others.pk),
        str(mine.pk),
    ]


def test_ls_that_finds_nothing_says_no() -> None:
    ran = tasktrack("ls", "--json", "--queue", "nowhere")
    assert (ran.code, ran.document) == (1, [])
    assert "No task fits." in ran.err
    make_worker(known_tasks=[NAME])
    ran = tasktrack("ls", "--name", "tests.app.tasks.wrok")
    assert ran.code == 1
    assert "Did you mean 'tests.app.tasks.work'?" in ran.err


def test_name_that_may_be_two_is_refused() -> None:
    make_worker(known_tasks=["a.tasks.send", "b.tasks.send"])
    ran = tasktrack("ls", "--name", "send")
    assert ran.code == 2
    assert "a.tasks.send or b.tasks.send" in ran.err


def test_worker_that_never_was_is_a_no() -> None:
    make_worker(name="mail@host")
    ran = tasktrack("ls", "--worker", "mial@host")
    assert ran.code == 1
    assert "Did you mean 'mail@host'?" in ran.err


@pytest.mark.parametrize("given", ["yesterday", "-1h", "2026-13-01", ""])
def test_since_that_is_no_time_is_refused(given: str) -> None:
    ran = tasktrack("ls", f"--since={given}")
    assert ran.code == 2
    assert "neither a duration" in ran.err


def test_ls_reads_no_big_columns() -> None:
    make_task("SUCCESS", worker=make_worker())
    with CaptureQueriesContext(connection) as asked:
        tasktrack("ls")
    told = [query["sql"] for query in asked if "tasktrack_trackedtask" in query["sql"]]
    assert len(told) == 1
    assert '"traceback"' not in told[0]
    assert "known_tasks" not in told[0]


def test_documents_speak_the_words_of_the_api() -> None:
    task = make_task("SUCCESS", worker=make_worker(), progress=(1, 2, "half"), goal=make_goal())
    task = TrackedTask.objects.select_related("worker", "progress").get(pk=task.pk)
    shown = serializers.StaffTaskRowSerializer(task).data
    assert documents.task_row(task).keys() == shown.keys()
    whole = serializers.PayloadTaskSerializer(task).data
    assert documents.whole_task(task).keys() - {"unique_key", "concurrency"} == whole.keys()
    progress = documents.progress(task.shown_progress) or {}
    assert progress.keys() == shown["progress"].keys()
    change = serializers.PayloadChangeSerializer(task.history.first()).data
    assert documents.change(task.history.get(seq=1)).keys() == change.keys()


# show


def test_show_tells_all_of_a_task() -> None:
    worker = make_worker(name="w7@host")
    task = make_task(
        "FAILURE", worker=worker, args=["a.csv"], kwargs={"n": 2}, error=OSError("full")
    )
    ran = tasktrack("show", task.pk)
    assert ran.code == 0
    for told in ('["a.csv"]', '{"n": 2}', "w7@host", "OSError: full", "History", "Traceback"):
        assert told in ran.out
    document = tasktrack("show", task.pk, "--json").document
    assert (document["state"], document["args"]) == ("FAILURE", ["a.csv"])
    assert [change["state"] for change in document["history"]] == ["PENDING", "STARTED", "FAILURE"]
    assert "full" in document["history"][-1]["traceback"]


def test_show_says_that_a_value_has_expired() -> None:
    task = make_task("SUCCESS", result=[1, 2])
    assert "[1, 2]" in tasktrack("show", task.pk).out
    at = the_vendor().now()
    TrackedTask.objects.filter(pk=task.pk).update(result=None, result_expired_at=at)
    assert "expired; it was kept until" in tasktrack("show", task.pk).out
    assert tasktrack("show", task.pk, "--json").document["result_expired_at"]


def test_show_explains_what_has_not_ended() -> None:
    assert "No worker lives." in tasktrack("show", make_task().pk).out


def test_beginning_of_an_id_will_do() -> None:
    task = make_task()
    assert tasktrack("show", str(task.pk)[:20], "--json").document["id"] == str(task.pk)
    with_others = make_task()
    common = f"{task.pk}"[:8]
    ran = tasktrack("show", common)
    assert ran.code == 2
    assert str(task.pk) in ran.err
    assert str(with_others.pk) in ran.err


@pytest.mark.parametrize("verb", ["show", "tail", "doctor"])
def test_absent_task_is_a_no(verb: str) -> None:
    ran = tasktrack(verb, new_id(), "--json")
    assert (ran.code, ran.document["state"]) == (1, "UNKNOWN")
    assert "UNKNOWN: no task has this id." in tasktrack(verb, new_id()).out
    assert tasktrack(verb, "00000000").code == 1, "the beginning of none"
    assert tasktrack(verb, "nonsense").code == 2


def test_purged_task_is_expired() -> None:
    task = make_task("SUCCESS", worker=make_worker())
    purge.purge(older_than=0)
    ran = tasktrack("show", task.pk, "--json")
    assert (ran.code, ran.document["state"]) == (1, "EXPIRED")


# tail


@pytest.mark.parametrize(("state", "code"), [("SUCCESS", 0), ("FAILURE", 1), ("REVOKED", 1)])
def test_tail_ends_as_the_task_did(state: str, code: int) -> None:
    task = make_task(state, worker=make_worker())
    assert tasktrack("tail", task.pk).code == code
    assert tasktrack("tail", task.pk, "--json").document["state"] == state


def test_tail_shows_each_change_and_each_progress_once(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = make_worker(name="w7@host", known_tasks=[NAME])
    claim = claimed(worker.pk)

    def progress(current: float) -> None:
        write = ProgressWrite(claim.task_id, claim.lease, current, 10, f"step {current:g}", None)
        the_vendor().write_progress([write])

    steps: list[Callable[[], object]] = [
        lambda: begin(claim, ago=0.0),
        lambda: progress(3),
        lambda: None,
        lambda: progress(7),
        lambda: finish(claim, outcomes.succeeded('{"rows": 7}')),
    ]
    monkeypatch.setattr(consoles.Console, "sleep", lambda *_: steps.pop(0)())
    ran = tasktrack("tail", claim.task_id)
    assert ran.code == 0
    told = [line.split(" ", 2)[2] if line[:2] == "20" else line for line in ran.lines]
    assert told[:2] == ["PENDING", "STARTED w7@host"]
    assert told[2].startswith("30% 3 of 10 step 3")
    assert told[3].startswith("70% 7 of 10 step 7")
    assert told[4] == "SUCCESS w7@host"
    assert told[-1] == '{"rows": 7}'
    assert len(told) == 7


def test_tail_of_a_task_that_is_purged_between_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    claim = claimed(make_worker(known_tasks=[NAME]).pk)
    begin(claim)

    def end_and_purge(*_: object) -> None:
        finish(claim, outcomes.succeeded("null"))
        purge.purge(older_than=0)

    monkeypatch.setattr(consoles.Console, "sleep", end_and_purge)
    ran = tasktrack("tail", claim.task_id, "--json")
    assert (ran.code, ran.document["state"]) == (1, "EXPIRED")


def test_tail_explains_a_task_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "_EXPLAIN_AFTER", 0.0)
    ran = tasktrack("tail", make_task().pk, "--timeout", "0.15s")
    assert ran.code == 1
    assert "No worker lives." in ran.out
    assert "the task goes on" in ran.err


def test_tail_on_a_terminal_draws_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    task = make_task("STARTED", worker=make_worker(), progress=(420, 1000, "invoice 420"))
    out = tasktrack("tail", task.pk, "--timeout", "0s", terminal=True).out
    assert "━━━" in out
    assert "42%" in out
    assert "420 of 1,000 invoice 420" in out


# stats


def test_stats_of_queues_workers_and_ends() -> None:
    worker = make_worker(name="w7@host", queues=["mail"])
    fill(worker)
    enqueue(queue="mail")
    told = tasktrack("stats", "--json").document
    assert [queue["queue"] for queue in told["queues"]] == ["default", "mail"]
    assert told["queues"][0] | {"oldest_due": None} == {
        "queue": "default", "due": 1, "claimed": 1, "scheduled": 1, "gated": 0, "held": 0,
        "oldest_due": None, "at_least": [], "paused_at": None, "paused_by": None,
    }  # fmt: skip
    assert told["workers"][0]["name"] == "w7@host"
    assert told["ended"]["counts"] == {"FAILURE": 1, "REVOKED": 1, "SUCCESS": 1}
    assert told["ended"]["failed_share"] == 0.5
    text = tasktrack("stats", "--last", "15m").out
    for said in ("mail", "w7@host", "Ended in the last 15 min", "1 SUCCESS 1 FAILURE 1 REVOKED"):
        assert said in text


def test_stats_of_nothing() -> None:
    ran = tasktrack("stats")
    assert ran.code == 0
    assert "Nothing waits and nothing runs." in ran.out
    assert "No worker lives." in ran.out


def test_stats_ask_few_questions() -> None:
    worker = make_worker()
    fill(worker)
    with CaptureQueriesContext(connection) as asked:
        stats.take(the_vendor(), timedelta(hours=1))
    assert len([query for query in asked if "tasktrack_" in query["sql"]]) <= 12


@pytest.mark.parametrize("terminal", [False, True])
def test_watching_shows_it_again_and_again(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []

    def sleep(_: object, seconds: float) -> None:
        looks.append(seconds)
        enqueue(queue=f"queue-{len(looks)}")
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(consoles.Console, "sleep", sleep)
    ran = tasktrack("stats", "--watch", "5s", terminal=terminal)
    assert (ran.code, looks) == (0, [5.0] * 3)
    assert "queue-1" in ran.out
    assert "queue-2" in ran.out


def test_watching_is_for_people() -> None:
    assert tasktrack("stats", "--watch", "--json").code == 2


# doctor


def test_doctor_says_no_where_there_is_a_problem() -> None:
    task = make_task()
    ran = tasktrack("doctor", task.pk, "--json")
    assert (ran.code, ran.document["level"]) == (1, "problem")
    assert ran.document["findings"][0]["code"] == "no_worker"
    make_worker(known_tasks=[NAME])
    ran = tasktrack("doctor", task.pk)
    assert ran.code == 0
    assert "it is the next one of queue 'default'" in ran.out


def test_doctor_of_the_whole() -> None:
    ran = tasktrack("doctor")
    assert ran.code == 0, "a warning is no problem"
    assert ran.lines[-1] == "1 warning"
    enqueue()
    assert tasktrack("doctor", "--json").code == 1
    make_worker(known_tasks=[NAME])
    assert tasktrack("doctor").lines[-1] == "All is well."


# inspect


@pytest.mark.parametrize(
    ("what", "shown"),
    [("active", "STARTED"), ("scheduled", "RETRY"), ("revoked", "REVOKED")],
)
def test_inspect_lists(what: str, shown: str) -> None:
    made = fill(make_worker())
    assert ids(tasktrack("inspect", what, "--json")) == [str(made[State(shown)].pk)]


def test_inspect_reserved_is_claimed_and_not_begun() -> None:
    worker = make_worker()
    make_task("STARTED", worker=worker)
    claim = claimed(worker.pk)
    ran = tasktrack("inspect", "reserved", "--json")
    assert ids(ran) == [str(claim.task_id)]
    begin(claim)
    assert tasktrack("inspect", "reserved").code == 1


def test_inspect_registered_tells_what_living_workers_know() -> None:
    make_worker(name="a@host", known_tasks=["x.one", "x.two"])
    make_worker(name="b@host", known_tasks=["x.old"], stopped_at=timezone.now())
    ran = tasktrack("inspect", "registered", "--json")
    assert [(w["worker"], w["tasks"]) for w in ran.document] == [("a@host", ["x.one", "x.two"])]
    Worker.objects.update(stopped_at=timezone.now())
    assert tasktrack("inspect", "registered").code == 1


# workers


def test_workers_that_live_and_all_of_them() -> None:
    make_worker(name="a@host")
    make_worker(name="b@host", stopped_at=timezone.now())

    def names(*args: str) -> list[tuple[Any, Any]]:
        return [(w["name"], w["condition"]) for w in tasktrack(*args, "--json").document]

    assert names("workers") == [("a@host", "alive")]
    assert names("workers", "--all") == [("a@host", "alive"), ("b@host", "stopped")]


def test_ping_says_whether_anybody_lives() -> None:
    ran = tasktrack("ping")
    assert (ran.code, ran.out) == (1, "")
    assert "No worker lives." in ran.err
    make_worker(heartbeat_at=timezone.now() - timedelta(minutes=1), name="dead@host")
    assert tasktrack("ping").code == 1
    make_worker(name="a@host")
    ran = tasktrack("ping")
    assert ran.code == 0
    assert ran.lines[0].startswith("pong a@host")
    assert ran.lines[1].startswith("silent dead@host")
    assert [w["name"] for w in tasktrack("ping", "--json").document] == ["a@host"]
