"""Calls that are not made yet: completed, combined, stored, and made again of JSON."""

from __future__ import annotations

import json

import pytest

from django_tasktrack import Signature, chain, chord, group, maybe_signature, signature
from django_tasktrack.exceptions import InvalidTask
from tests.app.tasks import add, echo


def test_a_signature_is_a_call_with_its_options() -> None:
    made = add.signature((2,), {"y": 3}, countdown=10, queue="mail")
    assert (made.task, made.args, made.kwargs) == (add.name, [2], {"y": 3})
    assert made.options == {"countdown": 10, "queue": "mail"}
    assert repr(add.s(2, y=3)) == f"{add.name}(2, y=3)"
    assert add.subtask((2,)) == add.s(2)


def test_calling_it_calls_the_function() -> None:
    assert add.s(2, 3)() == 5
    assert add.s(3)(2) == 5


def test_a_clone_is_completed_in_front_and_leaves_the_first_alone() -> None:
    partial = add.s(2)
    assert partial.clone((1,), priority=3).args == [1, 2]
    assert (partial.args, partial.options) == ([2], {})


def test_an_immutable_one_takes_no_more_arguments() -> None:
    assert add.si(1, 2).clone((5,)).args == [1, 2]
    assert add.s(1, 2).set(immutable=True).immutable


@pytest.mark.parametrize(
    "made",
    [
        add.s(1, y=2).set(queue="mail"),
        chain(add.s(1, 2), add.s(3)),
        group(add.s(1, 1), chain(add.s(2, 2), echo.s())),
        chord([add.s(1, 1), add.s(2, 2)], echo.s()),
        add.starmap([(1, 2), (3, 4)]),
        add.s(1, 2).on_error(echo.s()),
    ],
    ids=["task", "chain", "group", "chord", "starmap", "errback"],
)
def test_json_carries_all_of_them(made: Signature) -> None:
    again = signature(json.loads(json.dumps(made)))
    assert again == made
    assert type(again) is type(made)
    assert repr(again) == repr(made)


def test_one_after_the_other_is_a_chain_and_chains_dissolve_in_each_other() -> None:
    made = add.s(1, 2) | add.s(3) | echo.s()
    assert isinstance(made, chain)
    assert made.tasks == [add.s(1, 2), add.s(3), echo.s()]
    assert (add | echo.s()).tasks == [add.s(), echo.s()]
    named = chain(add.s(1, 2), add.s(3), queue="mail")
    assert (named | echo).tasks == [named, echo.s()], "one with options of its own stays whole"


def test_callbacks_are_kept_once() -> None:
    made = add.s(1, 2)
    assert made.link(echo.s()) == echo.s()
    made.link(echo.s())
    assert made.on_error(echo.s()) is made
    assert made.options == {"link": [echo.s()], "link_error": [echo.s()]}


def test_what_is_no_signature_is_refused() -> None:
    with pytest.raises(InvalidTask, match="is no signature and no task"):
        signature(3)  # type: ignore[arg-type]
    with pytest.raises(InvalidTask, match="is no signature"):
        signature({"task": add.name, "subtask_type": "knot"})
    with pytest.raises(
        TypeError, match=r"has no option 'cuontdown'\. Hint: Did you mean 'countdown'"
    ):
        add.signature((1, 2), cuontdown=3)
    assert maybe_signature(None) is None


def test_chunks_share_the_calls_out() -> None:
    made = add.chunks(zip(range(5), range(5), strict=True), 2)
    assert [part.args[1] for part in made.tasks] == [[[0, 0], [1, 1]], [[2, 2], [3, 3]], [[4, 4]]]
    with pytest.raises(InvalidTask, match="chunks of 0"):
        add.chunks([], 0)
