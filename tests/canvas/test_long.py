"""Chains far longer than Python's stack is deep."""

from __future__ import annotations

from functools import reduce
from operator import or_

import pytest

from django_tasktrack import AsyncResult, GroupResult, chain, group, result_from_tuple
from django_tasktrack.ids import new_id
from django_tasktrack.models import TrackedTask
from django_tasktrack.states import Stage
from tests.app.tasks import add

STEPS = 10_000


def chained() -> AsyncResult:
    result = AsyncResult(new_id())
    for _ in range(STEPS - 1):
        result = AsyncResult(new_id(), parent=result)
    return result


def ids_of(result: AsyncResult | GroupResult | None) -> list[str]:
    ids = []
    while result is not None:
        ids.append(result.id)
        result = result._parent if isinstance(result, AsyncResult) else result.parent
    return ids


def test_a_long_chain_is_told_as_a_tuple_and_made_of_one_again() -> None:
    result = chained()
    again = result_from_tuple(result.as_tuple())
    assert ids_of(again) == ids_of(result)
    assert len(ids_of(again)) == STEPS


def test_what_groups_have_waited_for_is_told_once() -> None:
    """Told by each member, it would double with each group of a chain."""
    result: AsyncResult | GroupResult = chained()
    for _ in range(50):
        of_two = [AsyncResult(new_id(), parent=result) for _ in range(2)]
        longer = AsyncResult(new_id(), parent=of_two[1])
        result = GroupResult(new_id(), [of_two[0], longer], parent=result)
    again = result_from_tuple(result.as_tuple())
    assert isinstance(again, GroupResult)
    assert isinstance(result, GroupResult)
    assert (again.id, again.results) == (result.id, result.results)
    assert ids_of(again) == ids_of(result)
    assert ids_of(again.results[1]) == ids_of(result.results[1])


def test_an_empty_group_is_a_result_too() -> None:
    result = AsyncResult(new_id(), parent=GroupResult(new_id()))
    again = result_from_tuple(result.as_tuple())
    assert ids_of(again) == ids_of(result)


@pytest.mark.django_db
def test_a_long_chain_runs_here_and_now() -> None:
    steps = [add.s(0, 1), *(add.s(1) for _ in range(STEPS - 2)), group(add.s(1))]
    result = reduce(or_, steps).apply()
    assert result.get() == [STEPS]
    assert len(ids_of(result)) == STEPS
    assert result.parent.get() == STEPS - 1
    first = result
    while first.parent:
        first = first.parent
    assert sum(1 for _ in first.collect()) == STEPS


@pytest.mark.django_db
def test_a_long_chain_of_rows_is_collected() -> None:
    steps = 1_200
    chain(add.s(0, 1), *(add.s(1) for _ in range(steps - 1))).delay()
    TrackedTask.objects.update(state="SUCCESS", stage=Stage.DONE, result=1)
    first = AsyncResult(TrackedTask.objects.order_by("pk").values_list("pk", flat=True)[0])
    assert sum(value for _, value in first.collect(timeout=0)) == steps
