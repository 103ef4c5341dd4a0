"""Guards of the worker that faults alone do not show: what it asks of its connection, and its limits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dj_database_url
import psycopg
import pytest
from django.db import DataError, OperationalError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from django_tasktrack import maintenance, transitions
from django_tasktrack.changes import Change, Written
from django_tasktrack.engines.claiming import AHEAD_LIMIT
from django_tasktrack.engines.database import DatabaseEngine
from django_tasktrack.engines.outbox import FLUSH_LIMIT
from django_tasktrack.engines.plan import Plan
from django_tasktrack.engines.strays import Strays
from django_tasktrack.models import TrackedTask, Worker
from django_tasktrack.outcomes import Claim, succeeded
from django_tasktrack.pools.base import Finished, PoolOptions
from django_tasktrack.states import Stage
from django_tasktrack.vendors import Vendor, bulk, sessions
from tests import invariants
from tests.engines.test_upkeep import Engine, QuietPool, Registered
from tests.exam import load, servers
from tests.exam.proxy import Proxy
from tests.factories import NAME, make_worker, new_task
from tests.inline import claimed, row, story, the_vendor

LOAD = FLUSH_LIMIT + 3 * AHEAD_LIMIT
CONCURRENCY = 100


@contextmanager
def own_connection(patience: float = 5.0) -> Iterator[BaseDatabaseWrapper]:
    """A worker's, in the place of this thread's."""
    before = connections["default"]
    try:
        sessions.connect("default", patience)
        yield connections["default"]
    finally:
        connections["default"].close()
        connections["default"] = before


def told(sql: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        (value,) = cursor.fetchone()
    return value


@pytest.mark.skipif(connection.vendor != "postgresql", reason="a setting of PostgreSQL's planner")
def test_a_worker_s_statements_read_no_table_from_end_to_end_and_are_not_compiled() -> None:
    """Until the first ANALYZE the planner takes every table for small, and reads it once for each task. Where
    it must read one, as the few workers, it takes that for so costly that it would compile the statement."""
    assert told("SHOW enable_seqscan") == "on"
    with own_connection():
        assert (told("SHOW enable_seqscan"), told("SHOW jit")) == ("off", "off")


@contextmanager
def serializable_by_default() -> Iterator[None]:
    """As a project, and its database, may want it for themselves."""
    level: Any = "serializable"
    with ExitStack() as stack:
        if connection.vendor == "postgresql":
            level = psycopg.IsolationLevel.SERIALIZABLE
            name = connection.ops.quote_name(str(connection.settings_dict["NAME"]))
            alter = f"ALTER DATABASE {name} SET default_transaction_isolation = "
            stack.callback(told_nothing, f"{alter} DEFAULT")
            told_nothing(f"{alter} 'serializable'")
        options = {**connection.settings_dict.get("OPTIONS", {}), "isolation_level": level}
        stack.enter_context(servers.moved_to({"OPTIONS": options}))
        yield


def told_nothing(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.mark.case(24)
@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="it has one isolation")
def test_a_worker_reads_what_is_committed_whatever_the_default() -> None:
    ask, others = {
        "postgresql": ("SHOW transaction_isolation", "serializable"),
        "mysql": ("SELECT @@tx_isolation", "SERIALIZABLE"),
    }[connection.vendor]
    with serializable_by_default():
        assert told(ask) == others, "else it proves nothing"
        with own_connection():
            alone = told(ask)
            with transaction.atomic():
                inside = told(ask)
    assert {str(alone), str(inside)} <= {"read committed", "READ-COMMITTED"}


@pytest.mark.case(23)
def test_behind_a_pooler_nothing_is_set_that_a_stranger_would_find(scratch: Path) -> None:
    with servers.pgbouncer(scratch, size=1) as url:
        with servers.moved_to(dj_database_url.parse(url)), own_connection():
            assert sessions.is_pooled(connections["default"])
            assert the_vendor().listen(lambda _: None) is None, "a worker polls there"
            assert TrackedTask.objects.count() == 0
        with psycopg.connect(url) as stranger:
            for name in ("statement_timeout", "lock_timeout", "default_transaction_isolation"):
                assert stranger.execute(f"SHOW {name}").fetchone() in {("0",), ("read committed",)}
            assert stranger.execute("SELECT pg_listening_channels()").fetchall() == []


@pytest.mark.case(19)
def test_a_statement_that_is_swallowed_is_given_up(network: Proxy) -> None:
    """By this end: the server never heard of it, and TCP has its acknowledgement."""
    waited: list[float] = []

    def ask() -> None:
        with own_connection(patience=1):
            network.swallow = True
            began = time.monotonic()
            with pytest.raises(OperationalError, match="no answer within"):
                told("SELECT 1")
            waited.append(time.monotonic() - began)

    behind = {"HOST": "127.0.0.1", "PORT": network.port, "OPTIONS": {"sslmode": "disable"}}
    with servers.moved_to(behind):
        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(8)
    assert waited, "it waits for ever"
    assert 1 < waited[0] < 5


@pytest.mark.case(21)
def test_a_worker_that_connects_anew_listens_anew() -> None:
    with own_connection():
        engine, _ = instant_engine()
        for _ in range(2):
            engine._hang_up()
            engine._connect()
            assert told("SELECT pg_listening_channels()") == "tasktrack"
            assert engine._listening == connections["default"].connection.fileno()
        engine._waker.close()


class InstantPool(QuietPool):
    """Whatever it is given has ended."""

    name = "instant"

    def submit(self, claims: Sequence[Claim]) -> None:
        super().submit(claims)
        while taken := self._take():
            claim, began = taken
            self._ended(claim)
            self._post(Finished(claim, succeeded("1"), began, time.monotonic()))


@pytest.mark.case(29)
def test_nothing_is_claimed_while_a_thousand_ends_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their rows are held by others, say; what was done is not forgotten, and not added to for ever."""
    new = [new_task() for _ in range(LOAD)]
    transitions.enqueue(new)
    engine, vendor = instant_engine()
    with monkeypatch.context() as patched:
        patched.setattr(vendor, "write", all_are_busy)
        for _ in range(30):
            engine._turn()
        kept = len(engine._outbox)
        assert FLUSH_LIMIT <= kept <= FLUSH_LIMIT + AHEAD_LIMIT + CONCURRENCY
        assert TrackedTask.objects.filter(worker__isnull=False).count() == kept
    for _ in range(60):
        if not load.is_done():
            engine._turn()
    engine._waker.close()
    assert load.is_done()
    invariants.check([str(task.task_id) for task in new])


def all_are_busy(changes: Sequence[Change], *, wait: bool = False) -> Written:
    return Written(busy=frozenset(change.task_id for change in changes))


def instant_engine() -> tuple[DatabaseEngine, Vendor]:
    """One whose turns a test takes."""
    vendor, worker = the_vendor(), make_worker()
    pool = InstantPool(PoolOptions(worker=worker.name, concurrency=CONCURRENCY))
    plan = Plan(queues=[], names=[NAME], burst=False, poll_min=0.01, poll_max=0.01, lease=5.0)
    upkeep = maintenance.Maintenance(vendor, 60.0, 3600.0, [], [NAME])
    engine = DatabaseEngine(vendor, plan, pool, Registered(worker), upkeep)
    pool.start(engine.post)
    engine._connected = True  # as this thread is
    return engine, vendor


@pytest.mark.case(19)
def test_far_from_the_database_the_upkeep_takes_a_third_of_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    upkeep = maintenance.Maintenance(the_vendor(), 0.01, 5.0, [], [NAME])
    monkeypatch.setattr(transitions, "expire", lambda _: time.sleep(0.2))
    upkeep.run(time.monotonic())
    assert upkeep.due_at - time.monotonic() > 0.35


@pytest.mark.case(38)
def test_what_must_not_run_twice_has_begun_in_the_table_before_its_body_does() -> None:
    """Else nobody could tell, after a power cut, whether it ran; and others need not wait for a commit."""
    owner = make_worker()
    engine = Engine(the_vendor(), owner)
    sure, other = claimed(owner.pk, rerun_if_lost=False), claimed(owner.pk)
    assert engine.settling.begin_surely([sure, other]) == [sure, other]
    assert (story(sure.task_id), story(other.task_id)) == (["PENDING", "STARTED"], ["PENDING"])


@pytest.mark.case(20)
def test_a_claim_that_is_unknown_at_one_look_only_is_no_stray() -> None:
    """It may have ended this moment, and its end be on the way from the pool."""
    owner = make_worker()
    claim, engine = claimed(owner.pk), Engine(the_vendor(), owner)
    here = [False]
    strays = Strays(
        the_vendor(), Registered(owner), engine.outbox, engine.revoking, lambda _: here[0]
    )
    for here[0], stage in ((False, Stage.CLAIMED), (True, Stage.CLAIMED)):
        strays.due_at = 0.0
        strays.run()
        assert row(claim.task_id).stage == stage
    here[0] = False
    for stage in (Stage.CLAIMED, Stage.DUE):
        strays.due_at = 0.0
        strays.run()
        assert row(claim.task_id).stage == stage


@pytest.mark.case(29)
def test_an_end_that_is_refused_costs_no_other_of_its_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner, vendor = make_worker(), the_vendor()
    engine = Engine(vendor, owner)
    claims = [claimed(owner.pk) for _ in range(7)]
    culprit, write = claims[4].task_id, type(vendor).write

    def refuse_one(self: Vendor, changes: Sequence[Change], *, wait: bool = False) -> Written:
        if any(one.task_id == culprit and one.result for one in changes):
            raise DataError("no such number")
        return write(self, changes, wait=wait)

    monkeypatch.setattr(type(vendor), "write", refuse_one)
    now = time.monotonic()
    for claim in claims:
        engine.settling.end(Finished(claim, succeeded("1"), now, now))
    engine.settling.run()
    ends = {claim.task_id: row(claim.task_id).state for claim in claims}
    assert ends.pop(culprit) == "FAILURE"
    assert set(ends.values()) == {"SUCCESS"}


@pytest.mark.case(11)
def test_a_task_that_is_claimed_anew_between_a_rescue_s_look_and_its_lock_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another worker's rescue was quicker, and a third one has the task by now."""
    vendor, gone, third = the_vendor(), make_worker(), make_worker()
    claim = claimed(gone.pk)
    Worker.objects.filter(pk=gone.pk).update(stopped_at=vendor.now())
    lock, quicker = type(vendor).locked, [True]

    def locked(self: Vendor, rows: Any, *, wait: bool = True) -> Any:
        if quicker and quicker.pop():
            assert transitions.rescue(vendor, 5.0).applied
            assert transitions.claim(vendor, third.pk, [], [NAME], 1)
        return lock(self, rows, wait=wait)

    monkeypatch.setattr(type(vendor), "locked", locked)
    assert not transitions.rescue(vendor, 5.0).applied
    assert (row(claim.task_id).worker_id, row(claim.task_id).stage) == (third.pk, Stage.CLAIMED)


@pytest.mark.case(11)
def test_a_row_whose_version_has_moved_on_is_not_overwritten() -> None:
    """Locks see to that; where a database knows none, or somebody writes by hand, the version does."""
    claim = claimed(make_worker().pk)
    read = row(claim.task_id).seq
    for version, expected in ((read - 1, ""), (read + 1, ""), (read, "mine")):
        mine = ["mine", claim.task_id, version]
        bulk.update(connection, TrackedTask, ("label",), ("id", "seq"), [mine])
        assert row(claim.task_id).label == expected
    TrackedTask.objects.update(label="")


@pytest.mark.case(34)
def test_a_beginning_that_is_committed_counts_though_its_body_never_came_to_it() -> None:
    """Revoked between its STARTED, which must come first, and a free child."""
    owner = make_worker()
    engine = Engine(the_vendor(), owner)
    claim = claimed(owner.pk, rerun_if_lost=False)
    engine.pool.submit(engine.settling.begin_surely([claim]))
    transitions.revoke([claim.task_id], signal="SIGKILL")
    engine.revoking.run()
    engine.settling.run()
    assert story(claim.task_id) == ["PENDING", "STARTED", "REVOKED"]
    assert row(claim.task_id).attempt == 1
    invariants.check([str(claim.task_id)])
