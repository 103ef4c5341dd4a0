"""The memory between a worker and its child: what was taken back never begins, what has begun is never taken back."""

from __future__ import annotations

import os
import random
import time

import pytest

from django_tasktrack.pools.desk import Desk


@pytest.fixture
def desk() -> Desk:
    return Desk(Desk.make())


def test_claims_begin_in_their_order(desk: Desk) -> None:
    assert desk.begun() == 0
    assert [desk.begin(number) for number in (1, 2, 3)] == [True, True, True]
    assert desk.begun() == 3


def test_what_is_taken_back_does_not_begin(desk: Desk) -> None:
    desk.begin(1)
    assert desk.take_back(after=1, before=4) == 1
    assert [desk.begin(number) for number in (2, 3, 4)] == [False, False, True]


def test_the_one_that_is_to_run_now_is_left_there(desk: Desk) -> None:
    assert desk.take_back(after=1, before=3) == 0
    assert [desk.begin(number) for number in (1, 2)] == [True, False]


def test_what_has_begun_meanwhile_is_told(desk: Desk) -> None:
    desk.begin(1)
    desk.begin(2)
    assert desk.take_back(after=1, before=5) == 2
    assert [desk.begin(number) for number in (3, 4, 5)] == [False, False, True]


def test_taking_back_again_forgets_nothing(desk: Desk) -> None:
    desk.begin(1)
    desk.take_back(after=1, before=3)
    desk.take_back(after=1, before=5)
    assert [desk.begin(number) for number in range(2, 6)] == [False, False, False, True]


def test_a_process_that_begins_and_one_that_takes_back_never_both_have_a_claim(desk: Desk) -> None:
    """3,000 claims, one process begins them, the other takes back what lies ahead."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    count, chance = 3000, random.Random(seed)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            for number in range(1, count + 1):
                os.write(write, b"1" if desk.begin(number) else b"0")
        finally:
            os._exit(0)
    os.close(write)
    taken: set[int] = set()
    laid = 0
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        laid = max(laid, min(count, desk.begun() + chance.randrange(8)))
        begun = desk.take_back(after=0, before=laid + 1)
        taken |= set(range(begun + 1, laid + 1))
        time.sleep(chance.random() / 5000)
    with os.fdopen(read, "rb") as answers:
        begun_by_child = {n for n, answer in enumerate(answers.read(), 1) if answer == ord("1")}
    assert begun_by_child
    assert taken
    assert not begun_by_child & taken
