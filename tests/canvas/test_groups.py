"""Groups that are found again by their id, groups in groups, and groups that begin one after the other."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from django_tasktrack import GroupResult, Signature, chain, chord, group, signature
from django_tasktrack.exceptions import InvalidTask
from django_tasktrack.models import TrackedTask
from tests.app.tasks import add, echo
from tests.inline import work

pytestmark = pytest.mark.django_db


def ids(number: int) -> list[UUID]:
    """Ids in an order of their own."""
    return sorted((uuid4() for _ in range(number)), reverse=True)


def three() -> list[Signature]:
    return [echo.s(number) for number in range(3)]


def with_own_ids() -> list[Signature]:
    return [one.set(task_id=task_id) for one, task_id in zip(three(), ids(3), strict=True)]


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(lambda: group(three()), id="flat"),
        pytest.param(lambda: group(with_own_ids()), id="own ids of members"),
        pytest.param(lambda: group(three()).set(task_id=uuid4()), id="own id"),
        pytest.param(lambda: group(echo.s(0), group(echo.s(1), echo.s(2))), id="nested"),
        pytest.param(lambda: group(group(group(three()))), id="nested twice"),
        pytest.param(
            lambda: group(echo.s(0), chain(echo.s(1), group(echo.s(), echo.si(2)))),
            id="at the end of a chain",
        ),
        pytest.param(
            lambda: group(echo.s(0), chord([echo.s(1)], echo.si(1)), echo.s(2)), id="a chord"
        ),
        pytest.param(
            lambda: group(group(with_own_ids()[:1]), group(echo.s(1), with_own_ids()[2])),
            id="nested with own ids",
        ),
    ],
)  # fmt: skip
def test_a_group_is_restored_as_it_was(made: Any) -> None:
    result = made().delay()
    assert GroupResult.restore(result.id) == result
    work(rounds=3)
    again = GroupResult.restore(str(result.id))
    assert again is not None
    assert again.get(timeout=0) == result.get(timeout=0) == [0, 1, 2]


def test_a_group_in_a_group_has_no_id_of_its_own() -> None:
    inner = group(echo.s(1), echo.s(2)).set(task_id=uuid4())
    with pytest.raises(InvalidTask, match="is one with the group that it is in"):
        group(echo.s(0), inner).delay()
    assert not TrackedTask.objects.exists()


def test_a_group_that_others_follow_has_an_id_of_its_own() -> None:
    header = uuid4()
    group(echo.s(0), group(echo.s(1), echo.s(2)).set(task_id=header) | echo.s()).delay()
    work(rounds=2)
    again = GroupResult.restore(header)
    assert again is not None
    assert again.get(timeout=0) == [1, 2]


def test_what_no_group_has_for_its_id_restores_nothing() -> None:
    echo.delay(1)
    assert GroupResult.restore(uuid4()) is None
    assert GroupResult.restore("no id at all") is None


def test_what_a_member_said_of_itself_is_kept_beside_its_place() -> None:
    first, second = with_own_ids()[:2]
    group(first.set(headers={"mine": 1}), second).delay()
    headers = TrackedTask.objects.filter(headers__mine=1).values_list("headers", flat=True)
    assert [one for one in headers if one] == [{"mine": 1, "group_index": 0}]
    group(add.s(1, 1), add.s(2, 2)).delay()
    rows = TrackedTask.objects.filter(name=add.name)
    assert {row.headers for row in rows} == {None}, "ids that we give are in order"


def test_members_begin_one_after_the_other() -> None:
    one = echo.s(1)
    made = group([one] * 5).skew(start=1, stop=2, step=0.5)
    assert [member.options["countdown"] for member in made.tasks] == [1, 1.5, 2, 2, 2]
    assert one.options == {}, "it may be used elsewhere"
    assert [member.options["countdown"] for member in group([one] * 3).skew().tasks] == [1, 2, 3]
    with pytest.raises(InvalidTask, match="a skew of 0 seconds"):
        made.skew(step=0)


def test_chunks_are_a_group() -> None:
    made = add.chunks(zip(range(4), range(4), strict=True), 2)
    grouped = made.group()
    assert type(grouped) is group
    assert grouped.tasks == made.tasks
    result = grouped.skew(start=60)()
    first, second = TrackedTask.objects.order_by("pk")
    assert (second.run_after - first.run_after).total_seconds() == pytest.approx(1, abs=0.1)
    result.revoke()
    result = made()
    work()
    assert result.get(timeout=0) == [[0, 2], [4, 6]]


def test_stored_chunks_are_a_group() -> None:
    made = add.chunks([(1, 1), (2, 2)], 1)
    again = signature(json.loads(json.dumps(made)))
    assert type(again) is group
    assert again == made
