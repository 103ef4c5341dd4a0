"""A child's inbox: each claim is taken once, by the child or back by the worker."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from django_tasktrack.outcomes import Claim
from django_tasktrack.pools.inbox import Inbox, WorkersInbox, socket_pair
from tests.pools.test_asyncio import claim


@pytest.fixture
def inbox() -> Iterator[WorkersInbox]:
    inbox = WorkersInbox(*socket_pair())
    yield inbox
    inbox.close()


def heavy() -> Claim:
    return claim(lease=1)._replace(args="x" * 500_000)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_claims_are_taken_in_order_and_whole(inbox: WorkersInbox) -> None:
    claims = [claim(lease=1), heavy(), claim(lease=2)]
    files = open_files()
    for number, one in enumerate(claims):
        assert inbox.put(number, one)
    assert [inbox.take() for _ in claims] == list(enumerate(claims))
    assert inbox.take() is None
    assert open_files() == files


def test_what_was_taken_back_is_not_taken(inbox: WorkersInbox) -> None:
    files = open_files()
    for number, one in enumerate([claim(lease=1), heavy(), claim(lease=2)]):
        inbox.put(number, one)
    assert inbox.take() == (0, claim(lease=1))
    assert inbox.take_back() == {1, 2}
    assert inbox.take() is None
    assert inbox.take_back() == set()
    assert open_files() == files


@pytest.mark.parametrize("one", [claim(lease=1), heavy()], ids=["light", "heavy"])
def test_a_full_inbox_says_so_and_keeps_what_it_has(inbox: WorkersInbox, one: Claim) -> None:
    count = 0
    while inbox.put(count, one):
        count += 1
        assert count < 10_000
    assert count > 64, "as many as a child is given ahead"
    assert inbox.take_back() == set(range(count))
    assert inbox.put(count, one)


def test_a_child_notices_that_its_worker_is_gone() -> None:
    receiver, sender = socket_pair()
    inbox = Inbox(receiver)
    sender.close()
    with pytest.raises(EOFError):
        inbox.take()
    inbox.close()


def test_a_child_and_its_worker_that_take_at_once_share_without_loss(inbox: WorkersInbox) -> None:
    """The child takes as fast as it can while the worker takes back at any moment and gives again."""
    count, said = 3000, os.pipe()
    child = os.fork()
    if child == 0:
        while not (message := inbox.take()) or message[1].lease >= 0:
            if message:
                os.write(said[1], message[1].lease.to_bytes(4, "big"))
        os._exit(0)
    os.close(said[1])
    dice = random.Random(7)
    waiting, number, returned = list(range(count)), 0, 0
    given: dict[int, int] = {}
    while waiting or given:
        while waiting and inbox.put(number, claim(lease=waiting[0])):
            given[number] = waiting.pop(0)
            number += 1
            if dice.random() < 0.1:
                break
        back = inbox.take_back()
        returned += len(back)
        waiting = [given[number] for number in sorted(back)] + waiting
        given.clear()
    inbox.put(number, claim(lease=-1))
    os.waitpid(child, 0)
    with os.fdopen(said[0], "rb") as pipe:
        spoken = pipe.read()
    taken = [int.from_bytes(spoken[at : at + 4], "big") for at in range(0, len(spoken), 4)]
    assert sorted(taken) == list(range(count)), "each once"
    assert returned, "nothing was ever taken back: no race was tried"
