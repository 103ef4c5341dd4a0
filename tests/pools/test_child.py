"""What a child of the prefork pool does, in which order."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from django_tasktrack import task
from django_tasktrack.declaration import Task
from django_tasktrack.outcomes import failed, retry_later, succeeded
from django_tasktrack.pools import child
from django_tasktrack.pools.child import Child, Done
from django_tasktrack.pools.inbox import WorkersInbox, socket_pair
from django_tasktrack.pools.link import Link
from django_tasktrack.states import State
from tests.app import tasks
from tests.pools.test_asyncio import claim

#: What the body below does before it asks whether it is to end.
_act: list[Callable[[], None]] = []


@task(bind=True)
def asks(self: Task[..., Any]) -> str:
    while _act:
        _act.pop()()
    self.checkpoint()
    return "done"


@dataclass
class Worker:
    """The worker's ends, and the child that it talks with."""

    link: Link
    inbox: WorkersInbox
    child: Child

    def has_heard_nothing(self) -> bool:
        return not list(self.link.receive())

    def runs(self, name: str = "", number: int = 1) -> Done:
        """Have the child run one claim."""
        one = claim(lease=1)
        self.child._run(number, one._replace(name=name) if name else one)
        return Done.unpacked(list(self.link.receive())[-1])


@pytest.fixture
def worker() -> Iterator[Worker]:
    handler = signal.getsignal(child.SOFT_LIMIT_SIGNAL)
    inbox, (ours, theirs) = WorkersInbox(*socket_pair()), socket.socketpair()
    link = Link(theirs)
    worker = Worker(Link(ours), inbox, Child(link, inbox, "w1@host"))
    yield worker
    for end in (worker.link, link, inbox):
        end.close()
    signal.signal(child.SOFT_LIMIT_SIGNAL, handler)  # a child handles it


@pytest.mark.django_db(transaction=True)
def test_what_a_body_left_open_is_rolled_back_before_its_end_is_told(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet: list[bool] = []
    monkeypatch.setattr(
        child, "clean_connections", lambda: quiet.append(worker.has_heard_nothing())
    )
    assert worker.runs().outcome.transition.target is State.SUCCESS
    assert quiet == [True]


@pytest.mark.django_db(transaction=True)
def test_an_end_is_told_whatever_its_connections_do(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise OSError("gone")

    monkeypatch.setattr(child, "clean_connections", broken)
    done = worker.runs()
    assert done.outcome.transition.target is State.SUCCESS
    assert not done.fit, "it is replaced"


@pytest.mark.django_db(transaction=True)
def test_a_child_that_is_of_no_further_use_takes_nothing_more(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.child, "_clean", lambda: False)
    for number in (1, 2):
        worker.inbox.put(number, claim(lease=1)._replace(name=tasks.echo.name))
    worker.link.send(None)
    worker.child.main()
    assert [Done.unpacked(told).number for told in worker.link.receive()] == [1]
    assert worker.inbox.take_back() == {2}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("named", "target"), [(1, State.REVOKED), (7, State.SUCCESS)])
def test_a_wish_ends_the_task_that_it_names(worker: Worker, named: int, target: State) -> None:
    _act.append(lambda: worker.link.send(child.Revoke(named)))
    assert worker.runs(asks.name, number=1).outcome.transition.target is target


def test_a_thread_that_outlives_its_body_does_not_take_the_next_one_s_wish(worker: Worker) -> None:
    worker.child._number = 2
    worker.link.send(child.Revoke(2))
    assert not worker.child._is_revoked(1), "it asks for a body that has ended"
    assert worker.child._is_revoked(2)


@pytest.mark.django_db(transaction=True)
def test_a_child_ends_when_it_is_told_to_or_its_worker_is_gone(worker: Worker) -> None:
    worker.inbox.put(1, claim(lease=1))
    worker.link.send(child.Revoke(0))  # of a task that has ended
    worker.link.send(None)
    worker.child.main()
    assert [Done.unpacked(told).number for told in worker.link.receive()] == [1]
    worker.link.close()
    worker.child.main()


def test_an_end_is_the_same_when_it_has_been_packed() -> None:
    for outcome in (
        succeeded("5"),
        failed(ValueError("no"), "why"),
        retry_later(OSError(), 3.0, "x", 2),
    ):
        done = Done(7, outcome, 1.0, 2.0, 3, True)
        assert Done.unpacked(done.packed()) == done
