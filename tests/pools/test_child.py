"""What a child of the prefork pool does, in which order."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection

from django_tasktrack import signals, task
from django_tasktrack.declaration import Task
from django_tasktrack.epilogue import Epilogue
from django_tasktrack.outcomes import failed, retry_later, succeeded
from django_tasktrack.pools import child, hygiene
from django_tasktrack.pools.child import Child, Done
from django_tasktrack.pools.inbox import WorkersInbox, socket_pair
from django_tasktrack.pools.link import Link
from django_tasktrack.states import State
from tests.app import tasks
from tests.listening import Heard, listening, names
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


# Signals of its end


@pytest.fixture
def heard() -> Iterator[list[Heard]]:
    with listening(signals.task_success, signals.task_postrun) as heard:
        yield heard


def messages(worker: Worker) -> list[Any]:
    return list(worker.link.receive())


@pytest.mark.django_db(transaction=True)
def test_where_nobody_listens_a_child_does_not_wait(worker: Worker) -> None:
    assert worker.runs(tasks.echo.name).waits is False


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("written", [True, False])
def test_an_end_is_told_where_it_was_committed_and_not_where_it_was_refused(
    worker: Worker, heard: list[Heard], written: bool
) -> None:
    for number, answer in ((6, not written), (7, written)):
        heard.clear()
        messages(worker)
        worker.link.send(child.Settled(number, answer))
        assert worker.child._run(number, claim(lease=1)._replace(name=tasks.echo.name))
    done, rested = messages(worker)
    assert Done.unpacked(done).waits
    assert rested == child.Rested(7)
    assert names(heard) == (["task_success", "task_postrun"] if written else [])


@pytest.mark.django_db(transaction=True)
def test_an_end_is_told_after_the_worker_has_heard_of_it_and_then_connections_are_clean_again(
    worker: Worker, heard: list[Heard], monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    clean, tell = hygiene.clean_connections, Epilogue.tell

    def noted_clean() -> None:
        order.append(f"clean after {len(messages(worker))}")
        clean()

    def noted_tell(epilogue: Epilogue) -> None:
        order.append(f"tell after {len(messages(worker))}")
        tell(epilogue)

    monkeypatch.setattr(child, "clean_connections", noted_clean)
    monkeypatch.setattr(Epilogue, "tell", noted_tell)
    worker.link.send(child.Settled(7, True))
    worker.child._run(7, claim(lease=1)._replace(name=tasks.echo.name))
    assert order == ["clean after 0", "tell after 1", "clean after 0"]


@pytest.mark.django_db(transaction=True)
def test_a_child_whose_worker_is_gone_tells_nothing(worker: Worker, heard: list[Heard]) -> None:
    worker.inbox.put(7, claim(lease=1)._replace(name=tasks.echo.name))
    threading.Timer(0.2, worker.link.close).start()
    worker.child.main()
    assert heard == []


@pytest.mark.django_db(transaction=True)
def test_a_child_that_waits_takes_no_other_claim(worker: Worker, heard: list[Heard]) -> None:
    for number in (7, 8):
        worker.inbox.put(number, claim(lease=1)._replace(name=tasks.echo.name))
    taken: list[set[int]] = []

    def answer() -> None:
        taken.append(worker.inbox.take_back())
        worker.link.send(child.Settled(7, True))
        worker.link.send(None)

    threading.Timer(0.2, answer).start()
    worker.child.main()
    assert taken == [{8}]
    assert len(heard) == 2


@pytest.mark.django_db(transaction=True)
def test_what_a_receiver_leaves_open_is_rolled_back(worker: Worker) -> None:
    def leaves_a_transaction(**given: Any) -> None:
        connection.set_autocommit(False)

    signals.task_success.connect(leaves_a_transaction)
    try:
        worker.link.send(child.Settled(7, True))
        worker.child._run(7, claim(lease=1)._replace(name=tasks.echo.name))
    finally:
        signals.task_success.disconnect(leaves_a_transaction)
    assert connection.connection is None or connection.get_autocommit()


@pytest.mark.django_db(transaction=True)
def test_a_child_tells_that_its_process_begins_and_ends() -> None:
    (ours, theirs), (receiver, sender) = socket.socketpair(), socket_pair()
    inbox, link = WorkersInbox(receiver.dup(), sender), Link(ours)
    inbox.put(1, claim(lease=1)._replace(name=tasks.echo.name))
    link.send(None)
    handler = signal.getsignal(child.SOFT_LIMIT_SIGNAL)
    process = (signals.worker_process_init, signals.worker_process_shutdown)
    try:
        with listening(*process, signals.task_prerun) as heard:
            child.child_main("w1@host", theirs, receiver)
    finally:
        signal.signal(child.SOFT_LIMIT_SIGNAL, handler)
        for end in (link, inbox, theirs, receiver):
            end.close()
    assert names(heard) == ["worker_process_init", "task_prerun", "worker_process_shutdown"]
    assert heard[-1].given == {"pid": os.getpid(), "exitcode": 0}
