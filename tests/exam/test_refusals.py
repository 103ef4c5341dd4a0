"""What the database breaks off or refuses: tried again as a whole, or left alone, without harm to others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connection, transaction
from django.utils import timezone

from django_tasktrack import enqueue_many, goals, transitions
from django_tasktrack.changes import Change, Written
from django_tasktrack.ids import new_id
from django_tasktrack.models import Goal, PurgeHorizon, StateChange, TrackedTask
from django_tasktrack.purge import purge
from django_tasktrack.transitions import upkeep
from django_tasktrack.transitions.door import write_following
from django_tasktrack.vendors import Vendor
from tests import databases, invariants
from tests.app import tasks
from tests.exam.report import Figures
from tests.exam.test_database import HISTORY, TASKS, _execute, _refusal, trigger
from tests.factories import NAME, make_worker, new_task
from tests.inline import the_vendor

_GOALS, _HORIZON = Goal._meta.db_table, PurgeHorizon._meta.db_table


def _goal() -> goals.PursuedGoal:
    return goals.pursue("exam.once", key=1, task=tasks.noted, args=[1])


def _ended() -> None:
    tasks.noted.delay(1).revoke()


#: What callers write: the verb, what comes before it, and the statement that the database breaks off.
_VERBS: dict[str, tuple[Callable[[Any], Any], Callable[[], Any], str, str]] = {
    "delay": (lambda _: tasks.noted.delay(1), lambda: None, TASKS, "INSERT"),
    "task_id": (
        lambda _: tasks.noted.apply_async([1], task_id=new_id()),
        lambda: None,
        TASKS,
        "INSERT",
    ),
    "unique_key": (
        lambda _: tasks.noted.apply_async([1], unique_key="once"),
        lambda: None,
        TASKS,
        "INSERT",
    ),
    "enqueue_many": (
        lambda _: enqueue_many(tasks.noted, [((n,), {}) for n in range(3)]),
        lambda: None,
        TASKS,
        "INSERT",
    ),
    "pursue": (lambda _: _goal(), lambda: None, _GOALS, "INSERT"),
    "achieve": (lambda goal: goal.achieve(), _goal, _GOALS, "UPDATE"),
    "abandon": (lambda goal: goal.abandon(), _goal, _GOALS, "UPDATE"),
    "purge": (lambda _: purge(older_than=0), _ended, _HORIZON, "INSERT"),
}


@contextmanager
def broken_off_once(table: str, event: str, error: str) -> Iterator[list[int]]:
    """The first such statement fails as a deadlock's victim does, and its like; tells how often it came."""
    came = [0]

    def count(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
        if table in sql and f"{event} " in sql and "TRIGGER" not in sql:
            came[0] += 1
            if connection.vendor == "sqlite" and came[0] == 1:
                raise OperationalError(error)
        return execute(sql, *args)

    raising = f"IF nextval('exam_once') = 1 THEN RAISE EXCEPTION 'once' USING ERRCODE = '{error}'; END IF;"
    signal = (
        "BEGIN IF @exam_once IS NULL THEN SET @exam_once = 1; SIGNAL SQLSTATE '40001'"
        f" SET MYSQL_ERRNO = {error}, MESSAGE_TEXT = 'once'; END IF; END"
    )
    with ExitStack() as stack:
        if connection.vendor == "postgresql":
            _execute("CREATE SEQUENCE exam_once")
            stack.callback(_execute, "DROP SEQUENCE exam_once")
        if connection.vendor == "mysql":
            _execute("SET @exam_once = NULL")
        if connection.vendor != "sqlite":
            stack.enter_context(trigger(table, event, raising, signal))
        stack.enter_context(connection.execute_wrapper(count))
        yield came


_PASSING = {
    "sqlite": ["database is locked"],
    "postgresql": ["40P01", "40001"],
    "mysql": ["1213", "1020", "1205"],
}[databases.kind()]


@pytest.mark.parametrize("verb", _VERBS)
@pytest.mark.parametrize("error", _PASSING)
def test_what_the_database_breaks_off_is_tried_again_as_a_whole(verb: str, error: str) -> None:
    act, before, table, event = _VERBS[verb]
    given = before()
    with broken_off_once(table, event, error) as came:
        assert act(given)
    assert came[0] >= 2
    connection.close()
    invariants.check()
    enqueued = {"enqueue_many": 3, "purge": 0}.get(verb, 1)
    assert TrackedTask.objects.count() == StateChange.objects.count() == enqueued


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("verb", ["delay", "enqueue_many", "pursue"])
def test_in_a_caller_s_transaction_nothing_is_tried_again(verb: str, by_hand: bool) -> None:
    """The database has taken all of it back, the caller's own writes among it."""
    act, _, table, event = _VERBS[verb]
    with broken_off_once(table, event, _PASSING[0]) as came:
        if by_hand:
            transaction.set_autocommit(False)
            try:
                with pytest.raises(OperationalError):
                    act(None)
            finally:
                transaction.rollback()
                transaction.set_autocommit(True)
        else:
            with pytest.raises(OperationalError), transaction.atomic():
                act(None)
        assert came[0] == 1
    assert not TrackedTask.objects.exists()


@pytest.mark.case(32)
@pytest.mark.parametrize("step", ["rescue", "expire"])
def test_one_task_that_cannot_be_written_costs_no_other(step: str, figures: Figures) -> None:
    """Of 500 whose worker is gone, or whose time is over, one has a history that is refused."""
    vendor, dead = the_vendor(), make_worker(stopped_at=timezone.now())
    late = {"expires_at": timezone.now() - timedelta(1)} if step == "expire" else {}
    ids = [new_id() for _ in range(500)]
    transitions.enqueue([new_task(task_id=task_id, **late) for task_id in ids])
    if step == "rescue":
        transitions.claim(vendor, dead.pk, [], [NAME], 500)
    act = {
        "rescue": lambda: transitions.rescue(vendor, 5.0),
        "expire": lambda: transitions.expire(vendor),
    }
    victim = ids[123]
    column = TrackedTask._meta.get_field("id").get_db_prep_value(victim, connection)
    refusal = _refusal(f"NEW.task_id = '{column}'", "not this one")
    with trigger(HISTORY, "INSERT", *refusal):
        before = time.monotonic()
        written = act[step]()
        figures["seconds"] = round(time.monotonic() - before, 2)
        figures["written of 500"] = len(written.applied)
        assert figures["written of 500"] == 499
        assert list(written.refused) == [victim]
        assert "not this one" in written.refused[victim]
        again = act[step]()
        assert (again.applied, list(again.refused)) == (frozenset(), [victim])
    assert act[step]().applied == {victim}
    invariants.check([str(task_id) for task_id in ids])


@pytest.mark.case(29)
def test_a_rescue_that_finds_all_history_refused_soon_gives_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vendor, dead = the_vendor(), make_worker(stopped_at=timezone.now())
    transitions.enqueue([new_task() for _ in range(200)])
    transitions.claim(vendor, dead.pk, [], [NAME], 200)
    tries: list[int] = []

    def follow(vendor: Vendor, changes: Sequence[Change]) -> Written:
        tries.append(len(changes))
        return write_following(vendor, changes)

    monkeypatch.setattr(upkeep, "write_following", follow)
    with trigger(HISTORY, "INSERT", *_refusal("NEW.seq > 1", "history is full")):
        with pytest.raises(DatabaseError) as caught:
            transitions.rescue(vendor, 5.0)
        assert "history is full" in str(caught.value)
    assert 20 < len(tries) < 70
    assert len(transitions.rescue(vendor, 5.0).applied) == 200
    invariants.check()
