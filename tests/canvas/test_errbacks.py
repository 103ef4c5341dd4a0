"""What is called because a task has failed: with rows, and here and now, alike."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_tasktrack import Signature, chain, chord, group
from django_tasktrack.exceptions import InvalidTask
from django_tasktrack.models import Link, TrackedTask
from django_tasktrack.states import Stage
from tests.app import tasks
from tests.app.tasks import add, echo
from tests.inline import work

pytestmark = pytest.mark.django_db

Run = Callable[[Signature], Any]


def with_rows(made: Signature) -> Any:
    result = made.delay()
    work(rounds=4)
    return result


def here(made: Signature) -> Any:
    return made.apply(throw=False)


@pytest.fixture(params=[with_rows, here])
def run(request: pytest.FixtureRequest) -> Run:
    tasks.told.clear()
    chosen: Run = request.param
    return chosen


def fails(*errbacks: Signature) -> Signature:
    return tasks.fails.signature(("broken on purpose",), link_error=list(errbacks))


def test_what_takes_three_more_is_told_all(run: Run) -> None:
    run(fails(tasks.told_all.s("own", note="a note")))
    ((request, error, traceback, own, note),) = tasks.told
    assert (request.task, request.args) == (tasks.fails.name, ("broken on purpose",))
    assert (str(error), own, note) == ("broken on purpose", "own", "a note")
    assert isinstance(error, ValueError)
    assert "ValueError" in traceback


def test_arguments_that_it_has_already_are_not_given_again(run: Run) -> None:
    """It takes three arguments, two of which are named: so it is told the id."""
    result = run(fails(tasks.told_id.s(where="here", how="loudly")))
    assert tasks.told == [(result.id, "here", "loudly")]


def test_an_immutable_one_is_told_nothing(run: Run) -> None:
    run(fails(tasks.told_id.si("own")))
    assert tasks.told == [("own", "", "")]


def test_it_is_a_task_of_its_own(run: Run) -> None:
    """With a request, and with failures that are its own."""
    result = run(fails(tasks.told_by_request.s().set(headers={"mine": 1}), tasks.fails.si("too")))
    ((task_id, parent, root, headers),) = tasks.told
    assert (parent, root) == (result.id, result.id)
    assert task_id != result.id
    assert headers["mine"] == 1


def test_it_belongs_to_what_the_failed_one_came_of(run: Run) -> None:
    result = run(chain(add.s(1, 1), fails(tasks.told_by_request.s()).set(immutable=True)))
    ((_, parent, root, _),) = tasks.told
    assert (parent, root) == (result.id, result.parent.id)


def test_the_errback_of_a_body_is_told_of_its_header(run: Run) -> None:
    header = [add.s(1, 1), tasks.fails.s("first"), tasks.fails.s("second")]
    result = run(chord(header, echo.s().on_error(tasks.told_all.s())))
    assert [str(error) for _, error, *_ in tasks.told] == ["first"], "the body fails once"
    assert result.state == "REVOKED"
    with pytest.raises(ValueError, match="first"):
        result.get(timeout=0)


def test_each_failure_calls_an_errback_of_all_once(run: Run) -> None:
    header = [tasks.fails.s("first"), add.s(1, 1), tasks.fails.s("second")]
    run(chord(header, echo.s(), link_error=tasks.told_all.s()))
    assert sorted(str(error) for _, error, *_ in tasks.told) == ["first", "second"]


def test_what_waits_for_a_failure_raises_it(run: Run) -> None:
    result = run(chain(tasks.fails.si("no"), echo.s(), group(echo.s(), echo.s())))
    assert [one.state for one in result] == ["REVOKED", "REVOKED"]
    with pytest.raises(ValueError, match="no"):
        result.get(timeout=0)


def test_links_run_with_the_value(run: Run) -> None:
    result = run(add.s(2, 2).set(link=[add.s(1), add.s(2)]))
    assert sorted(child.get(timeout=0) for child in result.children) == [5, 6]


def test_what_is_thrown_is_thrown_once_all_has_ended() -> None:
    tasks.told.clear()
    made = group(add.s(1, 1), fails(tasks.told_id.s()), tasks.fails.s("later"))
    with pytest.raises(ValueError, match="broken on purpose"):
        made.apply(throw=True)
    assert len(tasks.told) == 1


# Its options


def errback_after_failure(errback: Signature) -> TrackedTask:
    fails(errback).delay()
    work()
    return TrackedTask.objects.get(name=errback.task)


def test_all_options_of_an_errback_count() -> None:
    at = timezone.now() + timedelta(hours=1)
    row = errback_after_failure(
        echo.s().set(
            eta=at,
            expires=at + timedelta(hours=1),
            queue="slow",
            priority=7,
            owner="ann",
            ignore_result=True,
            headers={"mine": 1},
            time_limit=9,
            concurrency=("printer", 2),
        )
    )
    assert (row.stage, row.run_after, row.expires_at) == (
        Stage.SCHEDULED, at, at + timedelta(hours=1),
    )  # fmt: skip
    assert (row.queue, row.priority, row.owner, row.time_limit) == ("slow", 7, "ann", 9)
    assert (row.concurrency_key, row.concurrency_limit) == ("printer", 2)
    assert row.ignore_result
    assert row.headers is not None
    assert row.headers["mine"] == 1


def test_a_countdown_of_an_errback_begins_with_the_failure() -> None:
    before: datetime = timezone.now()
    row = errback_after_failure(echo.s().set(countdown=60))
    assert row.run_after >= before + timedelta(seconds=60)


@pytest.mark.parametrize(
    "option",
    [
        {"task_id": "0190b5a0-0000-7000-8000-000000000000"},
        {"unique_key": "mine"},
        {"link": echo.s()},
        {"link_error": echo.s()},
    ],
    ids=lambda option: next(iter(option)),
)
def test_what_an_errback_cannot_have_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(InvalidTask, match=f"has the option '{next(iter(option))}'"):
        fails(echo.s().set(**option)).delay()
    assert not TrackedTask.objects.exists()


def test_a_plan_of_another_version_is_carried_out() -> None:
    """Older code kept less of it, newer code may keep more."""
    result = fails(echo.s().set(queue="slow")).delay()
    link = Link.objects.get()
    kept = ("name", "args", "kwargs", "queue", "priority")
    assert link.on_error
    plan = {name: link.on_error[name] for name in kept}
    Link.objects.update(on_error={**plan, "of_newer_code": 1})
    work(rounds=2)
    row = TrackedTask.objects.get(name=echo.name)
    assert (row.queue, row.result) == ("slow", result.id)
