"""Chains, groups and chords that run here and now, without rows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from django_tasktrack import EagerResult, GroupResult, chain, chord, group
from django_tasktrack.exceptions import TaskRevokedError
from django_tasktrack.models import TrackedTask
from django_tasktrack.testing import eager
from tests.app import tasks
from tests.app.tasks import add, echo

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_rows(db: None) -> Iterator[None]:
    yield
    assert not TrackedTask.objects.exists()


def test_a_chain_hands_its_values_on() -> None:
    result = (add.s(2, 2) | add.s(4) | add.s(8)).apply()
    assert isinstance(result, EagerResult)
    assert result.get() == 16
    assert result.parent
    assert result.parent.get() == 8
    assert result.parent.parent
    assert result.parent.parent.parent is None


def test_groups_and_chords() -> None:
    assert group(add.s(i, i) for i in range(3)).apply().get() == [0, 2, 4]
    result = chord([add.s(i, i) for i in range(3)], echo.s()).apply()
    assert result.get() == [0, 2, 4]
    assert isinstance(result.parent, GroupResult)
    assert result.parent.get() == [0, 2, 4]


def test_what_waits_for_a_failure_does_not_run() -> None:
    result = chain(tasks.fails.si("broken"), echo.s()).apply(throw=False)
    assert result.state == "REVOKED"
    assert result.parent.failed()
    assert isinstance(result.result, TaskRevokedError)
    with pytest.raises(ValueError, match="broken"):
        result.get()


def test_a_failure_is_raised_where_that_is_asked_for() -> None:
    with pytest.raises(ValueError, match="broken"):
        chain(tasks.fails.si("broken"), echo.s()).apply(throw=True)


def test_errbacks_are_called() -> None:
    tasks.remembered.clear()
    tasks.fails.s("broken").on_error(tasks.remembers.s()).apply(throw=False)
    ((request, error, _),) = tasks.remembered
    assert (request.task, str(error)) == (tasks.fails.name, "broken")


def test_all_of_it_under_eager_mode() -> None:
    with eager():
        assert (add.s(1, 1) | add.s(1)).delay().get() == 3
        assert add.apply_async((1, 1), link=echo.s()).get() == 2
