"""A database that goes away, refuses, or answers late."""

from __future__ import annotations

import io
import logging
import re
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

from django_tasktrack import AsyncResult, heartbeat, transitions
from django_tasktrack.engines.frontier import Frontier
from django_tasktrack.engines.trouble import Trouble
from django_tasktrack.management import logs
from django_tasktrack.models import StateChange, TrackedTask
from django_tasktrack.vendors import errors, task_database
from tests import databases, invariants, ledger
from tests.app import tasks
from tests.exam import load
from tests.exam.report import Figures
from tests.exam.servers import Server
from tests.factories import make_worker
from tests.inline import the_vendor
from tests.test_declaration import make_claim
from tests.workers import WorkerProcess, wait_until, worker

LOAD = 2000
TASKS, HISTORY = TrackedTask._meta.db_table, StateChange._meta.db_table
# That a worker was lost is said once, whatever else there is to say in that second.
_ERRORS = re.compile(
    r"^\[\S+ (\d\d:\d\d:\d\d),\d+: (?:ERROR|CRITICAL)(?!.*worker was lost).*$", re.MULTILINE
)
# The heartbeat's process has a connection of its own, and says so itself.
_WARNINGS = re.compile(
    r"^\[\S+ (\d\d:\d\d:\d\d),\d+: WARNING.*No sign of life can be given.*$", re.MULTILINE
)
_OVER = "The database is back after"


@contextmanager
def workers(count: int, **options: Any) -> Iterator[list[WorkerProcess]]:
    """So many workers with two children each, all of them up."""
    with ExitStack() as stack:
        started = [
            stack.enter_context(worker("-n", f"w{number}", "-c", "2", wait=False, **options))
            for number in range(count)
        ]
        wait_until(lambda: all(one.row for one in started), timeout=60, what="the workers' rows")
        yield started


def most_errors_a_second(running: WorkerProcess) -> int:
    """The second in which the worker's log has the most error lines: how many."""
    return len(_worst_second(running, _ERRORS))


def _worst_second(running: WorkerProcess, kind: re.Pattern[str]) -> list[str]:
    seconds: dict[str, list[str]] = defaultdict(list)
    for line in kind.finditer(running.output):
        seconds[line[1]].append(line[0])
    return max(seconds.values(), key=len, default=[])


def say_little(running: Iterable[WorkerProcess]) -> None:
    """Assert that each has told of the fault, no more often than once a second, that its heartbeat has not
    complained more often either, and that only what was said before is said to be over."""
    for one in running:
        for kind in (_ERRORS, _WARNINGS):
            worst = _worst_second(one, kind)
            assert len(worst) <= 1, worst
        said = len(_ERRORS.findall(one.output))
        assert said, "not a word of the fault"
        assert one.output.count(_OVER) <= said


def test_what_a_worker_says_of_its_database_is_found_in_its_log() -> None:
    """In its own words and in the format of its command: else silence would be all that is ever found."""
    shown = io.StringIO()
    handler = logging.StreamHandler(shown)
    handler.setFormatter(logs.OneLine(logs.FORMAT))
    handler.addFilter(logs.RunningTask())
    logger = logging.getLogger(logs.PACKAGE)
    logger.addHandler(handler)
    try:
        trouble, gone = Trouble(), OperationalError("gone\nDETAIL: no more")
        trouble.met(gone)
        trouble.over()
        heartbeat._Pulse(task_database(), 1.0)._hang_up(gone)
    finally:
        logger.removeHandler(handler)
    for kind in (_ERRORS, _WARNINGS):
        (line,) = kind.finditer(shown.getvalue())
        assert line[0].endswith(r"gone\nDETAIL: no more")
    assert shown.getvalue().count(_OVER) == 1


def lived_through(running: Iterable[WorkerProcess]) -> bool:
    """Whether each of these is what it was: none has given its tasks up."""
    return all(
        one.process.poll() is None and "This worker was lost" not in one.output for one in running
    )


def beyond_one(book: Path) -> int:
    return sum(load.runs_beyond_one(book).values())


def until_answers(seconds: float = 30) -> None:
    """Wait until this process can use the database again."""

    def answers() -> bool:
        try:
            connection.close()
            connection.ensure_connection()
        except (DatabaseError, InterfaceError):
            return False
        return True

    wait_until(answers, seconds, what="the server")


@pytest.mark.case(16)
@pytest.mark.long
def test_a_server_that_restarts_under_load(server: Server, book: Path, figures: Figures) -> None:
    with workers(4) as running:
        results = load.put(LOAD, seed=16)
        wait_until(lambda: load.ended(book) > 200)
        server.restart("fast")
        restarted, before = time.monotonic(), load.ended(book)
        until_answers()
        wait_until(lambda: load.ended(book) > before + 100, timeout=5)
        figures["working again, s"] = round(time.monotonic() - restarted, 1)
        wait_until(load.is_done, timeout=120)
        assert lived_through(running)
        say_little(running)
    figures["lost"] = load.lost(results)
    figures["runs beyond one"] = beyond_one(book)
    assert (figures["lost"], figures["runs beyond one"]) == (0, 0)
    invariants.check([result.id for result in results], book)


@pytest.mark.case(17)
@pytest.mark.long
def test_a_server_that_is_down_for_15_seconds(server: Server, book: Path, figures: Figures) -> None:
    """For longer than the workers' lease: what they held when it stopped is all that may run again."""
    unknown = 0
    with workers(4) as running:
        results = load.put(LOAD, seed=17)
        wait_until(lambda: load.ended(book) > 200)
        server.stop("immediate")
        down = time.monotonic()
        while time.monotonic() < down + 15:
            try:
                connection.close()
                results.append(tasks.noted.delay(-1))
            except (DatabaseError, InterfaceError):
                unknown += 1
            time.sleep(0.2)
        assert unknown > 10
        with load.standing_still(*running):  # else they are back before they can be looked at
            server.start()
            until_answers()
            in_flight = load.held_by(running)
        up, before = time.monotonic(), load.ended(book)
        wait_until(lambda: load.ended(book) > before + 20, timeout=10)
        figures["working again, s"] = round(time.monotonic() - up, 1)
        wait_until(load.is_done, timeout=120)
        figures["error lines a second"] = max(map(most_errors_a_second, running))
        say_little(running)
    figures["lost"] = load.lost(results)
    figures["false acknowledgements"] = len(results) - TrackedTask.objects.count()
    figures["in flight"] = len(in_flight)
    figures["runs beyond one"] = beyond_one(book)
    assert (figures["lost"], figures["false acknowledgements"]) == (0, 0)
    assert in_flight, "else nothing was in flight"
    assert not load.unexplained(load.runs_beyond_one(book), in_flight)
    invariants.check([result.id for result in results], book)


@pytest.mark.case(15)
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_sigterm_while_the_server_is_down(pool: str, request: pytest.FixtureRequest) -> None:
    if databases.kind() != "postgresql":
        pytest.skip("it stops a server of its own, which is PostgreSQL")
    server: Server = request.getfixturevalue("server")
    task = tasks.noted_process.delay(60)
    with worker("-P", pool, "-c", "2", tasktrack={"GRACE": 2}) as stopping:
        wait_until(lambda: task.state == "STARTED")
        server.stop("immediate")
        stopping.terminate()
        began = time.monotonic()
        assert stopping.wait(10) == 0
        assert time.monotonic() - began < 7
        assert not stopping.tree()
    server.start()
    until_answers()
    with worker():
        wait_until(lambda: task.history()[-1].attempt == 2, timeout=15)


@pytest.mark.case(15)
@pytest.mark.long
def test_workers_that_are_started_before_their_server(
    request: pytest.FixtureRequest, figures: Figures
) -> None:
    """They end by themselves or by SIGTERM, soon; the one that comes after the server works."""
    if databases.kind() != "postgresql":
        pytest.skip("it stops a server of its own, which is PostgreSQL")
    server: Server = request.getfixturevalue("server")
    task = tasks.noted_process.delay(0)
    server.stop("fast")
    ends: list[int] = []
    for delay in (0.3, 0.8, 1.3, None):
        with worker(wait=False) as starting:
            if delay is not None:
                time.sleep(delay)
                starting.terminate()
            ends.append(starting.wait(10))
            wait_until(lambda one=starting: not one.tree(), timeout=3)  # type: ignore[misc]
            if delay is None:
                assert "cannot be reached" in starting.output
    assert set(ends[:-1]) <= {0, 1, -signal.SIGTERM}
    assert ends[-1] == 1
    server.start()
    until_answers()
    with worker():
        task.get(timeout=15)
    assert [row.state for row in task.history()] == ["PENDING", "STARTED", "SUCCESS"]
    figures["before its server: exit codes"] = ", ".join(map(str, ends))


@pytest.mark.case(18)
@pytest.mark.long
def test_sessions_that_are_killed(server: Server, book: Path, figures: Figures) -> None:
    """Five a second for a minute, against 20 seconds without."""
    results: list[AsyncResult] = []
    with workers(4) as running:
        _work_off(results, book, seconds=3)
        undisturbed = _work_off(results, book, seconds=20)
        with _killing_sessions(server) as killed:
            disturbed = _work_off(results, book, seconds=60)
        wait_until(load.is_done, timeout=60)
        assert lived_through(running)
        say_little(running)
    figures["sessions killed"] = len(killed)
    figures["throughput, %"] = round(100 * disturbed / undisturbed)
    figures["lost"] = load.lost(results)
    figures["runs beyond one"] = beyond_one(book)
    assert (figures["lost"], figures["runs beyond one"]) == (0, 0)
    assert len(killed) > 200
    assert disturbed >= 0.7 * undisturbed, f"{disturbed:.0f} of {undisturbed:.0f} a second"
    invariants.check([result.id for result in results], book)


def _work_off(results: list[AsyncResult], book: Path, seconds: float) -> float:
    """Keep the workers busy for so long: tasks ended a second."""
    began, before = time.monotonic(), load.done(book)
    while time.monotonic() < began + seconds:
        if len(results) - load.ended(book) < 300:
            results += load.put(300, seed=len(results))
        time.sleep(0.1)
    return (load.done(book) - before) / (time.monotonic() - began)


@contextmanager
def _killing_sessions(server: Server) -> Iterator[list[int]]:
    """Any session of a worker's, five a second, while the block lasts: their numbers."""
    killed: list[int] = []
    ended = threading.Event()
    mine = connection.connection.info.backend_pid
    killing = threading.Thread(target=_kill_sessions, args=(server, mine, ended, killed))
    killing.start()
    try:
        yield killed
    finally:
        ended.set()
        killing.join(10)


def _kill_sessions(server: Server, mine: int, ended: threading.Event, killed: list[int]) -> None:
    url = server.url.replace("/exam", "/postgres")
    with psycopg.connect(url, autocommit=True) as administrator:
        while not ended.wait(0.2):
            rows = administrator.execute(
                "SELECT pid, pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity"
                " WHERE datname = 'exam' AND pid <> %s ORDER BY random() LIMIT 1) AS victim",
                [mine],
            )
            killed += [pid for pid, _ in rows.fetchall()]


def listeners() -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND query NOT LIKE 'UPDATE%heartbeat_at%'"
            " AND query LIKE '%tasktrack%'"
        )
        return [pid for (pid,) in cursor.fetchall()]


@pytest.mark.case(21)
def test_the_listening_session_is_killed(book: Path, figures: Figures) -> None:
    # Without a notification the next look is far away, so that only listening explains a quick start.
    waits: list[float] = []
    with worker("-c", "1", tasktrack={"POLL_MIN": 0.9, "POLL_MAX": 1}) as running:
        tasks.noted.delay(0).get(timeout=20)
        with connection.cursor() as cursor:
            for pid in wait_until(listeners):
                cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
        killed = time.monotonic()
        while time.monotonic() < killed + 5:
            result = tasks.noted.delay(1)
            result.get(timeout=10)
            enqueued, started = (row.at for row in result.history()[:2])
            waits.append((started - enqueued).total_seconds())
            time.sleep(0.3)
        assert running.process.poll() is None
    figures["longest wait, s"] = round(max(waits), 2)
    figures["wait once it listens again, s"] = round(max(waits[-3:]), 2)
    assert max(waits) < 2.5
    assert max(waits[-3:]) < 0.5


@pytest.mark.case(21)
@pytest.mark.long
def test_pick_up_while_the_listening_session_is_killed_again_and_again(
    book: Path, figures: Figures
) -> None:
    """Every two seconds for half a minute, at 20 tasks a second, which one child can do."""
    results: list[AsyncResult] = []
    killed = 0
    with worker("-c", "2") as running:
        tasks.noted.delay(0).get(timeout=20)
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < 30:
            if elapsed > 2 * (killed + 1):
                killed += 1
                for pid in wait_until(listeners):
                    _execute(f"SELECT pg_terminate_backend({pid})")
            results.append(tasks.noted.delay(1))
            time.sleep(0.05)
        wait_until(load.is_done, timeout=20)
        say_little([running])
    figures["sessions killed"] = killed
    figures["pick-up p99, s"] = round(_pickup_p99(results), 2)
    assert killed > 10
    assert figures["pick-up p99, s"] <= 1


@pytest.mark.case(22)
@pytest.mark.long
def test_a_server_that_is_read_only_for_a_while(book: Path, figures: Figures) -> None:
    """A worker whose lease outlasts it keeps every outcome."""
    results = load.put(400, seed=22)
    name = connection.ops.quote_name(str(connection.settings_dict["NAME"]))
    with workers(2, tasktrack={"LEASE": 30}) as running:
        wait_until(lambda: load.ended(book) > 50)
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        try:
            time.sleep(10)
        finally:
            with connection.cursor() as cursor:
                cursor.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
        wait_until(load.is_done, timeout=60)
        say_little(running)
        assert lived_through(running)
    figures["lost"] = load.lost(results)
    figures["read-only: runs beyond one"] = beyond_one(book)
    assert (figures["lost"], figures["read-only: runs beyond one"]) == (0, 0)
    invariants.check([result.id for result in results], book)


@pytest.mark.case(22)
@pytest.mark.long
def test_a_server_without_a_free_connection(server: Server, book: Path, figures: Figures) -> None:
    """Sixty seconds; the workers' leases outlast them, and so they keep every outcome."""
    taken: list[psycopg.Connection[Any]] = []
    with workers(2, tasktrack={"LEASE": 120}) as running:
        results = load.put(400, seed=22)
        wait_until(lambda: load.ended(book) > 50)
        ends = time.monotonic() + 60
        while time.monotonic() < ends:
            try:
                taken.append(psycopg.connect(server.url))
            except psycopg.OperationalError:  # now it is full: who is thrown out cannot come back
                _execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    f" WHERE pid IN ({', '.join(map(str, [0, *listeners()]))})"
                )
                time.sleep(0.02)
        assert any("too many clients" in one.output for one in running)
        for one in taken:
            one.close()
        freed = time.monotonic()
        wait_until(load.is_done, timeout=60)
        figures["after the exhaustion done in, s"] = round(time.monotonic() - freed, 1)
        say_little(running)
        assert lived_through(running)
    figures["lost"] = load.lost(results)
    figures["exhausted: runs beyond one"] = beyond_one(book)
    assert (figures["lost"], figures["exhausted: runs beyond one"]) == (0, 0)
    invariants.check([result.id for result in results], book)


_POSTGRESQL_TRIGGER = """
CREATE FUNCTION exam_fault() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN {body} RETURN NEW; END $$;
CREATE TRIGGER exam_fault BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION exam_fault()
"""


@contextmanager
def trigger(table: str, event: str, body: str, mysql: str, sqlite: str = "") -> Iterator[None]:
    """A trigger of the test's own before each row of an event, in the database's own words."""
    if connection.vendor == "postgresql":
        make = _POSTGRESQL_TRIGGER.format(table=table, event=event, body=body)
        drop = f"DROP TRIGGER exam_fault ON {table}; DROP FUNCTION exam_fault()"
    else:
        own = mysql if connection.vendor == "mysql" else sqlite
        make = f"CREATE TRIGGER exam_fault BEFORE {event} ON {table} FOR EACH ROW {own}"
        drop = "DROP TRIGGER exam_fault"
    _execute(make)
    try:
        yield
    finally:
        _execute(drop)


def _execute(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.mark.case(24)
@pytest.mark.parametrize(
    ("state", "number", "count"),
    [
        pytest.param("40P01", 1213, 100, id="1213"),
        pytest.param("40P01", 1213, 1000, id="1213, many", marks=pytest.mark.long),
        pytest.param("40001", 1205, 300, id="1205", marks=pytest.mark.long),
        pytest.param("40001", 1020, 300, id="1020", marks=pytest.mark.long),
    ],
)
def test_deadlocks_and_their_like_are_tried_again_in_silence(
    state: str, number: int, count: int, book: Path, figures: Figures
) -> None:
    # For each row: a statement of many must not fail more often than a worker keeps silent about.
    raising = f"IF random() < 0.02 THEN RAISE EXCEPTION 'forced' USING ERRCODE = '{state}'; END IF;"
    signal = (
        "BEGIN IF rand() < 0.02 THEN SIGNAL SQLSTATE '40001'"
        f" SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = 'forced'; END IF; END"
    )
    results = load.put(count, seed=number)
    with trigger(TASKS, "UPDATE", raising, signal), workers(2) as running:
        wait_until(load.is_done, timeout=60)
        surfaced = sum(len(_ERRORS.findall(one.output)) for one in running)
    figures["surfaced"] = surfaced
    figures["runs beyond one"] = beyond_one(book)
    assert (surfaced, figures["runs beyond one"]) == (0, 0)
    assert load.lost(results) == 0
    invariants.check([result.id for result in results], book)


@pytest.mark.case(25)
@pytest.mark.long  # the quick one, of the connection alone, is in test_guards.py
def test_a_database_that_is_serializable_by_default(book: Path, figures: Figures) -> None:
    name = connection.ops.quote_name(str(connection.settings_dict["NAME"]))
    _execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    try:
        connection.close()
        results = load.put(200, seed=25)
        with workers(2) as running, ThreadPoolExecutor(4) as callers:
            asked = [callers.submit(_call_in_transactions, 75) for _ in range(4)]
            answers = [each.result(120) for each in asked]
            wait_until(load.is_done, timeout=60)
            surfaced = sum(len(_ERRORS.findall(one.output)) for one in running)
    finally:
        _execute(f"ALTER DATABASE {name} RESET default_transaction_isolation")
        connection.close()
    for mine, again in answers:
        results += mine
        figures["calls tried again"] = figures.get("calls tried again", 0) + again
    figures["surfaced"] = surfaced
    figures["runs beyond one"] = beyond_one(book)
    assert (surfaced, figures["runs beyond one"]) == (0, 0)
    assert load.lost(results) == 0
    invariants.check([result.id for result in results], book)


def _call_in_transactions(count: int) -> tuple[list[AsyncResult], int]:
    """As a view does: each call in a transaction that looks at the tasks too.

    Returns:
        What was enqueued, and how often a transaction had to be tried again, which is its caller's to do.
    """
    results: list[AsyncResult] = []
    again = 0
    try:
        while len(results) < count:
            try:
                with transaction.atomic():
                    assert _told("SHOW transaction_isolation") == "serializable"
                    TrackedTask.objects.waiting().count()
                    result = tasks.noted.delay(len(results), 0.01)
                results.append(result)
            except OperationalError as error:
                if not errors.passes_by_itself(error):
                    raise
                again += 1
    finally:
        connection.close()
    return results, again


def _told(sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


@pytest.mark.case(26)
@pytest.mark.long
def test_a_table_that_is_locked_for_30_seconds(book: Path, figures: Figures) -> None:
    results = load.put(400, seed=26)
    lock, unlock = {
        "postgresql": (f"BEGIN; LOCK TABLE {TASKS}", "COMMIT"),
        "mysql": (f"LOCK TABLES {TASKS} WRITE", "UNLOCK TABLES"),
    }[connection.vendor]
    with workers(2) as running:
        wait_until(lambda: load.ended(book) > 50)
        _execute(lock)
        try:
            time.sleep(30)
        finally:
            _execute(unlock)
        freed = time.monotonic()
        wait_until(load.is_done, timeout=60)
        figures["after the lock done in, s"] = round(time.monotonic() - freed, 1)
        say_little(running)
    figures["lost"] = load.lost(results)
    figures["runs beyond one"] = beyond_one(book)
    assert (figures["lost"], figures["runs beyond one"]) == (0, 0)
    invariants.check([result.id for result in results], book)


@pytest.mark.case(26)
def test_a_worker_stops_in_time_while_the_table_is_locked() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("one database is enough for what the engine does with an error")
    with worker(tasktrack={"GRACE": 1, "LEASE": 30}) as stopping:
        _execute(f"BEGIN; LOCK TABLE {TASKS}")
        try:
            time.sleep(1)
            stopping.terminate()
            assert stopping.wait(8) == 0
        finally:
            _execute("COMMIT")


#: Tasks a second that are enqueued beside a session idle in its transaction.
RATE = 200


@pytest.mark.case(27)
@pytest.mark.long
def test_a_session_idle_in_its_transaction(book: Path, figures: Figures) -> None:
    """An old snapshot keeps dead rows alive; claims must not have to read through them."""
    results: list[AsyncResult] = []
    with workers(2):
        before = _under_load(results, seconds=20)
        with psycopg.connect(databases_url()) as idle:
            idle.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            idle.execute(f"SELECT count(*) FROM {TASKS}")
            meanwhile = _under_load(results, seconds=100)
            behind = _under_load(results, seconds=20)
        wait_until(load.is_done, timeout=60)
    rates = [measured.rate for measured in (before, meanwhile, behind)]
    figures["enqueued, tasks/s"] = round(min(rates))
    for name, measured in {"before": before, "after 120 s": behind}.items():
        figures[f"claim, median and p99, {name}, ms"] = (
            f"{1000 * measured.claim_median:.1f} and {1000 * measured.claim_p99:.1f}"
        )
        figures[f"pick-up p99 {name}, ms"] = round(1000 * measured.pickup_p99)
    assert min(rates) >= 0.95 * RATE, "this machine is too busy for the case"
    assert behind.claim_median <= 3 * before.claim_median
    assert behind.claim_p99 <= max(3 * before.claim_p99, 0.05)
    assert behind.pickup_p99 <= max(3 * before.pickup_p99, 0.5)
    invariants.check([result.id for result in results], book)


def databases_url() -> str:
    connection.ensure_connection()
    info = connection.connection.info
    return f"host={info.host} port={info.port} user={info.user} dbname={info.dbname}"


@dataclass(frozen=True, slots=True)
class Speed:
    """Tasks enqueued a second; seconds of a claim, and from enqueue to start."""

    rate: float
    claim_median: float
    claim_p99: float
    pickup_p99: float


def _under_load(results: list[AsyncResult], seconds: float) -> Speed:
    """At an even rate, with workers that do them; every fourth time a claim of our own beside theirs."""
    began, mine, claims = time.monotonic(), [], []
    me, frontier = make_worker().pk, Frontier()
    while (elapsed := time.monotonic() - began) < seconds:
        mine.append(tasks.noted.delay(0))
        if len(mine) % 4 == 0:
            claims.append(_seconds_of_a_claim(me, frontier, UUID(mine[-1].id)))
        time.sleep(max(0.0, len(mine) / RATE - elapsed))
    results += mine
    wait_until(load.is_done, timeout=60)
    claims.sort()
    return Speed(
        rate=len(mine) / elapsed,
        claim_median=claims[len(claims) // 2],
        claim_p99=claims[int(len(claims) * 0.99)],
        pickup_p99=_pickup_p99(mine),
    )


def _seconds_of_a_claim(me: int, frontier: Frontier, latest: UUID) -> float:
    """Of one that is not committed: its tasks are the workers'. It looks where they look, who have claimed
    the latest task by then."""
    with transaction.atomic():
        began, behind = time.monotonic(), frontier.start(time.monotonic())
        transitions.claim(the_vendor(), me, [], [tasks.noted.name], 10, behind=behind)
        taken = time.monotonic() - began
        transaction.set_rollback(True)
    frontier.learn([make_claim(task_id=latest)], more=False, behind=behind, seconds=taken)
    return taken


def _pickup_p99(results: Sequence[AsyncResult]) -> float:
    """The 99th percentile of enqueue to start, in seconds."""
    rows = TrackedTask.objects.filter(pk__in=[one.id for one in results])
    waits = sorted(
        (started - created).total_seconds()
        for created, started in rows.values_list("created_at", "started_at")
        if started
    )
    return waits[int(len(waits) * 0.99)]


@pytest.mark.case(29)
def test_a_change_without_its_history_is_no_change(book: Path, figures: Figures) -> None:
    """While history cannot be written no state changes; then all of it comes, and nothing runs twice."""
    said = "history is full"
    raising, signal, abort = _refusal("NEW.seq > 1", said)
    with workers(1) as (running,):
        with trigger(HISTORY, "INSERT", raising, signal, abort):
            tried = [tasks.noted.delay(number) for number in range(20)]
            wait_until(lambda: said in running.output)
            time.sleep(3)
            rows = TrackedTask.objects.values_list("state", "seq")
            assert set(rows) == {("PENDING", 1)}
            figures["error lines a second"] = most_errors_a_second(running)
            say_little([running])
        wait_until(load.is_done, timeout=20)
    figures["runs beyond one"] = beyond_one(book)
    assert figures["runs beyond one"] == 0
    assert load.lost(tried) == 0
    invariants.check([one.id for one in tried], book)


def _refusal(condition: str, said: str) -> tuple[str, str, str]:
    """A trigger's body that refuses rows, in three dialects."""
    postgresql = f"IF {condition} THEN RAISE EXCEPTION '{said}'; END IF;"
    signal = f"SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{said}'"
    mysql = f"BEGIN IF {condition} THEN {signal}; END IF; END"
    sqlite = f"WHEN {condition} BEGIN SELECT RAISE(ABORT, '{said}'); END"
    return postgresql, mysql, sqlite


@pytest.mark.case(29)
def test_an_end_that_can_never_be_written_is_a_failure(book: Path) -> None:
    said = "no such number"
    raising, signal, abort = _refusal("NEW.result IS NOT NULL", said)
    with trigger(TASKS, "UPDATE", raising, signal, abort), workers(1) as (running,):
        refused, other = tasks.noted.delay(7), tasks.fails.delay("as it should")
        wait_until(lambda: refused.ready() and other.ready())
        assert running.process.poll() is None
    assert (refused.state, refused.history()[-1].reason) == (
        "FAILURE",
        "its end could not be stored",
    )
    assert said in refused.history()[-1].error_message
    assert [entry.event for entry in ledger.read(book)] == ["began", "ended"]
    invariants.check([refused.id, other.id], book)
