"""What is true of every page: it only reads, it escapes, it needs no script and no style of its own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_tasktrack import outcomes, transitions
from django_tasktrack.changes import Change
from django_tasktrack.models import Goal, GoalAttempt, TrackedTask, Worker
from django_tasktrack.states import RELABEL, Stage, State
from django_tasktrack.vendors import vendor_for
from tests.factories import NAME, make_goal, make_task, make_worker

from .pages import GOALS, TASKS, WORKERS, breaches, confirmation, page, text

pytestmark = pytest.mark.django_db

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


def every_page() -> list[str]:
    """All pages, over rows that carry markup wherever text can stand."""
    worker = make_worker(name=EVIL, host=EVIL, version=EVIL[:50], queues=[EVIL], known_tasks=[EVIL])
    goal = make_goal(kind=EVIL, key=EVIL, reason=EVIL, evidence={EVIL: EVIL}, task_args=[EVIL])
    values: dict[str, Any] = {
        "args": [EVIL],
        "kwargs": {EVIL: EVIL},
        "owner": EVIL,
        "name": EVIL,
        "queue": EVIL,
    }
    running = make_task(State.STARTED, worker=worker, goal=goal, progress=(1, 2, EVIL), **values)
    failed = make_task(State.FAILURE, worker=worker, goal=goal, error=ValueError(EVIL), **values)
    done = make_task(State.SUCCESS, worker=worker, result=EVIL, **values)
    revoked = make_task(**values)
    transitions.revoke([revoked.pk], actor=EVIL, reason=EVIL)
    transitions.revoke([running.pk], actor=EVIL, reason=EVIL)
    tasks = (running, failed, done, revoked)
    return [
        TASKS,
        f"{TASKS}?refresh=10&q=%3Cscript%3E",
        f"{TASKS}?queue=%3Cscript%3Ealert(1)&state=FAILURE",
        *(page(row) for row in (*tasks, worker, goal)),
        *(confirmation(verb, *tasks) for verb in ("revoke", "terminate", "retry")),
        WORKERS,
        GOALS,
    ]


def test_value_that_has_expired_is_said_to_have_expired(operator: Client) -> None:
    task = make_task(State.SUCCESS, result=1)
    assert "Expired" not in text(operator.get(page(task)))
    TrackedTask.objects.filter(pk=task.pk).update(result=None, result_expired_at=timezone.now())
    html = text(operator.get(page(task)))
    assert "Expired: the value that it returned was kept until" in html
    assert "null" not in html.partition("tt-result-head")[2].partition("</section>")[0]


def test_markup_in_data_stays_text(operator: Client) -> None:
    for address in every_page():
        html = text(operator.get(address))
        assert "<script>alert" not in html, address
        assert "<img src=x" not in html, address


def test_pages_keep_a_strict_content_security_policy(operator: Client) -> None:
    for address in every_page():
        response = operator.get(address)
        assert response.status_code == 200, address
        assert breaches(text(response)) == [], address


def test_reading_writes_nothing(operator: Client) -> None:
    for address in every_page():
        operator.get(address)  # signs in, fills caches
        for read in (operator.get, operator.head):
            with CaptureQueriesContext(
                connection,
            ) as queries:
                read(address)
            written = [
                query["sql"]
                for query in queries
                if not query["sql"].startswith(("SELECT", "SAVEPOINT", "RELEASE"))
            ]
            assert written == [], address


def test_state_is_told_by_word_and_icon(operator: Client) -> None:
    for state in State:
        html = text(operator.get(page(make_task(state))))
        assert '<span class="tt-badge' in html
        assert f"<span>{state}</span>" in html
        assert '<svg class="tt-icon"' in html


def test_a_running_task_shows_its_own_word(operator: Client) -> None:
    task = make_task(State.STARTED)
    vendor = vendor_for("default")
    label = Change(task.pk, RELABEL, task.lease, task.worker_id, label="SENDING")
    transitions.settle(vendor, [label])
    assert "<span>SENDING</span>" in text(operator.get(TASKS))
    assert "<span>SENDING</span>" in text(operator.get(page(task)))


def test_progress_is_a_native_bar_with_eta(operator: Client) -> None:
    task = make_task(State.STARTED, progress=(25, 100, "reading rows"))
    task.progress.__class__.objects.update(began_at=timezone.now() - timedelta(seconds=20))
    assert 'value="25.0"' in text(operator.get(TASKS))
    response = operator.get(page(task))
    html = text(response)
    assert "<progress" in html
    assert "reading rows" in html
    assert 50 < response.context["eta"].total_seconds() < 70


def test_task_that_succeeded_is_not_shown_at_what_it_said_last(operator: Client) -> None:
    for state, said in ((State.STARTED, True), (State.FAILURE, True), (State.SUCCESS, False)):
        task = make_task(state, progress=(9, 10, "counting"), queue=state.lower())
        assert ("counting" in text(operator.get(page(task)))) is said
        assert ("counting" in text(operator.get(TASKS, {"queue": task.queue}))) is said


def test_attempts_that_nobody_will_make_are_not_promised(operator: Client) -> None:
    running, ended = make_task(State.STARTED, max_attempts=4), make_task("FAILURE", max_attempts=4)
    assert operator.get(page(running)).context["attempts"] == "1 of 4"
    assert operator.get(page(ended)).context["attempts"] == "1"


@pytest.mark.parametrize("owner", ["", "u:1", "0", "9" * 30, "²", "1.5"])
def test_owner_that_is_no_user_is_shown_as_it_is(operator: Client, owner: str) -> None:
    response = operator.get(page(make_task(owner=owner)))
    assert response.context["owner_name"] == ""


def test_owner_that_is_a_user_is_shown_by_name(operator: Client) -> None:
    user = User.objects.create_user("grace")
    html = text(operator.get(page(make_task(owner=str(user.pk)))))
    assert f'<dd>grace <span class="tt-quiet-text">{user.pk}</span></dd>' in html


def test_figures_that_overflow_break_no_page(operator: Client) -> None:
    task = make_task(State.STARTED, progress=(1e-300, 1e300, ""))
    task.progress.__class__.objects.update(began_at=timezone.now() - timedelta(seconds=20))
    assert operator.get(page(task)).status_code == 200
    assert operator.get(TASKS).status_code == 200


def test_every_attempts_error_is_kept_in_the_history(operator: Client) -> None:
    task = make_task(State.RETRY, error=ValueError("first try"))
    TrackedTask.objects.filter(pk=task.pk).update(stage=Stage.DUE)
    vendor, worker = vendor_for("default"), make_worker(name="second")
    (claim,) = transitions.claim(vendor, worker.pk, [], [NAME], 1)
    outcome = outcomes.failed(KeyError("second try"))
    transitions.settle(vendor, [Change.of_outcome(claim, outcome, 1.0, 0.0)])
    response = operator.get(page(task))
    html = text(response)
    assert "first try" in html
    assert "second try" in html
    numbers = [entry.change.seq for entry in response.context["entries"]]
    assert numbers == [5, 4, 3, 2, 1]


def test_a_task_says_why_it_waits(operator: Client) -> None:
    held, later, due = make_task(), make_task(delay=3600.0), make_task()
    TrackedTask.objects.filter(pk=held.pk).update(stage=Stage.HELD)
    assert "no live worker knows" in text(operator.get(page(held)))
    assert "becomes due in" in text(operator.get(page(later)))
    assert "no worker has taken it" in text(operator.get(page(due)))
    listed = text(operator.get(TASKS))
    assert "no worker knows it" in listed
    assert "in 59 min" in listed or "in 1 h 0 min" in listed


def test_rows_of_vanished_workers_and_goals_are_shown(operator: Client) -> None:
    goal = make_goal()
    task = make_task(State.STARTED, goal=goal)
    GoalAttempt.objects.all().delete()
    Goal.objects.all().delete()
    Worker.objects.all().delete()
    assert operator.get(page(task)).status_code == 200
    assert operator.get(TASKS).status_code == 200
    assert operator.get(confirmation("terminate", task)).status_code == 200


def test_a_goal_keeps_the_attempts_of_purged_tasks(operator: Client) -> None:
    goal = make_goal()
    purged, live = make_task(State.FAILURE, goal=goal), make_task(State.STARTED, goal=goal)
    with connection.cursor() as cursor:  # as purge does
        key = TrackedTask._meta.pk.get_db_prep_value(purged.pk, connection)
        cursor.execute("DELETE FROM tasktrack_trackedtask WHERE id = %s", [key])
    html = text(operator.get(page(goal)))
    assert str(purged.pk) in html
    assert page(purged) not in html
    assert page(live) in html
    assert "no such invoice" in html


def test_worker_that_was_asked_to_end_says_so(operator: Client) -> None:
    make_worker()
    assert "asked to end" not in text(operator.get(WORKERS))
    make_worker(shutdown_requested_at=timezone.now())
    assert "asked to end" in text(operator.get(WORKERS))


def test_workers_show_condition_and_what_they_run(operator: Client) -> None:
    now = timezone.now()
    make_worker(name="dead", lost_at=now)
    make_worker(name="quiet", heartbeat_at=now - timedelta(seconds=4))
    busy = make_worker(name="busy")
    task = make_task(State.STARTED, worker=busy)
    html = text(operator.get(f"{WORKERS}?condition=all"))
    assert "dead" not in text(operator.get(f"{WORKERS}?condition=alive"))
    assert "dead" in text(operator.get(f"{WORKERS}?condition=lost"))
    assert "<span>lost</span>" in html
    assert "<span>alive</span>" in html
    assert "silent" in html
    assert page(task) in text(operator.get(page(busy)))


def test_missing_rows_lead_back_to_the_list(operator: Client) -> None:
    for address in (f"{TASKS}nonsense/change/", f"{GOALS}{10**30}/change/", f"{WORKERS}x/change/"):
        assert operator.get(address).status_code == 302
    unknown = f"{TASKS}00000000-0000-7000-8000-000000000000/change/"
    assert "UNKNOWN" in text(operator.get(unknown, follow=True))


def test_refresh_is_a_meta_element_of_allowed_values(operator: Client) -> None:
    task = make_task()
    for address in (TASKS, page(task)):
        assert 'http-equiv="refresh" content="10"' in text(operator.get(f"{address}?refresh=10"))
        for value in ("0", "1", "x", "10;url=//evil.example", ""):
            html = text(operator.get(address, {"refresh": value}))
            assert 'http-equiv="refresh"' not in html
