"""The prefork pool, with children that the test plays: what they are given, and what is taken back."""

from __future__ import annotations

import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from django_tasktrack import signals
from django_tasktrack.ids import new_id
from django_tasktrack.outcomes import Claim, Report, succeeded
from django_tasktrack.pools import prefork
from django_tasktrack.pools.base import Died, Event, Finished, Free, PoolOptions, Reported
from django_tasktrack.pools.child import (
    SOFT_LIMIT_SIGNAL,
    Done,
    Rested,
    Revoke,
    Settled,
    ToChild,
    Told,
)
from django_tasktrack.pools.child import Child as RealChild
from django_tasktrack.pools.childprocess import OVERTAKEN_AFTER
from django_tasktrack.pools.forkserver import Exited, Signalled, Spawned
from django_tasktrack.pools.inbox import Inbox, socket_pair
from django_tasktrack.pools.link import Link
from django_tasktrack.pools.prefork import PreforkPool
from tests.app import tasks
from tests.listening import listening
from tests.pools import test_asyncio


def claims(count: int) -> list[Claim]:
    one = test_asyncio.claim(lease=1)
    return [one._replace(task_id=new_id()) for _ in range(count)]


@dataclass
class Child:
    """A child, as the test plays it."""

    pid: int
    link: Link
    inbox: Inbox
    number: int = 0

    def takes(self) -> Claim | None:
        """It takes the next claim and begins it."""
        taken = self.inbox.take()
        if taken is None:
            return None
        self.number, claim = taken
        return claim

    def ends(self, seconds: float = 0.0001, *, fit: bool = True, waits: bool = False) -> None:
        """It tells the end of what it runs."""
        now = time.monotonic()
        done = Done(self.number, succeeded("null"), now - seconds, now, 0, fit, waits)
        self.link.send(done.packed())

    def hears(self) -> list[ToChild]:
        """What the worker has said."""
        return list(self.link.receive())


class PlayedServer:
    """Stands for the fork server: says what the test has it say, and notes what it is asked."""

    def __init__(self, child_main: object) -> None:
        self.socket, self._other = socket.socketpair()
        self.words: list[Spawned | Signalled | Exited] = []
        self.children: list[Child] = []
        self.sent: list[tuple[int, int]] = []

    def spawn(self) -> None:
        ours, theirs = socket.socketpair()
        receiver, sender = socket_pair()
        child = Child(len(self.children) + 100, Link(theirs), Inbox(receiver.dup()))
        self.children.append(child)
        self.words.append(Spawned(child.pid, ours, receiver, sender))

    def kill(self, pid: int, signum: int) -> None:
        self.sent.append((pid, signum))

    signal_alone = kill

    def receive(self) -> Spawned | Signalled | Exited:
        return self.words.pop(0)

    def close(self) -> None:
        self.socket.close()
        self._other.close()


@dataclass
class Stage:
    """The pool, its played children, and what it has told the engine."""

    pool: PreforkPool
    server: PlayedServer
    events: list[Event] = field(default_factory=list)

    @property
    def children(self) -> list[Child]:
        return self.server.children

    def turn(self, *words: Signalled | Exited) -> None:
        """A turn of the main thread, with all that is there for it."""
        self.server.words += words
        while self.server.words:
            self.pool._on_server(None)
        self.pool._take_turn(self.pool._selector.select(0))

    def ended(self) -> list[Claim]:
        return [event.claim for event in self.events if isinstance(event, Finished)]

    def knows_bodies_are_short(self) -> None:
        self.pool._body_seconds = 0.0001


@pytest.fixture
def stage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(prefork, "ForkServer", PlayedServer)
    options = {"worker": "w1@host", "concurrency": 2, **getattr(request, "param", {})}
    pool = PreforkPool(PoolOptions(**options))
    assert isinstance(pool._server, PlayedServer)
    stage = Stage(pool, pool._server)
    pool.start(stage.events.append)
    for _ in range(2):
        pool._spawn()
    stage.turn()
    yield stage
    pool._selector.close()
    pool._waker.close()
    stage.server.close()
    for child in pool._children.values():
        child.close()
    for played in stage.children:
        played.link.close()
        played.inbox.close()


def test_of_long_bodies_each_child_has_one(stage: Stage) -> None:
    given = claims(4)
    stage.pool.submit(given)
    stage.turn()
    assert [child.takes() for child in stage.children] == given[:2]
    assert [child.takes() for child in stage.children] == [None, None]
    assert stage.pool.load() == (2, 2)


def test_of_short_bodies_each_child_has_some_ahead(stage: Stage) -> None:
    stage.knows_bodies_are_short()
    given = claims(6)
    stage.pool.submit(given)
    stage.turn()
    one, two = stage.children
    assert [one.takes(), two.takes()] == given[:2]
    for child in stage.children:
        child.ends()
    assert [one.takes(), two.takes()] == given[2:4], "without waiting for the worker"
    assert stage.pool.load() == (4, 2), "what it has not heard of still waits"
    stage.turn()
    assert stage.pool.load() == (2, 2)
    assert stage.ended() == given[:2]
    assert [claim for claim, _ in stage.pool.running()] == given[2:4]


def test_what_waits_behind_a_long_body_goes_to_the_other_child(stage: Stage) -> None:
    stage.knows_bodies_are_short()
    given = claims(4)
    stage.pool.submit(given)
    stage.turn()
    one, two = stage.children
    assert [one.takes(), two.takes()] == given[:2]
    two.ends()
    assert two.takes() == given[3]
    two.ends()
    time.sleep(OVERTAKEN_AFTER)
    stage.turn()
    assert one.takes() is None
    assert two.takes() == given[2]
    assert stage.pool.load() == (0, 2)
    late = claims(3)
    stage.pool.submit(late)
    stage.turn()
    assert one.takes() is None, "nothing more is given behind that body"


def test_a_claim_that_was_withdrawn_is_not_run(stage: Stage) -> None:
    stage.knows_bodies_are_short()
    given = claims(6)
    stage.pool.submit(given)
    stage.turn()
    one, two = stage.children
    assert one.takes() == given[0]
    assert stage.pool.withdraw(given[2].task_id)
    assert not stage.pool.has(given[2].task_id)
    assert not stage.pool.withdraw(given[0].task_id), "it runs"
    stage.turn()
    one.ends()
    assert one.takes() == given[4]
    back = {claim.task_id for claim in stage.pool.withdraw_waiting()}
    assert back == {given[number].task_id for number in (1, 3, 5)}
    assert one.takes() is two.takes() is None


def test_a_child_that_goes_on_while_it_is_taken_back_from_runs_nothing_twice(stage: Stage) -> None:
    stage.knows_bodies_are_short()
    given = claims(6)
    stage.pool.submit(given)
    stage.turn()
    one, _ = stage.children
    assert one.takes() == given[0]
    one.ends()
    assert one.takes() == given[2], "the worker has not heard of the first one's end"
    assert not stage.pool.withdraw(given[2].task_id)
    assert stage.pool.has(given[2].task_id)
    stage.turn()
    assert stage.ended() == [given[0]]
    assert given[2] in [claim for claim, _ in stage.pool.running()]
    one.ends()
    stage.turn()
    assert stage.ended() == [given[0], given[2]]


def test_a_signal_for_one_task_meets_no_other(stage: Stage) -> None:
    stage.knows_bodies_are_short()
    given = claims(4)
    stage.pool.submit(given)
    stage.turn()
    one, _ = stage.children
    assert one.takes() == given[0]
    one.ends()
    assert one.takes() == given[2]
    assert not stage.pool.terminate(given[0].task_id, "SIGTERM"), "it has ended"
    assert stage.server.sent == []
    assert stage.pool.terminate(given[2].task_id, "SIGTERM")
    assert stage.server.sent == [(one.pid, signal.SIGTERM)]
    stage.pool.submit(claims(5))
    stage.turn()
    one.ends()
    assert one.takes() is None, "the signal is on its way"


def test_what_was_given_and_not_taken_is_withdrawn_and_no_wish_is_needed(stage: Stage) -> None:
    """A wish would come before its task, and be forgotten."""
    given = claims(1)
    stage.pool.submit(given)
    stage.turn()
    assert stage.pool.load() == (0, 1)
    assert stage.pool.withdraw(given[0].task_id)
    assert stage.pool.load() == (0, 0)
    stage.turn()
    assert [child.takes() for child in stage.children] == [None, None]


def test_terminate_of_what_was_not_taken_kills_nobody(stage: Stage) -> None:
    given = claims(1)
    stage.pool.submit(given)
    stage.turn()
    assert not stage.pool.terminate(given[0].task_id, "SIGTERM")
    assert stage.server.sent == []
    assert stage.pool.has(given[0].task_id), "it waits, and can be withdrawn"
    assert stage.pool.withdraw(given[0].task_id)


@pytest.mark.parametrize("verb", ["withdraw", "terminate"])
def test_the_main_thread_is_woken_when_a_child_was_taken_back_from(stage: Stage, verb: str) -> None:
    """Else a child that has become free meanwhile would wait beside work."""
    given = claims(1)
    stage.pool.submit(given)
    stage.turn()
    stage.pool._waker.clear()
    getattr(stage.pool, verb)(*[given[0].task_id, "SIGTERM"][: 1 + (verb == "terminate")])
    assert stage.pool._waker._woken


def test_a_wish_names_the_task_that_it_is_about(stage: Stage) -> None:
    given = claims(1)
    stage.pool.submit(given)
    stage.turn()
    child = stage.children[0]
    assert child.takes() == given[0]
    stage.pool.revoke(given[0].task_id)
    assert list(child.link.receive()) == [Revoke(child.number)]


@pytest.mark.parametrize("stage", [{"soft_time_limit": 0.01}], indirect=True)
def test_while_a_soft_limit_s_signal_is_on_its_way_nothing_else_is_given(stage: Stage) -> None:
    stage.knows_bodies_are_short()
    given = claims(3)
    stage.pool.submit(given)
    stage.turn()
    one, two = stage.children
    assert [one.takes(), two.takes()] == given[:2]
    time.sleep(0.011)
    stage.turn()
    assert stage.server.sent == [(one.pid, signal.SIGUSR1), (two.pid, signal.SIGUSR1)]
    one.ends()
    stage.turn()
    assert one.takes() is None
    assert stage.pool.load() == (1, 1)
    stage.turn(Signalled(one.pid))
    assert one.takes() == given[2]


def test_a_child_s_death_costs_the_task_that_it_ran(stage: Stage) -> None:
    stage.knows_bodies_are_short()
    given = claims(6)
    stage.pool.submit(given)
    stage.turn()
    one, two = stage.children
    assert one.takes() == given[0]
    one.ends()
    assert one.takes() == given[2]
    stage.turn(Exited(one.pid, "signal SIGSEGV"))
    assert stage.ended() == [given[0]], "its last words count"
    died = [event for event in stage.events if isinstance(event, Died)]
    assert [event.claim for event in died] == [given[2]]
    assert [two.takes(), two.takes()] == [given[1], given[3]]
    later = stage.children[2].takes(), two.takes()
    assert set(later) <= {given[4], given[5]}
    assert any(later)


def test_a_child_that_dies_before_it_takes_anything_costs_nothing(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    given = claims(1)
    stage.pool.submit(given)
    stage.turn()
    one, two = stage.children
    stage.turn(Exited(one.pid, "exit code 1"))
    assert two.takes() == given[0]
    assert stage.events == []
    assert "ended while idle" in caplog.text


def test_a_child_that_cannot_be_understood_gets_nothing_more(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.knows_bodies_are_short()
    given = claims(4)
    stage.pool.submit(given)
    stage.turn()
    one, _ = stage.children
    assert one.takes() == given[0]
    one.link._stream.sendall(b"\xff" * 10)
    stage.turn()
    assert stage.server.sent == [(one.pid, signal.SIGKILL)]
    assert "cannot be understood" in caplog.text
    assert one.takes() is None
    stage.turn(Exited(one.pid, "signal SIGKILL"))
    assert [event.claim for event in stage.events] == [given[0]]


def test_an_end_of_a_task_that_does_not_run_is_nonsense(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    given = claims(1)
    stage.pool.submit(given)
    stage.turn()
    child = stage.children[0]
    assert child.takes() == given[0]
    child.number += 7
    child.ends()
    stage.turn()
    assert stage.events == []
    assert stage.server.sent == [(child.pid, signal.SIGKILL)]
    assert "does not run" in caplog.text


def test_what_a_child_that_is_of_no_use_any_more_was_given_goes_to_another(stage: Stage) -> None:
    stage.knows_bodies_are_short()
    given = claims(4)
    stage.pool.submit(given)
    stage.turn()
    one, two = stage.children
    assert one.takes() == given[0]
    one.ends(fit=False)
    stage.turn()
    assert one.takes() is None
    assert [two.takes() for _ in range(3)] == [given[1], given[3], given[2]]


@pytest.mark.parametrize("words", [struct.pack("!I", 0), struct.pack("!I", 3) + b"\x80\x05K"])
def test_words_that_are_none_are_nonsense_too(stage: Stage, words: bytes) -> None:
    """What is cut off raises EOFError when it is loaded, which does not mean that the child is gone."""
    stage.pool.submit(claims(1))
    stage.turn()
    child = stage.children[0]
    child.takes()
    child.link._stream.sendall(words)
    stage.turn()
    assert stage.server.sent == [(child.pid, signal.SIGKILL)]


def test_a_child_whose_words_are_swallowed_is_not_waited_for(stage: Stage) -> None:
    """Its body has announced a long message: every end that it tells from here on seems part of that."""
    stage.knows_bodies_are_short()
    given = claims(4)
    stage.pool.submit(given)
    stage.turn()
    one, _ = stage.children
    assert one.takes() == given[0]
    one.link._stream.sendall(struct.pack("!I", 1_000_000))
    one.ends()
    assert one.takes() == given[2]
    one.ends()
    time.sleep(OVERTAKEN_AFTER)
    stage.turn()
    assert stage.server.sent == [(one.pid, signal.SIGKILL)]
    assert (stage.pool._patience() or 0) > 0.001, "and the worker does not spin meanwhile"


@pytest.mark.parametrize("stage", [{"least": 1, "concurrency": 3}], indirect=True)
def test_who_was_idle_for_longest_ends_first_and_one_stays(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.pool._spawn()
    stage.turn()
    one, two, three = stage.children
    now = time.monotonic()
    for child, idle in ((one, 11.0), (two, 9.0), (three, 5.0)):
        stage.pool._children[child.pid].idle_since = now - idle
    stage.turn()
    assert list(one.link.receive()) == [None]
    assert not list(two.link.receive())
    assert stage.pool._patience() == pytest.approx(1.0, abs=0.5)
    stage.pool._children[two.pid].idle_since = now - 20
    stage.pool._children[three.pid].idle_since = now - 20
    stage.turn()
    ended = [child for child in (two, three) if list(child.link.receive())]
    assert len(ended) == 1
    assert stage.pool._patience() is None, "there is nobody left to wait for"


@pytest.mark.parametrize("stage", [{"soft_time_limit": 5.0}], indirect=True)
def test_a_limit_counts_from_its_own_task_s_beginning(stage: Stage) -> None:
    stage.knows_bodies_are_short()
    given = claims(4)
    stage.pool.submit(given)
    stage.turn()
    child = stage.children[0]
    assert child.takes() == given[0]
    time.sleep(0.02)
    child.ends()
    ended = time.monotonic()
    assert child.takes() == given[2]
    stage.turn()
    assert stage.pool._children[child.pid].soft_at == pytest.approx(ended + 5.0, abs=0.01)


@pytest.mark.parametrize(
    "stage", [{"max_tasks_per_child": 5}, {"max_memory_per_child": 2**30}], indirect=True
)
def test_where_each_task_may_be_a_child_s_last_none_is_given_ahead(stage: Stage) -> None:
    stage.knows_bodies_are_short()
    stage.pool.submit(claims(4))
    stage.turn()
    assert stage.children[0].takes()
    assert stage.children[0].takes() is None


def test_large_arguments_are_not_given_ahead(stage: Stage) -> None:
    stage.knows_bodies_are_short()
    given = [claim._replace(args=f'["{"x" * 100_000}"]') for claim in claims(4)]
    stage.pool.submit(given)
    stage.turn()
    assert [child.takes() for child in stage.children] == given[:2]
    assert [child.takes() for child in stage.children] == [None, None]


def test_what_was_abandoned_is_neither_run_nor_told(stage: Stage) -> None:
    stage.knows_bodies_are_short()
    given = claims(6)
    stage.pool.submit(given)
    stage.turn()
    one, two = stage.children
    assert one.takes() == given[0]
    stage.pool.abandon()
    assert one.takes() is two.takes() is None
    assert stage.server.sent == [(one.pid, signal.SIGKILL)], "the other one has nothing"
    one.ends()
    stage.turn(Exited(one.pid, "signal SIGKILL"))
    assert stage.events == []
    assert stage.pool.load() == (0, 0)


def test_what_a_thread_says_after_its_body_s_end_is_not_the_next_task_s(stage: Stage) -> None:
    stage.knows_bodies_are_short()
    given = claims(4)
    stage.pool.submit(given)
    stage.turn()
    child = stage.children[0]
    assert child.takes() == given[0]
    first = child.number
    child.ends()
    assert child.takes() == given[2]
    child.link.send(Told(first, Report(current=7.0)))
    child.link.send(Told(child.number, Report(current=1.0)))
    stage.turn()
    told = [event for event in stage.events if isinstance(event, Reported)]
    assert [(event.claim, event.report.current) for event in told] == [(given[2], 1.0)]


# More or fewer children, while it runs


def told_to_end(stage: Stage) -> list[bool]:
    """Of each child, whether it was told to end after what it runs."""
    return [None in child.hears() for child in stage.children]


def exits(stage: Stage, child: Child) -> None:
    child.link.close()
    stage.turn(Exited(child.pid, "exit code 0"))


def test_grown_it_has_more_children_at_once(stage: Stage) -> None:
    stage.pool.resize(4)
    stage.turn()
    stage.turn()
    given = claims(4)
    stage.pool.submit(given)
    stage.turn()
    assert {child.takes() for child in stage.children} == set(given)


def test_shrunk_it_ends_idle_children_first_and_lets_bodies_end(stage: Stage) -> None:
    first, second = claims(2)
    stage.pool.submit([first])
    stage.turn()
    busy, idle = stage.children
    assert busy.takes() == first
    stage.pool.resize(1)
    stage.turn()
    assert told_to_end(stage) == [False, True]
    exits(stage, idle)
    assert len(stage.children) == 2, "nobody takes its place"
    stage.pool.submit([second])
    busy.ends()
    stage.turn()
    assert busy.takes() == second
    assert stage.ended() == [first]


def test_busy_child_too_many_gives_back_what_it_has_not_begun(stage: Stage) -> None:
    stage.knows_bodies_are_short()
    given = claims(4)
    stage.pool.submit(given)
    stage.turn()
    one, two = stage.children
    assert [one.takes(), two.takes()] == given[:2]
    stage.pool.resize(1)
    stage.turn()
    leaves, stays = (one, two) if told_to_end(stage)[0] else (two, one)
    leaves.ends()
    assert leaves.takes() is None, "what was ahead there waits for the other"
    stage.turn()
    assert len(stage.ended()) == 1
    for _ in range(3):
        stays.ends()
        stage.turn()
        stays.takes()
    assert set(stage.ended()) == set(given)


def test_child_that_comes_when_it_is_one_too_many_ends_at_once(stage: Stage) -> None:
    stage.pool.resize(3)
    stage.pool._take_turn([])  # asked for, and not there yet
    stage.pool.resize(2)
    stage.pool._take_turn([])
    stage.turn()
    assert sum(told_to_end(stage)) == 1


def test_child_that_is_lost_is_replaced_while_one_too_many_still_runs(stage: Stage) -> None:
    given = claims(2)
    stage.pool.submit(given)
    stage.turn()
    for child in stage.children:
        child.takes()
    stage.pool.resize(1)
    stage.turn()
    stays = stage.children[told_to_end(stage).index(False)]
    stays.link.close()
    stage.turn(Exited(stays.pid, "signal SIGKILL"))
    assert len(stage.children) == 3, "the one that ends takes nothing more"


@pytest.mark.parametrize("stage", [{"least": 0}], indirect=True)
def test_grown_it_starts_more_only_when_there_is_more_to_do(stage: Stage) -> None:
    stage.pool.resize(3)
    stage.turn()
    assert len(stage.children) == 2
    stage.pool.submit(claims(5))
    stage.turn()
    stage.turn()
    assert len(stage.children) == 3


# An end that the child waits for, because somebody wants to be told of it


def waiting(stage: Stage, count: int = 6) -> tuple[Child, list[Claim]]:
    """A child that has ended the first of these claims and waits, and was given others behind it."""
    stage.knows_bodies_are_short()
    given = claims(count)
    stage.pool.submit(given)
    stage.turn()
    one = stage.children[0]
    assert one.takes() == given[0]
    one.ends(waits=True)
    stage.turn()
    return one, given


def test_a_child_that_waits_is_told_when_its_end_is_committed(stage: Stage) -> None:
    one, given = waiting(stage)
    (finished,) = stage.events
    assert isinstance(finished, Finished)
    assert finished.waits
    assert one.hears() == [], "nobody knows yet"
    stage.pool.acknowledge(given[0], written=True)
    assert one.hears() == [Settled(one.number, True)]
    one.link.send(Rested(one.number))
    stage.turn()
    assert stage.events[1:] == [Free(given[0])]


def test_a_child_that_waits_runs_nothing_meanwhile_and_what_it_had_goes_to_others(
    stage: Stage,
) -> None:
    one, given = waiting(stage)
    two = stage.children[1]
    ended = [two.takes()]
    while ended[-1]:
        two.ends()
        stage.turn()
        ended.append(two.takes())
    assert set(ended[:-1]) == set(given[1:]), "all but the first have run there"
    assert one.takes() is None
    assert stage.pool.load() == (0, 1), "it is busy"
    stage.pool.submit(more := claims(3))
    stage.turn()
    assert one.takes() is None
    stage.pool.acknowledge(given[0], written=False)
    assert one.hears() == [Settled(one.number, False)]
    assert two.takes() == more[0]
    one.link.send(Rested(one.number))
    stage.turn()
    stage.pool.submit(last := claims(1))
    stage.turn()
    assert one.takes() == last[0], "it takes others again"


def test_an_end_that_was_told_is_not_killed_for(stage: Stage) -> None:
    _, given = waiting(stage)
    assert not stage.pool.terminate(given[0].task_id, "SIGTERM")
    assert not stage.pool.has(given[0].task_id)
    assert stage.server.sent == []


def test_a_child_that_dies_while_it_tells_costs_no_task(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    one, given = waiting(stage, count=1)
    stage.pool.acknowledge(given[0], written=True)
    stage.turn(Exited(one.pid, "signal SIGSEGV"))
    assert stage.events[1:] == [Free(given[0])]
    assert "ended while the end of" in caplog.text
    assert stage.pool.load() == (0, 0)
    stage.pool.acknowledge(given[0], written=True)  # late: it is gone


def test_a_worn_child_tells_before_it_ends(stage: Stage) -> None:
    stage.pool.submit(given := claims(1))
    stage.turn()
    one = stage.children[0]
    one.takes()
    one.ends(fit=False, waits=True)
    stage.turn()
    stage.pool.acknowledge(given[0], written=True)
    assert one.hears() == [None, Settled(one.number, True)]
    one.link.send(Rested(one.number))
    stage.turn(Exited(one.pid, "exit code 0"))
    assert stage.events[1:] == [Free(given[0])]
    assert len(stage.children) == 3, "it is replaced at once"


def test_what_is_abandoned_while_it_is_told_ends(stage: Stage) -> None:
    one, given = waiting(stage, count=1)
    stage.pool.abandon()
    assert stage.server.sent == [(one.pid, signal.SIGKILL)]
    assert stage.pool.load() == (0, 0)
    one.link.send(Rested(one.number))
    stage.turn(Exited(one.pid, "signal SIGKILL"))
    assert stage.ended() == given
    assert len(stage.events) == 1


@pytest.mark.parametrize("stage", [{"time_limit": 0.02}], indirect=True)
def test_telling_has_the_time_limit_of_its_task(stage: Stage) -> None:
    one, given = waiting(stage, count=1)
    time.sleep(0.03)
    stage.turn()
    assert stage.server.sent == [], "it only waits"
    stage.pool.acknowledge(given[0], written=True)
    time.sleep(0.03)
    stage.turn()
    assert stage.server.sent == [(one.pid, signal.SIGKILL)]


@pytest.mark.parametrize("stage", [{"least": 1}], indirect=True)
def test_a_child_that_tells_is_not_idle(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = waiting(stage, count=1)
    monkeypatch.setattr(prefork, "_KEEP_IDLE", 0.0)
    stage.turn()
    assert one.hears() == []
    assert stage.children[1].hears() == [None], "the other one is"


def test_an_end_that_nobody_has_told_is_nonsense(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    one, _ = waiting(stage, count=1)
    one.link.send(Rested(one.number + 7))
    stage.turn()
    assert stage.server.sent == [(one.pid, signal.SIGKILL)]
    assert "an end that it has not told" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_the_pool_and_a_child_understand_each_other(stage: Stage) -> None:
    """Ends that are waited for, one after the other, with the child's own code at the other end."""
    stage.knows_bodies_are_short()
    one, two = stage.pool._children.values()
    stage.pool._retire(two)
    given = [claim._replace(name=tasks.echo.name) for claim in claims(5)]
    refused = given[2]
    stage.pool.submit(given)
    ended: list[str] = []

    def serve() -> None:
        deadline = time.monotonic() + 10
        while len([event for event in stage.events if isinstance(event, Free)]) < len(given):
            assert time.monotonic() < deadline
            seen = len(stage.events)
            stage.turn()
            for event in stage.events[seen:]:
                if isinstance(event, Finished):
                    ended.append(str(event.claim.task_id))
                    stage.pool.acknowledge(event.claim, written=event.claim != refused)
        stage.pool._retire(one)

    played = stage.children[0]
    handler = signal.getsignal(SOFT_LIMIT_SIGNAL)
    worker = threading.Thread(target=serve)
    try:
        with listening(signals.task_postrun) as heard:
            worker.start()
            RealChild(played.link, played.inbox, "w1@host").main()
            worker.join(10)
    finally:
        signal.signal(SOFT_LIMIT_SIGNAL, handler)
    assert ended == [str(claim.task_id) for claim in given]
    assert [one.given["task_id"] for one in heard] == [
        task_id for task_id in ended if task_id != str(refused.task_id)
    ]
    assert stage.pool.load() == (0, 0)
