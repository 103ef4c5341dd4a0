"""What a worker makes of chains, groups and chords: each step is released by the end it waits for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_tasktrack import AsyncResult, GroupResult, chain, chord, group, signature, transitions
from django_tasktrack.exceptions import InvalidTask, ResultExpired, TaskRevokedError
from django_tasktrack.models import Link, TrackedTask
from django_tasktrack.outcomes import Claim
from django_tasktrack.purge import purge
from django_tasktrack.states import Stage
from django_tasktrack.transitions import Answer
from tests import invariants
from tests.app import tasks
from tests.app.tasks import add, echo
from tests.factories import make_worker
from tests.holding import held, needs_row_locks
from tests.inline import claim_all, finish, history, row, run, story, the_vendor, work

pytestmark = pytest.mark.django_db


def stages() -> list[int]:
    return list(TrackedTask.objects.order_by("pk").values_list("stage", flat=True))


def states() -> list[str]:
    return list(TrackedTask.objects.order_by("pk").values_list("state", flat=True))


# Chains


def test_a_chain_hands_each_value_on() -> None:
    result = (add.s(2, 2) | add.s(4) | add.s(8)).delay()
    assert stages() == [Stage.DUE, Stage.BLOCKED, Stage.BLOCKED]
    work(rounds=3)
    assert result.get(timeout=0) == 16
    assert result.parent.get(timeout=0) == 8
    assert result.parent.parent.get(timeout=0) == 4
    assert result.parent.parent.parent is None
    assert story(result.id) == ["PENDING", "STARTED", "SUCCESS"]


def test_one_step_a_round() -> None:
    (add.s(2, 2) | add.s(4) | add.s(8)).delay()
    work()
    assert stages() == [Stage.DONE, Stage.DUE, Stage.BLOCKED]


def test_arguments_of_the_whole_go_to_the_first() -> None:
    result = chain(add.s(4), add.s(8))(4)
    work(rounds=2)
    assert result.get(timeout=0) == 16


def test_an_immutable_step_takes_no_value() -> None:
    result = (add.s(2, 2) | add.si(1, 1)).delay()
    work(rounds=2)
    assert result.get(timeout=0) == 2


def test_steps_know_their_relations() -> None:
    result = chain(add.s(1, 1), add.s(1), add.s(1)).delay()
    first, second, third = TrackedTask.objects.order_by("pk")
    assert (first.root_id, first.parent_id) == (None, None)
    assert (second.root_id, second.parent_id) == (first.pk, first.pk)
    assert (third.root_id, third.parent_id) == (first.pk, second.pk)
    assert [child.id for child in AsyncResult(first.pk).children] == [str(second.pk)]
    assert AsyncResult(result.id).parent == AsyncResult(second.pk), "also where nobody kept it"


def test_a_step_that_fails_ends_what_waits_for_it() -> None:
    result = (add.s(1, 1) | tasks.fails.si("broken on purpose") | add.s(1) | add.s(1)).delay()
    work(rounds=3)
    assert states() == ["SUCCESS", "FAILURE", "REVOKED", "REVOKED"]
    assert "STARTED" not in story(result.id)
    with pytest.raises(ValueError, match="broken on purpose"):
        result.get(timeout=0)


def test_the_failure_at_the_beginning_of_a_long_chain_is_found_at_once() -> None:
    result = (tasks.fails.s("broken on purpose") | chain(add.s(1) for _ in range(50))).delay()
    work()
    with CaptureQueriesContext(connection) as asked, pytest.raises(ValueError, match="on purpose"):
        result.get(timeout=0)
    assert len(asked) == 2


def test_a_step_that_is_revoked_ends_what_waits_for_it() -> None:
    result = (add.s(1, 1) | add.s(1) | add.s(1)).delay()
    result.parent.parent.revoke(reason="enough")
    assert states() == ["REVOKED"] * 3
    with pytest.raises(TaskRevokedError, match="enough"):
        result.get(timeout=0)


def test_a_step_that_expires_ends_what_waits_for_it() -> None:
    (add.signature((1, 1), expires=-1) | add.s(1)).delay()
    transitions.expire(the_vendor())
    assert states() == ["REVOKED"] * 2


def test_a_delay_of_a_step_begins_with_its_release() -> None:
    result = (add.s(1, 1) | add.s(1).set(countdown=60)).delay()
    before = row(result.id).run_after
    work()
    after = row(result.id)
    assert after.stage == Stage.SCHEDULED
    assert (after.run_after - before).total_seconds() >= 60


def test_options_of_the_whole_are_those_of_steps_that_say_nothing() -> None:
    chain(add.s(1, 1), add.s(1).set(queue="fast")).apply_async(queue="slow", countdown=60)
    first, second = TrackedTask.objects.order_by("pk")
    assert (first.queue, second.queue) == ("slow", "fast")
    assert (first.stage, second.stage) == (Stage.SCHEDULED, Stage.BLOCKED)


def test_a_chain_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidTask, match="chain of nothing"):
        chain().delay()


def test_a_wrong_step_enqueues_none() -> None:
    with pytest.raises(TypeError, match=r"tests\.app\.tasks\.add: too many positional"):
        (add.s(1, 1) | add.s(1, 2, 3)).delay()
    assert not TrackedTask.objects.exists()


# Groups and chords


def test_a_group_runs_at_once() -> None:
    result = group(add.s(i, i) for i in range(4)).delay()
    assert isinstance(result, GroupResult)
    assert stages() == [Stage.DUE] * 4
    work()
    assert result.successful()
    assert result.completed_count() == 4
    assert result.get(timeout=0) == [0, 2, 4, 6]
    assert {task.group_id for task in TrackedTask.objects.all()} == {row(result[0].id).group_id}


def test_a_chord_begins_its_body_with_all_values_in_order() -> None:
    result = chord([add.s(i, i) for i in range(4)])(tasks.echo.s())
    claims = claim_all(make_worker().pk)
    for claim in reversed(claims):
        assert stages()[-1] == Stage.BLOCKED
        finish(claim, run(claim))
    assert stages()[-1] == Stage.DUE
    work()
    assert result.get(timeout=0) == [0, 2, 4, 6]
    assert result.parent.get(timeout=0) == [0, 2, 4, 6]


def test_a_body_puts_its_own_arguments_behind() -> None:
    result = chord([add.s(1, 1)], tasks.pair.s("own")).delay()
    work(rounds=2)
    assert result.get(timeout=0) == [[2], "own"]


def test_a_chord_without_header_runs_its_body() -> None:
    result = chord([], echo.s()).delay()
    work()
    assert result.get(timeout=0) == []


def test_a_chord_without_body_is_refused() -> None:
    with pytest.raises(InvalidTask, match="no body"):
        chord([add.s(1, 1)]).apply_async()


def test_a_header_that_fails_revokes_the_body_and_lets_the_others_run() -> None:
    result = chord([add.s(1, 1), tasks.fails.s("broken on purpose"), add.s(2, 2)], echo.s()).delay()
    work(rounds=2)
    assert states() == ["SUCCESS", "FAILURE", "SUCCESS", "REVOKED"]
    with pytest.raises(ValueError, match="broken on purpose"):
        result.get(timeout=0)
    assert not Link.objects.filter(state=Link.State.OPEN).exists()


def test_two_headers_that_fail_are_no_trouble() -> None:
    chord([tasks.fails.s(), tasks.fails.s()], echo.s()).delay()
    work(rounds=2)
    assert states() == ["FAILURE", "FAILURE", "REVOKED"]
    assert not Link.objects.filter(state=Link.State.OPEN).exists()


def test_groups_and_chains_nest() -> None:
    result = (
        add.s(1, 1)
        | group(add.s(1), add.s(2) | add.s(10), group(add.s(3), add.s(4)))
        | group(echo.s(), echo.s())
        | echo.s()
    ).delay()
    work(rounds=8)
    assert result.get(timeout=0) == [[3, 14, 5, 6], [3, 14, 5, 6]]
    assert TrackedTask.objects.filter(name="tasktrack.accumulate").count() == 1


def test_a_large_chord_ends_once() -> None:
    result = chord((add.s(i, 0) for i in range(300)), echo.s()).delay()
    work(rounds=5)
    assert result.get(timeout=0) == list(range(300))
    assert row(result.id).attempt == 1


# Callbacks


def test_a_link_runs_with_the_value() -> None:
    result = add.apply_async((2, 2), link=add.s(16))
    work(rounds=2)
    assert [child.get(timeout=0) for child in result.children] == [20]


def test_an_errback_is_called_with_request_exception_and_traceback() -> None:
    result = tasks.fails.apply_async(("broken on purpose",), link_error=tasks.on_error.s())
    work(rounds=2)
    (child,) = result.children
    said = child.get(timeout=0)
    assert said["id"] == result.id
    assert said["exc"] == "broken on purpose"
    assert "ValueError" in said["traceback"]


def test_an_errback_of_one_argument_is_called_with_the_id() -> None:
    result = tasks.fails.apply_async(("broken on purpose",), link_error=echo.s())
    work(rounds=2)
    assert result.children[0].get(timeout=0) == result.id


def test_no_errback_without_a_failure() -> None:
    add.apply_async((1, 1), link_error=echo.s())
    work(rounds=2)
    assert TrackedTask.objects.count() == 1


def test_the_errback_of_a_chord_is_called_for_its_header() -> None:
    chord([tasks.fails.s(), add.s(1, 1)], echo.s().on_error(echo.s())).delay()
    work(rounds=2)
    assert TrackedTask.objects.filter(name=echo.name, state="SUCCESS").count() == 1


# Enqueueing


@pytest.mark.django_db(transaction=True)
def test_rolled_back_it_never_was() -> None:
    with transaction.atomic():
        (add.s(1, 1) | add.s(1)).delay()
        transaction.set_rollback(True)
    assert not TrackedTask.objects.exists()
    assert not Link.objects.exists()


def test_a_step_whose_key_is_taken_enqueues_none() -> None:
    tasks.keyed.delay(7)
    with pytest.raises(InvalidTask, match="has the unique key of task"):
        (tasks.keyed.s(7) | echo.s()).delay()
    assert TrackedTask.objects.count() == 1


def test_a_signature_that_a_task_was_given_can_be_enqueued() -> None:
    result = echo.delay(add.s(1, 2))
    work()
    again = signature(result.get(timeout=0)).delay()
    work()
    assert again.get(timeout=0) == 3


def test_many_calls_in_one_task() -> None:
    mapped, starred = echo.map([1, 2]).delay(), add.starmap([(1, 2), (3, 4)]).delay()
    parted = add.chunks([(i, i) for i in range(5)], 2).delay()
    work()
    assert mapped.get(timeout=0) == [1, 2]
    assert starred.get(timeout=0) == [3, 7]
    assert parted.get(timeout=0) == [[0, 2], [4, 6], [8]]


# What comes late


@needs_row_locks
@pytest.mark.django_db(transaction=True)
def test_an_end_waits_for_nobody_who_holds_what_it_releases() -> None:
    result = chord([add.s(1, 1), add.s(2, 2)], echo.s()).delay()
    claims = claim_all(make_worker().pk)
    finish(claims[0], run(claims[0]))
    with held(row(result.id)):
        began = time.monotonic()
        assert finish(claims[1], run(claims[1])).busy == {claims[1].task_id}
        assert time.monotonic() - began < 5
    assert story(claims[1].task_id) == ["PENDING"]
    finish(claims[1], run(claims[1]))
    work()
    assert result.get(timeout=0) == [2, 4]


@needs_row_locks
@pytest.mark.django_db(transaction=True)
def test_a_step_further_down_that_somebody_holds_is_revoked_later() -> None:
    result = (tasks.fails.s() | add.s(1) | add.s(1)).delay()
    with held(row(result.id)):
        work()
        assert states() == ["FAILURE", "REVOKED", "PENDING"]
    assert transitions.follow_up(the_vendor()) == 1
    assert states() == ["FAILURE", "REVOKED", "REVOKED"]


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has one writer")
@pytest.mark.django_db(transaction=True)
def test_of_two_last_members_at_once_one_releases_the_body() -> None:
    for _ in range(20):
        result = chord([add.s(1, 1), add.s(2, 2)], echo.s()).delay()
        claims = claim_all(make_worker().pk)
        gate = threading.Barrier(2)

        def end(claim: Claim, gate: threading.Barrier = gate) -> None:
            try:
                outcome = run(claim)
                gate.wait(10)
                while finish(claim, outcome).busy:
                    time.sleep(0.001)
            finally:
                connection.close()

        with ThreadPoolExecutor(2) as threads:
            list(threads.map(end, claims))
        assert row(result.id).stage == Stage.DUE
        work()
        assert result.get(timeout=0) == [2, 4]


def test_an_end_that_older_code_wrote_is_followed_up() -> None:
    result = (add.s(1, 1) | add.s(1)).delay()
    (claim,) = claim_all(make_worker().pk)
    finish(claim._replace(followed=False), run(claim))
    assert stages() == [Stage.DONE, Stage.BLOCKED]
    assert transitions.follow_up(the_vendor()) == 1
    assert transitions.follow_up(the_vendor()) == 0
    work()
    assert result.get(timeout=0) == 3


def test_purge_leaves_values_that_are_still_waited_for() -> None:
    result = chord([add.s(1, 1), add.s(2, 2)], echo.s()).delay()
    first, second = claim_all(make_worker().pk)
    finish(first, run(first))
    purge(older_than=0)
    assert TrackedTask.objects.count() == 3
    finish(second, run(second))
    work()
    assert result.get(timeout=0) == [2, 4]
    purge(older_than=0)
    assert not TrackedTask.objects.exists()
    assert not Link.objects.exists()


def test_values_that_are_still_waited_for_do_not_expire() -> None:
    result = chord([add.s(1, 1), add.s(2, 2)], echo.s()).delay()
    first, second = claim_all(make_worker().pk)
    finish(first, run(first))
    TrackedTask.objects.filter(pk=first.task_id).update(group_id=None)  # its links alone protect it
    aged = the_vendor().now() - timedelta(days=8)
    TrackedTask.objects.filter(pk=first.task_id).update(finished_at=aged)
    purge()
    assert row(first.task_id).result == 2
    finish(second, run(second))
    work()
    purge()
    assert result.get(timeout=0) == [2, 4]
    with pytest.raises(ResultExpired):
        AsyncResult(first.task_id).get(timeout=0)


def test_purge_leaves_ends_that_are_still_to_be_followed_up() -> None:
    """As a worker of a version without links leaves them: the errback has not been called yet."""
    failing = tasks.fails.apply_async(("no",), link_error=tasks.noted.si(1))
    (claim,) = claim_all(make_worker().pk)
    finish(claim, run(claim))
    TrackedTask.objects.exclude(pk=failing.id).update(stage=Stage.HELD)
    Link.objects.update(state=Link.State.OPEN)
    purge(older_than=0)
    assert AsyncResult(failing.id).exists()
    transitions.follow_up(the_vendor())
    purge(older_than=0)
    assert not AsyncResult(failing.id).exists()


def test_a_task_whose_predecessor_was_purged_is_not_run_without_its_value() -> None:
    result = (tasks.fails.s("no") | add.s(1)).delay()
    work()
    assert states() == ["FAILURE", "REVOKED"]
    with override_settings(TASKTRACK={"FAILURE_RETENTION": 3600}):
        aged = the_vendor().now() - timedelta(hours=2)
        TrackedTask.objects.filter(state="FAILURE").update(finished_at=aged)
        purge()
    assert states() == ["REVOKED"]
    assert result.rerun() is Answer.REFUSED
    purge(older_than=0)
    assert not Link.objects.exists()


# Again


def test_a_failed_step_that_runs_again_lets_the_others_wait_again() -> None:
    result = (tasks.odd_once.s(3) | add.s(1) | add.s(1)).delay()
    first = result.parent.parent
    work()
    assert states() == ["FAILURE", "REVOKED", "REVOKED"]
    assert result.rerun() is Answer.REFUSED, "what it waits for has failed"
    assert first.rerun(actor="ann") is Answer.QUEUED
    assert stages() == [Stage.DUE, Stage.BLOCKED, Stage.BLOCKED]
    work(rounds=3)
    result.refresh()
    assert result.get(timeout=0) == 5
    assert story(result.id) == ["PENDING", "REVOKED", "PENDING", "STARTED", "SUCCESS"]
    assert history(result.id)[2].actor == "ann"


def test_what_waits_for_two_that_failed_waits_again_for_both_only() -> None:
    result = chord([tasks.odd_once.s(1), tasks.odd_once.s(3)], echo.s()).delay()
    work()
    one, two = result.parent
    one.rerun(actor="ann")
    assert row(result.id).state == "REVOKED"
    work()
    two.rerun(actor="ann")
    assert row(result.id).stage == Stage.BLOCKED
    work(rounds=2)
    result.refresh()
    assert result.get(timeout=0) == [1, 3]


def test_what_somebody_revoked_stays_revoked() -> None:
    result = (tasks.odd_once.s(3) | add.s(1)).delay()
    result.revoke(reason="not wanted")
    work()
    result.parent.rerun(actor="ann")
    assert row(result.id).state == "REVOKED"
    work()
    assert states() == ["SUCCESS", "REVOKED"]


def test_a_revoked_step_that_runs_again_waits_for_its_value() -> None:
    early, late = ((add.s(1, 1) | add.s(2)).delay() for _ in range(2))
    early.revoke(reason="not now")
    assert early.rerun(reason="after all") is Answer.QUEUED
    assert row(early.id).stage == Stage.BLOCKED
    late.revoke(reason="not now")
    work()
    assert late.rerun(reason="after all") is Answer.QUEUED
    assert row(late.id).stage == Stage.DUE
    work()
    assert (early.get(timeout=0), late.get(timeout=0)) == (4, 4)


def test_a_value_that_is_waited_for_is_not_forgotten() -> None:
    result = chord([add.s(1, 1), add.s(2, 2)], echo.s()).delay()
    first, second = claim_all(make_worker().pk)
    finish(first, run(first))
    AsyncResult(first.task_id).forget()
    finish(second, run(second))
    work()
    assert result.get(timeout=0) == [2, 4]


@pytest.fixture(autouse=True)
def _invariants_hold() -> Iterator[None]:
    yield
    invariants.check(quiet=False)
