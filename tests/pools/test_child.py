"""What a child of the prefork pool does, in which order."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import pytest

from django_tasktrack.pools import child
from django_tasktrack.states import State
from tests.pools.test_asyncio import claim


@pytest.fixture
def links() -> Iterator[tuple[Connection, Connection]]:
    """The worker's end and the child's; a child handles a signal, too."""
    handler = signal.getsignal(child.SOFT_LIMIT_SIGNAL)
    ours, theirs = Pipe()
    with ours, theirs:
        yield ours, theirs
    signal.signal(child.SOFT_LIMIT_SIGNAL, handler)


def run_one(links: tuple[Connection, Connection]) -> child.Done:
    ours, theirs = links
    child.Child(theirs, "w1@host")._run(claim(lease=1))
    done: child.Done = ours.recv()
    return done


@pytest.mark.django_db(transaction=True)
def test_what_a_body_left_open_is_rolled_back_before_its_end_is_told(
    links: tuple[Connection, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []
    monkeypatch.setattr(child, "clean_connections", lambda: told.append(links[0].poll(0)))
    assert run_one(links).outcome.transition.target is State.SUCCESS
    assert told == [False]


@pytest.mark.django_db(transaction=True)
def test_an_end_is_told_whatever_its_connections_do(
    links: tuple[Connection, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise OSError("gone")

    monkeypatch.setattr(child, "clean_connections", broken)
    done = run_one(links)
    assert done.outcome.transition.target is State.SUCCESS
    assert not done.fit, "it is replaced"
