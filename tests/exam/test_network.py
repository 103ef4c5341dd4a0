"""A network between workers and their server that resets, swallows, delays and loses replies."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import psutil
import pytest
from django.db import DatabaseError, InterfaceError, connection, transaction

from django_tasktrack import AsyncResult
from django_tasktrack.exceptions import DuplicateTaskId
from django_tasktrack.ids import new_id
from django_tasktrack.transitions import Answer
from tests import databases, invariants, ledger
from tests.app import tasks
from tests.exam import load, servers
from tests.exam.proxy import Proxy
from tests.exam.report import Figures
from tests.exam.test_database import (
    beyond_one,
    lived_through,
    most_errors_a_second,
    say_little,
    workers,
)
from tests.workers import lives, wait_until, worker


def through(network: Proxy) -> dict[str, str]:
    """The environment of a worker behind the proxy, which knows statements by their text."""
    return {databases.POSTGRES: network.url(), databases.UNPREPARED: "1"}


@pytest.mark.case(19)
@pytest.mark.long
def test_connections_that_are_reset_every_second(
    network: Proxy, book: Path, figures: Figures
) -> None:
    with workers(2, env=through(network)) as running:
        results = load.put(1000, seed=19)
        ended = threading.Event()
        threading.Thread(target=_reset_until, args=(network, ended), daemon=True).start()
        try:
            wait_until(load.is_done, timeout=90)
        finally:
            ended.set()
        assert lived_through(running)
        say_little(running)
    figures["resets: lost"] = load.lost(results)
    figures["resets: runs beyond one"] = beyond_one(book)
    assert (figures["resets: lost"], figures["resets: runs beyond one"]) == (0, 0)
    invariants.check([result.id for result in results], book)


def _reset_until(network: Proxy, ended: threading.Event) -> None:
    while not ended.wait(1):
        network.reset()


@pytest.mark.case(19)
@pytest.mark.long
def test_a_black_hole_of_30_seconds(network: Proxy, book: Path, figures: Figures) -> None:
    """One worker is cut off and finds out by itself; the other one ends its tasks meanwhile: what it held is
    all that may run again."""
    with workers(1, env=through(network)) as (cut_off,), worker("-n", "other"):
        results = load.put(600, seed=20)
        wait_until(lambda: load.ended(book) > 50)
        network.swallow = True
        began, in_flight = time.monotonic(), load.held_by([cut_off])
        wait_until(load.is_done, timeout=28)
        figures["black hole: others done in, s"] = round(time.monotonic() - began, 1)
        wait_until(lambda: "does not do its part" in cut_off.output, timeout=20)
        time.sleep(max(0.0, began + 30 - time.monotonic()))
        network.swallow = False
        network.reset()
        opened = time.monotonic()
        wait_until(lambda: cut_off.row and cut_off.row.condition == "alive", timeout=15)
        figures["black hole: back after, s"] = round(time.monotonic() - opened, 1)
        say_little([cut_off])
    figures["black hole: lost"] = load.lost(results)
    figures["black hole: in flight"] = len(in_flight)
    figures["black hole: runs beyond one"] = beyond_one(book)
    assert figures["black hole: lost"] == 0
    assert in_flight, "else nothing was in flight"
    assert not load.unexplained(load.runs_beyond_one(book), in_flight)
    invariants.check([result.id for result in results], book)


@pytest.mark.case(19)
@pytest.mark.long
def test_the_bodies_of_a_worker_that_is_cut_off_end_with_its_lease(
    network: Proxy, book: Path, figures: Figures
) -> None:
    """Others may run them by then; it does not wait for the database to tell it so."""
    task = tasks.noted.delay(1, seconds=60)
    with worker("-c", "1", env=through(network)) as cut_off:
        wait_until(lambda: ledger.read(book))
        body = psutil.Process(ledger.read(book)[0].pid)
        network.swallow = True
        began = time.monotonic()
        wait_until(lambda: not lives(body), timeout=20)
        figures["black hole: bodies ended after, s"] = round(time.monotonic() - began, 1)
        assert "This worker was lost" in cut_off.output
        assert figures["black hole: bodies ended after, s"] < 9
        network.swallow = False
        network.reset()
    with worker("-c", "1", tasktrack={"GRACE": 0}):
        wait_until(lambda: task.worker is not None and len(ledger.read(book)) == 2)
    invariants.check([task.id], book)


@pytest.mark.case(19)
@pytest.mark.long
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_a_worker_stops_in_a_black_hole(
    busy: bool, network: Proxy, book: Path, figures: Figures
) -> None:
    """Within its grace, and a lease more for the statement that hangs; a few seconds are for last words:
    one for the engine's, one of patience, two for the row's, and one for a busy machine."""
    grace, lease = 1, 5
    times = {"GRACE": grace, "LEASE": lease}
    with worker("-c", "1", env=through(network), tasktrack=times) as stopping:
        tasks.add.delay(1, 1).get(timeout=20)
        if busy:
            running = tasks.noted.delay(1, seconds=60)
            wait_until(lambda: running.state == "STARTED")
        network.swallow = True
        time.sleep(0.5)  # now a statement hangs, if there is something to ask
        began = time.monotonic()
        stopping.terminate()
        assert stopping.wait(30) == 0
        stopped = time.monotonic() - began
    figures[f"black hole: stopped after, s, {'busy' if busy else 'idle'}"] = round(stopped, 1)
    assert stopped < grace + lease + 5


@pytest.mark.case(19)
@pytest.mark.long
def test_a_slow_network(network: Proxy, book: Path, figures: Figures) -> None:
    network.delay = 0.15  # each way
    with workers(2, env=through(network)) as running:
        results = load.put(100, seed=21)
        wait_until(load.is_done, timeout=90)
        assert max(map(most_errors_a_second, running)) == 0
    figures["+300 ms: lost"] = load.lost(results)
    figures["+300 ms: runs beyond one"] = beyond_one(book)
    assert (figures["+300 ms: lost"], figures["+300 ms: runs beyond one"]) == (0, 0)
    invariants.check([result.id for result in results], book)


class _EverySo:
    """Dooms each nth of the messages that carry a mark."""

    def __init__(self, mark: bytes, nth: int) -> None:
        self._mark = mark
        self._nth = nth
        self._seen = 0

    def __call__(self, data: bytes) -> bool:
        if self._mark not in data:
            return False
        self._seen += 1
        return self._seen % self._nth == 0


#: What tells the statement of a verb from others.
_VERBS = {"claim": b"picked AS MATERIALIZED", "write": b"old_seq + 1 + l.begins"}


def _lose(network: Proxy, verb: str, count: int, book: Path, figures: Figures) -> None:
    """Work off a load while every third reply to one statement gets lost, until so many were."""
    network.drop_replies_to(_EverySo(_VERBS[verb], 3))
    ids: list[str] = []
    with workers(2, env=through(network)):
        for _ in range(10 * count):
            if network.dropped >= count:
                break
            ids += [result.id for result in load.put(40, seed=len(ids))]
            wait_until(load.is_done, timeout=60)
        network.drop_replies_to(None)
    assert network.dropped >= count, "the proxy does not know the statement"
    figures[f"{verb}: replies lost"] = network.dropped
    figures[f"{verb}: runs beyond one"] = beyond_one(book)
    assert figures[f"{verb}: runs beyond one"] == 0
    stories = Counter(" ".join(row.state for row in AsyncResult(pk).history()) for pk in ids)
    # A claim that was not heard of goes back; where its beginning was committed, history tells.
    released = "PENDING STARTED PENDING STARTED SUCCESS"
    assert set(stories) <= {"PENDING STARTED SUCCESS", released}, stories
    invariants.check(ids, book)


@pytest.mark.case(20)
@pytest.mark.parametrize("verb", _VERBS)
def test_a_few_lost_replies(verb: str, network: Proxy, book: Path, figures: Figures) -> None:
    _lose(network, verb, 3, book, figures)


@pytest.mark.case(20)
@pytest.mark.long
@pytest.mark.parametrize("verb", _VERBS)
def test_a_hundred_lost_replies(verb: str, network: Proxy, book: Path, figures: Figures) -> None:
    _lose(network, verb, 100, book, figures)


@pytest.mark.case(20)
def test_a_label_whose_reply_is_lost_is_told_once(network: Proxy) -> None:
    network.drop_replies_to(_EverySo(b"PROGRESS", 1))
    labelled = tasks.labelled.delay()
    with worker(env=through(network)):
        wait_until(lambda: network.dropped >= 2)
        network.drop_replies_to(None)
        labelled.get(timeout=20)
    story = [row.label or row.state for row in labelled.history()]
    assert story == ["PENDING", "STARTED", "PROGRESS", "SUCCESS"]


@pytest.mark.case(20)
@pytest.mark.parametrize("calls", [20, pytest.param(200, marks=pytest.mark.long)])
def test_callers_whose_commit_is_not_answered(calls: int, network: Proxy, figures: Figures) -> None:
    """Every other one, though it was done: who asks again is told so, and nothing is done twice."""
    ids = [new_id() for _ in range(calls)]
    with servers.moved_to(_as_settings(network)):
        network.drop_replies_to(_EverySo(b"COMMIT", 2))
        enqueues = [task_id for task_id in ids if _is_not_answered(_enqueue, task_id)]
        figures["enqueue: replies lost"] = network.dropped
        revokes = [task_id for task_id in ids if _is_not_answered(_revoke, task_id)]
        figures["revoke: replies lost"] = network.dropped - len(enqueues)
        network.drop_replies_to(None)
        for task_id in enqueues:
            with pytest.raises(DuplicateTaskId):
                _enqueue(task_id)
        assert {_revoke(task_id) for task_id in revokes} == {Answer.REFUSED}
    assert len(enqueues) == figures["enqueue: replies lost"] >= calls / 2
    assert len(revokes) == figures["revoke: replies lost"] >= calls / 2
    stories = Counter(" ".join(row.state for row in AsyncResult(pk).history()) for pk in ids)
    assert stories == {"PENDING REVOKED": calls}
    invariants.check([str(task_id) for task_id in ids])


def _as_settings(network: Proxy) -> dict[str, object]:
    return {"HOST": "127.0.0.1", "PORT": network.port, "OPTIONS": {"sslmode": "disable"}}


def _enqueue(task_id: UUID) -> None:
    with transaction.atomic():
        tasks.add.apply_async((1, 1), task_id=task_id)


def _revoke(task_id: UUID) -> Answer:
    return AsyncResult(task_id).revoke()


def _is_not_answered(call: Callable[[UUID], object], task_id: UUID) -> bool:
    try:
        call(task_id)
    except (DatabaseError, InterfaceError):
        connection.close()
        return True
    return False


@pytest.mark.case(23)
@pytest.mark.long
def test_pgbouncer_in_transaction_mode(scratch: Path, book: Path, figures: Figures) -> None:
    with (
        servers.pgbouncer(scratch, size=5) as url,
        workers(8, env={databases.POSTGRES: url}) as running,
    ):
        results = load.put(1000, seed=23)
        scheduled = tasks.noted.apply_async((1,), countdown=1)
        wait_until(load.is_done, timeout=120)
        assert sum(map(most_errors_a_second, running)) == 0
    results.append(scheduled)
    figures["lost"] = load.lost(results)
    figures["runs beyond one"] = beyond_one(book)
    assert (figures["lost"], figures["runs beyond one"]) == (0, 0)
    assert len(ledger.read(book)) == 2 * len(results)
    invariants.check([result.id for result in results], book)


@pytest.mark.case(15)
@pytest.mark.skipif(
    "connection.vendor != 'postgresql'", reason="the proxy speaks PostgreSQL's words"
)
@pytest.mark.parametrize("seconds", [1.5, pytest.param(4.0, marks=pytest.mark.long)])
def test_sigterm_while_a_worker_that_starts_gets_no_answer(seconds: float, network: Proxy) -> None:
    network.swallow = True
    with worker(env=through(network), wait=False) as starting:
        time.sleep(seconds)
        starting.terminate()
        assert starting.wait(5) in (0, -signal.SIGTERM)
        wait_until(lambda: not starting.tree(), timeout=3)
        assert "is ready" not in starting.output


@pytest.mark.case(15)
@pytest.mark.long
@pytest.mark.skipif(
    "connection.vendor != 'postgresql'", reason="the proxy speaks PostgreSQL's words"
)
def test_a_worker_that_gets_its_first_answer_late(network: Proxy, figures: Figures) -> None:
    """It either works then, or has ended with 1 and works when it is started again."""
    task = tasks.noted_process.delay(0)
    network.swallow = True
    with worker(env=through(network), wait=False) as starting:
        time.sleep(12)
        early = starting.process.poll()
        network.swallow = False
        network.reset()
        if early is None:
            wait_until(lambda: task.ready() or starting.process.poll() is not None, timeout=20)
        figures["late database: exit code"] = starting.process.poll()
        assert starting.process.poll() in (None, 1)
        assert task.ready() == (starting.process.poll() is None)
    with worker(env=through(network)):
        task.get(timeout=15)
