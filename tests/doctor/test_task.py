"""The doctor says why a task is where it is, the decisive thing first."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_tasktrack import chord, doctor, limits, transitions
from django_tasktrack.doctor import Finding, Level
from django_tasktrack.models import Link, TaskLimits, TrackedTask, Worker
from django_tasktrack.states import Stage, State
from tests.app import tasks
from tests.factories import NAME, make_goal, make_task, make_worker
from tests.inline import claimed, enqueue, the_vendor

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


def able(**values: Any) -> Worker:
    return make_worker(**{"known_tasks": [NAME], "queues": [], **values})


def explain(task: Any) -> list[Finding]:
    task_id = getattr(task, "task_id", None) or task.pk
    row = TrackedTask.objects.select_related("worker", "progress", "goal").get(pk=task_id)
    return doctor.explain(the_vendor(), row, the_vendor().now())


def codes(task: Any) -> list[str]:
    return [finding.code for finding in explain(task)]


def change(task: Any, **values: Any) -> Any:
    task_id = getattr(task, "task_id", None) or task.pk
    TrackedTask.objects.filter(pk=task_id).update(**values)
    return task


def ago(length: timedelta) -> Any:
    return timezone.now() - length


# Nobody could run it


def test_without_a_worker_nothing_runs() -> None:
    first, *_ = explain(enqueue())
    assert (first.code, first.level) == ("no_worker", Level.PROBLEM)
    assert "manage.py worker" in first.hint


def test_worker_that_is_silent_for_a_lease_is_none() -> None:
    able(heartbeat_at=ago(MINUTE))
    assert codes(enqueue())[0] == "no_worker"


def test_queue_that_nobody_serves() -> None:
    able(queues=["mail", "web"])
    first, *_ = explain(enqueue(queue="reports"))
    assert (first.code, first.level) == ("queue_unserved", Level.PROBLEM)
    assert "Served: mail, web." in first.text
    assert "-Q reports" in first.hint


def test_name_that_nobody_in_its_queue_knows() -> None:
    able(queues=["mail"], known_tasks=["shop.tasks.deliver"], version="1.2")
    able(queues=["other"], known_tasks=["shop.tasks.delivr"], version="1.3")
    first, *_ = explain(enqueue(queue="mail", name="shop.tasks.delivr"))
    assert (first.code, first.level) == ("name_unknown", Level.PROBLEM)
    assert "version 1.2 of" in first.text
    assert "Did you mean 'shop.tasks.deliver'?" in first.hint


def test_held_task_names_the_nearest_known_name() -> None:
    able(known_tasks=["shop.tasks.deliver"])
    held = change(enqueue(name="shop.tasks.delivr"), stage=Stage.HELD)
    first, *_ = explain(held)
    assert (first.code, first.level) == ("name_unknown", Level.PROBLEM)
    assert "Did you mean 'shop.tasks.deliver'?" in first.hint


def test_held_task_is_released_once_somebody_knows_it() -> None:
    held = change(enqueue(), stage=Stage.HELD)
    assert codes(held) == ["no_worker"]
    able()
    assert codes(held) == ["released_soon"]


def test_workers_that_were_asked_to_end_take_nothing_more() -> None:
    able(shutdown_requested_at=timezone.now())
    assert codes(enqueue())[0] == "workers_ending"
    able()
    assert codes(enqueue(priority=9)) == ["next", "workers_free"]


# It is a step of a canvas


def test_a_step_names_what_it_waits_for() -> None:
    able()
    result = chord([tasks.echo.s(number) for number in range(5)], tasks.echo.s()).delay()
    (first,) = explain(TrackedTask.objects.get(pk=result.id))
    assert (first.code, first.level) == ("blocked", Level.GOOD)
    assert f"{result.parent[0].id} (tests.app.tasks.echo, PENDING)" in first.text
    assert first.text.endswith("and others.")


def test_a_step_whose_end_was_not_followed_up() -> None:
    result = (tasks.echo.s(1) | tasks.echo.s()).delay()
    change(TrackedTask.objects.get(pk=result.parent.id), stage=Stage.DONE, state=State.SUCCESS)
    assert codes(TrackedTask.objects.get(pk=result.id)) == ["blocked", "followed_up_soon"]


def test_a_step_that_waits_for_nothing_is_odd() -> None:
    result = (tasks.echo.s(1) | tasks.echo.s()).delay()
    Link.objects.all().update(state=Link.State.PASSED)
    assert codes(TrackedTask.objects.get(pk=result.id)) == ["not_released"]


# It waits for its turn


def test_place_in_its_queue_and_who_could_take_it() -> None:
    worker = able(concurrency=2, name="w7@host")
    for priority in (0, 5):
        enqueue(priority=priority)
    behind, free = explain(enqueue())
    assert behind.code == "behind_others"
    assert "behind 2 others in queue 'default'" in behind.text
    assert (free.code, free.text) == (
        "workers_free",
        "w7@host can take it: 0 of 2 places are taken.",
    )
    for _ in range(2):
        make_task(State.STARTED, worker=worker, queue="other")
    assert codes(enqueue(priority=99)) == ["next", "workers_busy"]


def test_free_worker_that_does_not_take_it_is_a_problem() -> None:
    able()
    stuck = change(enqueue(), run_after=ago(MINUTE))
    assert codes(stuck) == ["next", "workers_free", "not_claimed"]
    assert doctor.worst(explain(stuck)) is Level.PROBLEM


def test_task_whose_time_has_not_come() -> None:
    able()
    first, *rest = explain(enqueue(delay=1830.0))
    assert (first.code, first.level, rest) == ("scheduled", Level.GOOD, [])
    assert first.text.startswith("It runs no earlier than in 30 min ")


def test_scheduled_task_that_nobody_will_run_is_told_before() -> None:
    assert codes(enqueue(delay=3600.0)) == ["scheduled", "no_worker"]


def test_time_that_came_unnoticed() -> None:
    able()
    new = enqueue(delay=3600.0)
    assert codes(change(new, run_after=ago(timedelta(seconds=1)))) == ["becoming_due"]
    assert codes(change(new, run_after=ago(MINUTE))) == ["not_promoted"]


def test_retry_tells_what_failed_and_how_many_attempts_are_left() -> None:
    able()
    task = make_task(State.RETRY, error=ValueError("no such invoice"), max_attempts=4)
    scheduled, retry = explain(task)
    assert scheduled.text.startswith("Its next attempt runs no earlier than in ")
    assert retry.text == "Attempt 1 failed: ValueError: no such invoice"
    assert retry.hint == "3 of 4 attempts are left."


def test_expiry_that_is_near_or_over() -> None:
    able()
    assert codes(enqueue(expires_in=60.0))[0] == "expires"
    over = change(enqueue(expires_in=60.0), expires_at=ago(MINUTE))
    assert explain(over)[0].code == "expiry_passed"
    assert doctor.worst(explain(over)) is Level.PROBLEM


# A worker has it


def test_running_task_with_its_progress_and_limit() -> None:
    worker = able(name="w7@host")
    task = make_task(
        State.STARTED, worker=worker, progress=(420, 1000, "invoice 420"), time_limit=600.0
    )
    runs, progress, limit = explain(task)
    assert (runs.code, runs.level) == ("runs", Level.GOOD)
    assert "on w7@host (process 42 on host), attempt 1." in runs.text
    assert "420 of 1,000 “invoice 420”" in progress.text
    assert limit.code == "time_limit"
    change(task, started_at=ago(15 * MINUTE))
    assert codes(task)[-1] == "over_time_limit"


def test_claimed_task_that_has_not_begun() -> None:
    worker = able()
    claim = claimed(worker.pk)
    assert codes(claim) == ["claimed"]
    change(claim, run_after=ago(MINUTE), changed_at=ago(MINUTE))
    assert codes(claim) == ["claimed_not_begun"]


def test_silent_worker_s_task_is_rescued_soon() -> None:
    worker = able(name="w7@host", heartbeat_at=ago(timedelta(seconds=4)))
    silent, runs = explain(make_task(State.STARTED, worker=worker))
    assert (silent.code, runs.code) == ("worker_silent", "runs")
    assert "w7@host has given no sign of life for 4" in silent.text
    assert "rescued in " in silent.text


@pytest.mark.parametrize("how", ["lost", "stopped", "vanished"])
def test_task_of_a_worker_that_is_gone(how: str) -> None:
    worker = able(name="w7@host")
    task = make_task(State.STARTED, worker=worker)
    rows = Worker.objects.filter(pk=worker.pk)
    if how == "vanished":
        rows.delete()
    else:
        rows.update(**{f"{how}_at": timezone.now()})
    (finding,) = explain(task)
    assert (finding.code, finding.level) == ("worker_gone", Level.PROBLEM), "nobody rescues it"
    able()
    (finding,) = explain(task)
    assert (finding.code, finding.level) == ("rescue_due", Level.WARNING)


def test_somebody_s_wish_is_named() -> None:
    task = make_task(State.STARTED, worker=able(can_terminate=True))
    transitions.revoke([task.pk], actor="user:boss", reason="wrong file")
    wish = explain(task)[-1]
    assert wish.code == "revoke_requested"
    assert wish.text.startswith("user:boss asked ")
    assert "(wrong file)" in wish.text
    assert "next checkpoint" in wish.hint
    transitions.revoke([task.pk], signal="SIGKILL", actor="user:boss")
    assert "being ended by SIGKILL" in explain(task)[-1].hint


# It has ended


def test_success_is_no_problem() -> None:
    (finding,) = explain(make_task(State.SUCCESS))
    assert (finding.code, finding.level) == ("succeeded", Level.GOOD)


def test_failure_names_the_error_and_the_way_back() -> None:
    task = make_task(State.FAILURE, error=OSError("disk full\nmore"))
    (finding,) = explain(task)
    assert (finding.code, finding.level) == ("failed", Level.PROBLEM)
    assert finding.text.endswith(": OSError: disk full")
    assert f"tasktrack retry {task.pk}" in finding.hint
    assert codes(change(task, crashes=3)) == ["failed", "crashes"]


def test_revoked_task_names_who_and_why() -> None:
    (finding,) = explain(make_task(State.REVOKED))
    assert finding.code == "revoked"
    assert finding.text.endswith("by user:boss: not wanted. It never ran.")


def test_expired_task() -> None:
    new = enqueue(expires_in=-1.0)
    transitions.expire(the_vendor())
    assert codes(new) == ["expired_before_start"]


def test_unique_key_that_another_has() -> None:
    task = make_task(State.FAILURE, unique_key="export:2026")
    assert codes(task) == ["failed"]
    other = enqueue(unique_key="export:2026")
    _, taken = explain(task)
    assert taken.code == "unique_key_taken"
    assert str(other.task_id) in taken.text


def test_goal_is_named() -> None:
    goal = make_goal()
    assert explain(make_task(goal=goal))[-1].text == (
        "It serves the goal invoice.delivered INV-42, which is active."
    )


def test_absent_task_is_unknown_or_expired() -> None:
    assert doctor.explain_missing("EXPIRED").code == "expired"
    assert doctor.explain_missing("UNKNOWN").code == "unknown"


# Limits


def gated(**values: Any) -> Any:
    new = enqueue(**values)
    names = limits.read(the_vendor()).rates
    transitions.gate(the_vendor(), [], names.keys())
    return new


def test_task_of_a_paused_queue() -> None:
    able()
    limits.pause_queue("mail", actor="user:boss")
    for values in ({}, {"concurrency_key": "k", "concurrency_limit": 1}):
        first, *others = explain(enqueue(queue="mail", **values))
        assert first.code == "queue_paused"
        assert "user:boss" in first.text
        assert "resume mail" in first.hint
        assert "not_claimed" not in [finding.code for finding in others]
    assert "queue_paused" not in codes(enqueue())


def test_task_whose_rate_is_reached() -> None:
    able()
    limits.set_rate_limit(NAME, "1/m", actor="user:boss")
    TaskLimits.objects.update(tokens=0.0, refilled_at=the_vendor().now())
    first = gated()
    (found,) = explain(first)
    assert found.code == "rate_limited"
    assert "1/m over all workers, set by user:boss: the next one may in " in found.text
    assert "behind 1 others" in explain(gated())[0].text


def test_task_whose_key_is_taken() -> None:
    worker = able()
    first, second = (gated(concurrency_key="k", concurrency_limit=1) for _ in range(2))
    transitions.claim_gated(the_vendor(), worker.pk, [], [NAME], rates={}, limit=1)
    (found,) = explain(second)
    assert found.code == "key_limited"
    assert str(first.task_id) in found.text


def test_task_that_no_limit_holds_any_more() -> None:
    able()
    assert codes(gated(concurrency_key="k", concurrency_limit=1)) == ["limit_free"]


def test_gated_task_that_nobody_could_run() -> None:
    assert codes(gated(concurrency_key="k", concurrency_limit=1))[0] == "no_worker"


def test_time_limit_that_was_set_at_run_time() -> None:
    worker = able()
    task = make_task(State.STARTED, worker=worker, time_limit=60.0)
    limits.set_time_limit(NAME, hard=3600)
    (found,) = [finding for finding in explain(task) if finding.code == "time_limit"]
    assert "1 h" in found.text
