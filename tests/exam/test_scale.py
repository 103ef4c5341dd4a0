"""Many tasks: in the table, through one worker, and from many processes on SQLite."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import combinations
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from django_tasktrack import enqueue_many, registry, transitions
from django_tasktrack.models import StateChange, TrackedTask
from django_tasktrack.purge import purge
from tests import databases, invariants, ledger
from tests.app import tasks
from tests.exam import load, servers
from tests.exam.report import Figures
from tests.factories import make_worker
from tests.inline import enqueue, the_vendor
from tests.test_query_plans import COLUMNS, TABLE, Plans
from tests.workers import ROOT, WorkerProcess, wait_until, worker

MILLION = 1_000_000


@pytest.fixture
def _two_million() -> Iterator[None]:
    """A million waiting and a million finished tasks, with a row of history each."""
    new = enqueue(name=tasks.add.name)
    kinds = (
        f"SELECT n, 'PENDING' AS state, 1 AS stage FROM generate_series(1, {MILLION}) n"
        f" UNION ALL SELECT n, 'SUCCESS', 4 FROM generate_series(1, {MILLION}) n"
    )
    values = {
        "id": "gen_random_uuid()",
        "queue": "'q' || n % 5",
        "priority": "n % 7",
        "state": "made.state",
        "stage": "made.stage",
        "created_at": "now() - n * interval '1 second'",
        "finished_at": "CASE WHEN made.stage = 4 THEN now() - n * interval '1 second' END",
    }
    chosen = ", ".join(values.get(column, f"task.{column}") for column in COLUMNS)
    history = [str(field.column) for field in StateChange._meta.concrete_fields]
    copied = ", ".join({"task_id": "task.id"}.get(column, f"first.{column}") for column in history)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {TABLE} ({', '.join(COLUMNS)}) SELECT {chosen}"
            f" FROM {TABLE} task CROSS JOIN ({kinds}) made WHERE task.id = '{new.task_id}'"
        )
        cursor.execute(
            f"INSERT INTO tasktrack_statechange ({', '.join(history)}) SELECT {copied}"
            f" FROM {TABLE} task, tasktrack_statechange first"
            f" WHERE first.task_id = '{new.task_id}' AND task.id <> first.task_id"
        )
        cursor.execute(f"VACUUM ANALYZE {TABLE}, tasktrack_statechange")
        yield
        cursor.execute(f"TRUNCATE {TABLE}, tasktrack_statechange")


@pytest.mark.case(53)
@pytest.mark.long
@pytest.mark.usefixtures("_two_million")
def test_a_million_waiting_and_a_million_finished(client: Client, figures: Figures) -> None:
    # The quietest of several series: other processes of the machine are not the question either.
    series = [_claim_seconds(rounds=100, limit=10) for _ in range(5)]
    p95 = min(statistics.quantiles(seconds, n=20)[18] for seconds in series)
    figures["claim of 10, p95, ms"] = round(1000 * p95, 1)
    plans = Plans()
    with connection.execute_wrapper(plans):
        _claim_seconds(rounds=1, limit=10)
    assert not plans.scanned
    client.force_login(User.objects.create_superuser("root"))
    pages = {
        "admin list, ms": "/admin/tasktrack/trackedtask/",
        "API list, ms": "/api/tasktrack/v1/tasks/",
        "API list of failures, ms": "/api/tasktrack/v1/tasks/?state=FAILURE",
    }
    for name, path in pages.items():
        figures[name] = round(1000 * min(_page_seconds(client, path) for _ in range(3)))
    assert figures["claim of 10, p95, ms"] <= 10
    assert figures["admin list, ms"] <= 500
    assert figures["API list, ms"] <= 200
    assert figures["API list of failures, ms"] <= 200


def _claim_seconds(rounds: int, limit: int) -> list[float]:
    vendor, worker_id, names = the_vendor(), make_worker().pk, registry.names()
    taken = []
    with connection.cursor() as cursor:  # how fast the disk is, is another question
        cursor.execute("SET synchronous_commit = off")
    for _ in range(rounds):
        began = time.perf_counter()
        claims = transitions.claim(vendor, worker_id, [], names, limit)
        taken.append(time.perf_counter() - began)
        assert len(claims) == limit
    return taken


def _page_seconds(client: Client, path: str) -> float:
    began = time.perf_counter()
    assert client.get(path).status_code == 200
    return time.perf_counter() - began


#: MariaDB's share is smaller: the portable vendor writes row by row, a round trip each.
COUNTS = {"postgresql": 100_000, "sqlite": 100_000, "mysql": 20_000}
BATCH = 10_000
#: How many sessions a server has with this database, by its own account.
SESSIONS = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND backend_type = 'client backend'",
    "mysql": "SELECT count(*) FROM information_schema.processlist WHERE db = DATABASE()",
}


@pytest.mark.case(54)
@pytest.mark.long
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_nothing_grows_in_a_worker(pool: str, figures: Figures) -> None:
    count = COUNTS[connection.vendor]
    with worker("-P", pool, "-c", "2", "-l", "WARNING") as running:
        _run(BATCH // 2)
        before, sessions = _measured(running), _sessions()
        began = time.monotonic()
        for _ in range(count // BATCH):
            _run(BATCH)
        speed = count / (time.monotonic() - began)
        after, sessions_after = _measured(running), _sessions()
    assert after.keys() == before.keys(), "the same processes"
    growth = max(after[pid][0] - before[pid][0] for pid in after) / 2**20
    figures |= {
        f"tasks ({pool})": count,
        f"growth, MiB ({pool})": round(growth, 1),
        f"tasks/s ({pool})": round(speed),
    }
    if sessions:
        figures[f"sessions before and after ({pool})"] = f"{sessions} and {sessions_after}"
    assert growth <= 10
    assert sessions_after <= sessions
    for pid, (_, descriptors, threads) in after.items():
        assert descriptors <= before[pid][1] + 1
        assert threads <= before[pid][2]
    invariants.check()


def _run(count: int) -> None:
    """Enqueue so many tasks, see them done, and delete them."""
    enqueue_many(tasks.echo, [((), {})] * count)
    wait_until(load.is_done, timeout=300, interval=0.2)
    assert sum(one.tasks for one in purge(older_than=0)) == count


def _sessions() -> int:
    """Sessions with the test database; 0 where there is no server to ask."""
    if connection.vendor not in SESSIONS:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(SESSIONS[connection.vendor])
        return int(cursor.fetchone()[0])


def _measured(running: WorkerProcess) -> dict[int, tuple[int, int, int]]:
    """Resident bytes, open descriptors and threads of each process."""
    return {
        process.pid: (process.memory_info().rss, process.num_fds(), process.num_threads())
        for process in running.tree()
    }


@pytest.mark.case(55)
@pytest.mark.long
def test_four_workers_and_four_producers_on_one_file(book: Path, figures: Figures) -> None:
    each = 1250
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        databases.NAME: str(connection.settings_dict["NAME"]),
    }
    with ExitStack() as stack:
        crew = [stack.enter_context(worker("-c", "2", "-n", f"w{n}")) for n in range(4)]
        producers = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.exam.producer", str(each)],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(4)
        ]
        wait_until(lambda: load.ended(book) > each, timeout=120)
        in_flight = load.kill_together(crew[:1], busy=True)
        told = [producer.communicate(timeout=240) for producer in producers]
        wait_until(load.is_done, timeout=240)
        logs = "".join(process.output for process in crew)
    acknowledged = [line for out, _ in told for line in out.split()]
    said = "\n".join([logs, *(errors for _, errors in told)])
    locked = [line for line in said.splitlines() if "is locked" in line]
    again = load.runs_beyond_one(book)
    figures |= {
        "tasks": len(acknowledged),
        "lost": len(acknowledged) - TrackedTask.objects.filter(state="SUCCESS").count(),
        "database is locked": len(locked),
        "in flight": len(in_flight),
        "runs beyond one": sum(again.values()),
    }
    assert [producer.returncode for producer in producers] == [0] * 4
    assert len(acknowledged) == 4 * each
    assert figures["lost"] == 0
    assert locked == []
    assert not load.unexplained(again, in_flight)
    invariants.check(acknowledged, book)


@pytest.mark.case(57)
@pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "asyncio"])
def test_a_worker_that_forks_after_it_has_connected_shares_no_connection(
    pool: str, book: Path, request: pytest.FixtureRequest
) -> None:
    """A project may ask the database while it is loaded: each process then has a session of its own.

    A file has no sessions to share; on SQLite this shows that everything works.
    """
    environment = {"TASKTRACK_TEST_CONNECT": "1"}
    if connection.vendor == "postgresql":  # the suite's own listens in a folder
        environment[databases.POSTGRES] = request.getfixturevalue("network").url()
    asking = tasks.noted.delay(1), tasks.reads_the_database.delay()
    with worker("-P", pool, "-c", "2", env=environment) as running:
        for task in asking:
            task.get(timeout=20)
        more = [tasks.reads_the_database.delay() for _ in range(50)]
        for result in more:
            result.get(timeout=20)
        if connection.vendor != "sqlite":
            # The heartbeat's process connects at its first beat: alone nobody could share anything.
            held = wait_until(lambda: _held_by_some(running), what="two that are connected")
            assert not _shared(held)
        assert "does not" not in running.output
    assert [entry.event for entry in ledger.read(book)] == ["began", "ended"]
    invariants.check([task.id for task in (*asking, *more)], book)


@pytest.mark.case(57)
@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="a file has no sessions to share")
def test_a_connection_that_is_shared_would_be_seen(request: pytest.FixtureRequest) -> None:
    """That of a process which is forked after connecting, as a worker's must not be."""
    if connection.vendor == "postgresql":
        network = request.getfixturevalue("network")
        with servers.moved_to({"HOST": "127.0.0.1", "PORT": network.port}):
            connection.ensure_connection()
            assert _shared(_held_here_and_in_a_fork())
    else:
        connection.ensure_connection()
        assert _shared(_held_here_and_in_a_fork())


def _held_here_and_in_a_fork() -> list[set[Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of forking a process with threads
        child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    try:
        return [_connections_of(os.getpid()), _connections_of(child)]
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _held_by_some(running: WorkerProcess) -> list[set[Any]]:
    """What each of its processes holds, once two of them hold something."""
    held = [_connections_of(process.pid) for process in running.tree()]
    return held if sum(map(bool, held)) >= 2 else []


def _connections_of(pid: int) -> set[Any]:
    """What a process holds, by both ends: no two connections have them in common."""
    found = psutil.Process(pid).net_connections("tcp")
    return {(one.laddr, one.raddr) for one in found if one.raddr}


def _shared(held: Sequence[set[Any]]) -> set[Any]:
    """The connections that more than one of these processes hold."""
    return {one for ours, theirs in combinations(held, 2) for one in ours & theirs}
