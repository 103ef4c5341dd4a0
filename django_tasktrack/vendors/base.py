"""The specification of every statement that the write door needs, in portable Django.

It runs on each database that Django knows. A faster vendor overrides a verb and must behave alike:
``tests/vendors`` runs one suite over both on the same database.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, connections, models, transaction
from django.db.models import F, Min, Q
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast
from django.utils import timezone

from ..agenda import Agenda, Behind, Gates
from ..changes import Change, Held, NewTask, ProgressWrite, Release, Written
from ..exceptions import TasktrackError
from ..models import Link, Progress, StateChange, TrackedTask
from ..outcomes import Claim
from ..payloads import decode
from ..states import ENQUEUE, WAITING, Stage, State
from . import bulk, gates, sessions

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from ..querysets import TaskQuerySet

QuerySetT = TypeVar("QuerySetT", bound="models.QuerySet[Any]")

# The columns that a change writes, in the order of ``_row_after``.
_WRITTEN = (
    "state", "stage", "label", "seq", "attempt", "max_attempts", "losses", "crashes", "lease", "worker_id",
    "changed_at", "run_after", "started_at", "finished_at", "revoke_requested_at", "revoke_request",
    "result", "error_type", "error_message", "traceback", "active_key",
)  # fmt: skip

_CLAIMED = (
    "id", "name", "args_text", "kwargs_text", "queue", "priority", "attempt", "losses", "crashes",
    "lease", "max_attempts", "created_at", "run_after", "expires_at", "owner", "goal_id",
    "time_limit", "soft_time_limit", "rerun_if_lost", "root_id", "parent_id", "group_id", "headers_text",
    "ignore_result", "followed",
)  # fmt: skip

#: How often an insert is tried whose key has a holder that is gone when looked for.
UNIQUE_TRIES = 20

_LINK = Link._meta.db_table
_TO_ANOTHER = f"state = {Link.State.OPEN:d} AND successor_id IS NOT NULL"
_WAITING_FOR = f"""
WITH RECURSIVE waiting (id) AS (
    SELECT successor_id FROM {_LINK} WHERE task_id = %s AND {_TO_ANOTHER}
    UNION
    SELECT l.successor_id FROM waiting w JOIN {_LINK} l ON l.task_id = w.id AND {_TO_ANOTHER}
)
SELECT id FROM waiting LIMIT %s
"""

_GATES = f"SELECT {gates.LIMITS}, {gates.GATED}, {gates.KEYED}"
_WALKS = {column: gates.walk(column) for column in ("name", "concurrency_key")}

# Written down, because each claim would wait for the ORM's compiler: that takes longer than the look.
_IN_OPEN_QUEUE = RawSQL(  # noqa: S611  a constant
    gates.OPEN.format(queue=f"{TrackedTask._meta.db_table}.queue"), (), models.BooleanField()
)

_CLOCKS = {"mysql": "SELECT utc_timestamp(6)", "postgresql": "SELECT clock_timestamp()"}


class Vendor:
    """Statements over one database alias, on the calling thread's connection.

    Args:
        using: the alias.
    """

    #: Seconds between two looks for what others have written; infinite where there is no cheap look.
    watch_every: ClassVar[float] = math.inf
    #: How far every vendor's clock is ahead of its database's. Tests alone travel (``testing.travel``).
    ahead: ClassVar[timedelta] = timedelta(0)

    def __init__(self, using: str) -> None:
        self.using = using

    @property
    def connection(self) -> BaseDatabaseWrapper:
        return connections[self.using]

    @property
    def in_transaction(self) -> bool:
        """Whether what is written now waits for a commit of the caller's, by ``atomic`` or by hand."""
        connection = self.connection
        by_hand = connection.connection is not None and not connection.autocommit
        return connection.in_atomic_block or by_hand

    def now(self) -> datetime:
        """The database's clock; an embedded database has this machine's."""
        sql = _CLOCKS.get(self.connection.vendor)
        if sql is None:
            return timezone.now() + self.ahead
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            (now,) = cursor.fetchone()
        aware = (now if timezone.is_aware(now) else now.replace(tzinfo=UTC)) + self.ahead
        return aware if settings.USE_TZ else timezone.make_naive(aware)

    # Enqueue

    def insert(self, tasks: Sequence[NewTask]) -> None:
        """Insert tasks and the first row of their history, in the caller's transaction."""
        now = self.now()
        first = [
            StateChange(
                task_id=task.task_id,
                seq=1,
                state=ENQUEUE.target,
                attempt=0,
                lease=0,
                at=now,
                actor=task.actor,
            )
            for task in tasks
        ]
        with transaction.atomic(using=self.using, savepoint=False):
            bulk.insert(self.connection, [self._new_row(task, now) for task in tasks])
            bulk.insert(self.connection, first)

    def _new_row(self, task: NewTask, now: datetime) -> TrackedTask:
        run_after = task.run_after or now + timedelta(seconds=task.delay)
        stage = Stage.SCHEDULED if run_after > now else _ready(task.concurrency_key)
        expires = task.expires_at
        if task.expires_in is not None:
            expires = now + timedelta(seconds=task.expires_in)
        return TrackedTask(
            id=task.task_id,
            name=task.name,
            args=decode(task.args),
            kwargs=decode(task.kwargs),
            queue=task.queue,
            priority=task.priority,
            state=ENQUEUE.target,
            stage=Stage.BLOCKED if task.blocked else stage,
            max_attempts=task.max_attempts,
            created_at=now,
            changed_at=now,
            run_after=run_after,
            expires_at=expires,
            owner=task.owner,
            goal_id=task.goal_id,
            time_limit=task.time_limit,
            soft_time_limit=task.soft_time_limit,
            rerun_if_lost=task.rerun_if_lost,
            root_id=task.root_id,
            parent_id=task.parent_id,
            group_id=task.group_id,
            headers=decode(task.headers),
            ignore_result=task.ignore_result,
            followed=task.followed,
            unique_key=task.unique_key,
            active_key=task.unique_key,
            concurrency_key=task.concurrency_key,
            concurrency_limit=task.concurrency_limit,
        )

    def insert_unique(self, tasks: Sequence[NewTask]) -> dict[UUID, UUID]:
        """Insert tasks whose unique key no unfinished task has.

        A key that a finished one has kept is freed: workers of a version before unique keys leave it there.

        Args:
            tasks: each with a key.

        Returns:
            For those that were not inserted, the id of the task that has their key.

        Raises:
            IntegrityError: one of the ids exists.
        """
        holders = {}
        for task in sorted(
            tasks, key=by_unique_key
        ):  # in one order, so that no two callers deadlock
            holder = self._insert_or_find(task)
            if holder:
                holders[task.task_id] = holder
        return holders

    def _insert_or_find(self, task: NewTask) -> UUID | None:
        if (holder := self._holder(task.unique_key)) is not None:
            return holder
        for _ in range(UNIQUE_TRIES):
            try:
                with transaction.atomic(using=self.using):
                    self.insert([task])
            except IntegrityError:
                if self._existing([task.task_id]):
                    raise
                if (holder := self._holder(task.unique_key, surely=True)) is not None:
                    return holder
            else:
                return None
        raise key_churns(task)

    def _holder(self, key: str | None, *, surely: bool = False) -> UUID | None:
        """The unfinished task that has this key; a finished one gives it up."""
        holding = TrackedTask.objects.using(self.using).filter(active_key=key)
        rows = holding.values_list("pk", "stage")
        # A locking read also finds what this transaction's snapshot does not show. It comes second: two
        # losers that both ask for the lock would deadlock on MariaDB. Neither finds anything where the
        # task has ended since.
        found = rows.first() or (self.locked(rows).first() if surely else None)
        if found and found[1] == Stage.DONE:
            self.free_ended([key])
            return None
        return found[0] if found else None

    def free_ended(self, keys: Iterable[str | None]) -> int:
        """Take these unique keys away from tasks that have ended; returns from how many."""
        ended = TrackedTask.objects.using(self.using).filter(stage=Stage.DONE)
        return ended.filter(active_key__in=list(keys)).update(active_key=None)

    # Claim

    def claim(
        self,
        worker_id: int,
        queues: Sequence[str],
        names: Sequence[str],
        limit: int,
        *,
        behind: Behind | None = None,
        excluded: Sequence[str] = (),
    ) -> list[Claim]:
        """Take up to ``limit`` due tasks: larger priority first, then age.

        Args:
            worker_id: the owner to be.
            queues: those to look at; empty for all of them.
            names: tasks that the worker knows; others are left alone.
            limit: how many at most.
            behind: look at least there; None: everywhere.
            excluded: queues that are left out of all of them.

        Returns:
            The claims, each with its new lease, in the order in which to run them.
        """
        if limit < 1 or not names:
            return []
        with transaction.atomic(using=self.using):
            due = self._claimable(queues, names, behind, excluded).in_claim_order()
            ids = list(self.locked(due, wait=False).values_list("pk", flat=True)[:limit])
            if not ids:
                return []
            taken = TrackedTask.objects.using(self.using).due().many(ids)
            taken.update(
                stage=Stage.CLAIMED,
                worker_id=worker_id,
                lease=F("lease") + 1,
                attempt=F("attempt") + 1,
            )
            return self.claims_of(worker_id, ids)

    def _claimable(
        self,
        queues: Sequence[str],
        names: Sequence[str],
        behind: Behind | None,
        excluded: Sequence[str],
    ) -> TaskQuerySet:
        due = TrackedTask.objects.using(self.using).due().named(names)
        due = due.filter(pk__gte=behind.after) if behind else due
        # Those with a key have to be gated first.
        return self.startable(due, queues, excluded).filter(concurrency_key__isnull=True)

    def startable(
        self, tasks: TaskQuerySet, queues: Sequence[str], excluded: Sequence[str] = ()
    ) -> TaskQuerySet:
        """Those of these tasks that may start now, as far as their queue and their expiry tell.

        Args:
            tasks: in a stage that waits.
            queues: those that a worker serves; empty for all of them.
            excluded: queues that are left out of all of them.
        """
        served = tasks.served(queues, excluded)
        return served.filter(_IN_OPEN_QUEUE).not_expired(self.now())

    def claims_of(self, worker_id: int, ids: Sequence[UUID]) -> list[Claim]:
        """What a worker needs of tasks that it has just claimed, in the order in which to run them."""
        text = models.TextField()
        rows = (
            TrackedTask.objects.using(self.using)
            .claimed_by(worker_id)
            .many(ids)
            .annotate(
                args_text=Cast("args", text),
                kwargs_text=Cast("kwargs", text),
                headers_text=Cast("headers", text),
            )
            .in_claim_order()
            .values(*_CLAIMED)
        )
        return [
            Claim(
                task_id=row.pop("id"),
                args=row.pop("args_text"),
                kwargs=row.pop("kwargs_text"),
                headers=row.pop("headers_text"),
                eta=_eta(row.pop("created_at"), row.pop("run_after")),
                worker_id=worker_id,
                **row,
            )
            for row in rows
        ]

    def unclaim(self, claims: Iterable[Claim | Held]) -> int:
        """Give claimed tasks back that did not start. Their attempt never was; returns how many.

        Those that somebody holds stay claimed: no worker waits for user code.
        """
        given_back = 0
        for batch in _batches(list(claims), 100):
            same_lease = [Q(pk=claim.task_id, lease=claim.lease) for claim in batch]
            tasks = TrackedTask.objects.using(self.using)
            theirs = tasks.claimed_by(batch[0].worker_id).waiting()
            theirs = theirs.filter(reduce(or_, same_lease), revoke_requested_at__isnull=True)
            with transaction.atomic(using=self.using):
                free = self.locked(theirs.order_by("pk"), wait=False).values_list("pk", flat=True)
                given_back += theirs.many(list(free)).update(
                    stage=Stage.DUE, worker_id=None, attempt=F("attempt") - 1
                )
        return given_back

    # Write

    def write(self, changes: Sequence[Change], *, wait: bool = False) -> Written:
        """Apply the changes whose fence holds, each with its rows of history, all or none.

        Args:
            changes: at most one a task.
            wait: wait for rows that someone holds, instead of answering that they are busy.
        """
        asked = {change.task_id: change for change in changes}
        with transaction.atomic(using=self.using):
            tasks = TrackedTask.objects.using(self.using).many(asked).order_by("pk")
            found = list(self.locked(tasks.defer("args", "kwargs"), wait=wait))
            held = [task for task in found if _passes(task, asked[task.pk])]
            if held:
                self._write_rows(held, asked)
            applied = frozenset(task.pk for task in held)
            missing = asked.keys() - {task.pk for task in found}
            busy = self._existing(missing) if missing and not wait else frozenset()
        return Written(applied, busy, frozenset(asked) - applied - busy)

    def _existing(self, ids: Iterable[UUID]) -> frozenset[UUID]:
        tasks = TrackedTask.objects.using(self.using).many(ids)
        return frozenset(tasks.values_list("pk", flat=True))

    def _write_rows(self, tasks: Sequence[TrackedTask], asked: dict[UUID, Change]) -> None:
        now, moment = self.now(), time.monotonic()
        history: list[StateChange] = []
        changed: list[list[Any]] = []
        for task in tasks:
            change, guard = asked[task.pk], (task.pk, task.seq)
            history += _apply(task, change, now, moment)
            values = [getattr(task, name) for name in _WRITTEN]
            changed.append([*values, *guard])
        bulk.update(self.connection, TrackedTask, _WRITTEN, ("id", "seq"), changed)
        bulk.insert(self.connection, history)

    def locked(self, rows: QuerySetT, *, wait: bool = True) -> QuerySetT:
        """These rows, locked until the transaction ends; without ``wait``, only those that are free."""
        features = self.connection.features
        if not features.has_select_for_update:
            return rows  # SQLite: the transaction itself is the lock
        return rows.select_for_update(
            skip_locked=not wait and features.has_select_for_update_skip_locked,
            no_key=features.has_select_for_no_key_update,
        )

    def promote(self, limit: int = 1000) -> tuple[int, float | None]:
        """Make scheduled tasks due whose time has come.

        Returns:
            How many, and the seconds until the next one (None: none is scheduled).
        """
        promoted = 0
        in_seconds = self._scheduled_in()
        if (
            in_seconds is not None and in_seconds <= 0
        ):  # else the writer's lock would be taken for nothing
            scheduled = TrackedTask.objects.using(self.using).filter(stage=Stage.SCHEDULED)
            with transaction.atomic(using=self.using):
                ripe = scheduled.filter(run_after__lte=self.now()).order_by("run_after")
                ids = list(self.locked(ripe, wait=False).values_list("pk", flat=True)[:limit])
                promoted = scheduled.many(ids).update(stage=Stage.DUE) if ids else 0
            in_seconds = self._scheduled_in()
        return promoted, None if in_seconds is None else max(0.0, in_seconds)

    def _scheduled_in(self) -> float | None:
        """Seconds until the next scheduled task's time; less than none where it has come."""
        scheduled = TrackedTask.objects.using(self.using).filter(stage=Stage.SCHEDULED)
        following = scheduled.aggregate(at=Min("run_after"))["at"]
        return None if following is None else (following - self.now()).total_seconds()

    # Tasks that wait for others

    def release(self, releases: Sequence[Release]) -> list[UUID]:
        """Let tasks run that have waited for others, and do so still; returns which."""
        asked, now = {release.task_id: release for release in releases}, self.now()
        waiting = TrackedTask.objects.using(self.using).many(asked).filter(stage=Stage.BLOCKED)
        rows = []
        for task_id, earliest in waiting.values_list("pk", "run_after"):
            release = asked[task_id]
            run_after = max(earliest, now + timedelta(seconds=release.delay))
            stage = Stage.SCHEDULED if run_after > now else Stage.DUE
            rows.append([decode(release.args), run_after, stage, task_id, Stage.BLOCKED])
        names = ("args", "run_after", "stage")
        bulk.update(self.connection, TrackedTask, names, ("id", "stage"), rows)
        return [task_id for _, _, _, task_id, _ in rows]

    def waiting_for(self, task_id: UUID, limit: int) -> list[UUID]:
        """Tasks that wait for this one, directly or not, as far as their links are open."""
        pk = TrackedTask._meta.pk
        with self.connection.cursor() as cursor:
            asked = pk.get_db_prep_value(task_id, self.connection)
            cursor.execute(_WAITING_FOR, [asked, limit])
            return [UUID(str(row[0])) for row in cursor.fetchall()]

    def unknown(
        self,
        queues: Sequence[str],
        known: Collection[str],
        limit: int = 1000,
        *,
        excluded: Sequence[str] = (),
    ) -> dict[UUID, str]:
        """Due tasks of other names than those that are known, among the first of each queue.

        Args:
            queues: those to look at; empty for all of them.
            known: names.
            limit: how many of each queue are looked at.
            excluded: queues that are left out of all of them.
        """
        heads = self._heads(queues, limit, excluded)
        return {task_id: name for task_id, name in heads.items() if name not in known}

    def _heads(self, queues: Sequence[str], limit: int, excluded: Sequence[str]) -> dict[UUID, str]:
        """The names of the first due tasks of each queue."""
        due = TrackedTask.objects.using(self.using).due()
        names: dict[UUID, str] = {}
        served = due.served(queues, excluded).order_by("queue")
        for queue in queues or served.values_list("queue", flat=True).distinct():
            names.update(due.for_queue(queue).in_claim_order().values_list("pk", "name")[:limit])
        return names

    # Limits

    def limited(
        self,
        queues: Sequence[str],
        names: Collection[str],
        limit: int = 1000,
        *,
        excluded: Sequence[str] = (),
    ) -> list[UUID]:
        """Due tasks of these names, among the first of each queue. Arguments as of ``unknown``."""
        heads = self._heads(queues, limit, excluded)
        return [task_id for task_id, name in heads.items() if name in names]

    def gates(self) -> Gates:
        """What there is of limits, in one statement."""
        with self.connection.cursor() as cursor:
            cursor.execute(_GATES)
            version, gated, gateable = cursor.fetchone()
        return Gates(int(version), bool(gated), bool(gateable))

    def gated_values(self, column: str, after: str, limit: int) -> list[str]:
        """Which values gated tasks have of a column that has an index, in its order.

        Args:
            column: "name" or "concurrency_key".
            after: a value, behind which to look.
            limit: how many at most.
        """
        with self.connection.cursor() as cursor:
            cursor.execute(_WALKS[column], [after, limit])
            return [row[0] for row in cursor.fetchall()]

    # At one glance

    def agenda(
        self,
        worker_id: int,
        queues: Sequence[str],
        names: Sequence[str],
        lease: float,
        limited: Sequence[str] = (),
        *,
        excluded: Sequence[str] = (),
    ) -> Agenda | None:
        """What there is to do for a worker. None: it has to look for each thing by itself.

        Args:
            worker_id: who asks.
            queues: those that it serves; empty for all of them.
            names: the tasks that it knows.
            lease: a worker that was silent for so many seconds is gone.
            limited: those of the tasks that it knows whose rate is limited.
            excluded: queues that are left out of all of them.
        """
        return None

    # Progress

    def write_progress(self, writes: Sequence[ProgressWrite]) -> None:
        """Store the newest progress of running tasks; those whose lease is gone are left out."""
        asked = {write.task_id: write for write in writes}
        with transaction.atomic(using=self.using):
            now = self.now()
            running = TrackedTask.objects.using(self.using).many(asked).filter(stage=Stage.CLAIMED)
            leases = dict(running.values_list("pk", "lease"))
            known = Progress.objects.using(self.using).in_bulk(list(leases))
            for task_id, write in asked.items():
                if leases.get(task_id) == write.lease:
                    self._save_progress(_progress_after(known.get(task_id), write, now))

    def _save_progress(self, row: Progress) -> None:
        """Insert or update, unless a later attempt has written meanwhile."""
        rows = Progress.objects.using(self.using)
        values = {field.attname: getattr(row, field.attname) for field in row._meta.fields}
        del values["task_id"]
        if not rows.filter(pk=row.pk, lease__lte=row.lease).update(**values):
            rows.bulk_create([row], ignore_conflicts=True)
            rows.filter(pk=row.pk, lease__lte=row.lease).update(**values)

    # A worker's own connection

    def connect(self, patience: float) -> None:
        """Give the calling thread a fresh connection on which nothing waits for ever.

        Args:
            patience: seconds after which a statement, or connecting, is given up.
        """
        sessions.connect(self.using, patience)

    # Wake-up

    def notify(self, topic: str) -> None:
        """Tell listening workers that there is something to do. Nothing here: they poll."""

    def listen(self, on_notified: Callable[[str], None]) -> int | None:
        """Start to listen; the descriptor to wait on, or None where a worker has to poll.

        Args:
            on_notified: called in this thread, with the topic, for what arrives during other statements.
        """
        return None

    def take_notifications(self, on_notified: Callable[[str], None]) -> None:
        """Take what has made the descriptor of ``listen`` readable."""

    def revision(self) -> object:
        """What is another value once somebody else has written, where ``watch_every`` says how often to
        ask."""
        return None


def by_unique_key(task: NewTask) -> str:
    """In what order tasks are inserted that may wait for each other."""
    return task.unique_key or ""


def key_churns(task: NewTask) -> TasktrackError:
    """A key that was taken and free again at each try."""
    return TasktrackError(
        f"unique_key={task.unique_key!r} of {task.name} was taken by others {UNIQUE_TRIES} times,"
        " each time by a task that had ended when it was looked for.",
        hint="Enqueue it again, or choose a key that fewer tasks share.",
    )


def _ready(concurrency_key: str | None) -> Stage:
    """The stage of a new task that waits for no time."""
    return Stage.DUE if concurrency_key is None else Stage.GATED


def _eta(created: datetime, run_after: datetime) -> datetime | None:
    """When a task was to run, if not at once."""
    return run_after if run_after > created else None


def _passes(task: TrackedTask, change: Change) -> bool:
    """Whether the change's fence holds for the row as it is now."""
    return (
        task.state in change.transition.stored_sources
        and task.lease == change.lease
        and task.worker_id == change.worker_id
        and not (change.transition.yields and task.revoke_requested_at)
        and not (change.label and change.label == task.label)
    )


def _apply(task: TrackedTask, change: Change, now: datetime, moment: float) -> list[StateChange]:
    """Bring the instance to what the row must say, and return its new rows of history.

    ``now`` and ``moment`` are the same time on the database's clock and on the monotonic one.
    """
    happened = now - timedelta(seconds=change.happened_ago(moment))
    history = _begun(task, change, now, moment)
    happened = task.changed_at = max(happened, task.changed_at)
    if change.target is State.STARTED and task.state in WAITING:
        task.started_at = happened
    counts = (0, 0, 0) if change.afresh else (task.attempt, task.losses, task.crashes)
    task.attempt = counts[0] + change.attempt
    task.losses = counts[1] + change.losses
    task.crashes = counts[2] + change.crashes
    task.state, task.stage, task.label = change.target, change.stage, change.label
    task.seq += 1
    task.lease += change.bump
    if change.max_attempts is not None:
        task.max_attempts = change.max_attempts
    task.finished_at = happened if change.stage is Stage.DONE else None
    task.result = decode(change.result)
    if change.delay is not None:
        task.run_after = now + timedelta(seconds=change.delay)
    if change.stage in (Stage.DUE, Stage.SCHEDULED):
        task.worker_id = None
    if change.stage is Stage.DONE:
        task.active_key = None
    elif change.afresh:
        task.active_key = task.unique_key
    if change.afresh:
        task.revoke_requested_at = task.revoke_request = None
        task.started_at = None
    error = change.error
    if change.target is not State.STARTED:
        task.error_type = error.type if error else ""
        task.error_message = error.message if error else ""
        task.traceback = error.traceback if error else ""
    last = _history(task, change, happened, reason=change.reason, actor=change.actor)
    if error:
        last.error_type, last.error_message = error.type, error.message
        last.traceback = error.traceback
    return [*history, last]


def _begun(task: TrackedTask, change: Change, now: datetime, moment: float) -> list[StateChange]:
    """The row of the STARTED that rides along, where the attempt has none yet."""
    began_ago = change.began_ago(moment)
    if began_ago is None or task.state not in WAITING:
        return []
    begun = max(now - timedelta(seconds=began_ago), task.changed_at)
    task.started_at = task.changed_at = begun
    task.state, task.seq = State.STARTED, task.seq + 1
    started = _history(task, change, begun, reason=change.began_reason)
    if change.began_lease is not None:
        started.lease = change.began_lease
    return [started]


def _history(
    task: TrackedTask, change: Change, at: datetime, reason: str, actor: str = ""
) -> StateChange:
    return StateChange(
        task_id=task.pk,
        seq=task.seq,
        state=task.state,
        label=task.label if task.state == change.target else "",
        attempt=task.attempt,
        lease=task.lease,
        at=at,
        worker_id=change.worker_id,
        reason=reason[:255],
        actor=actor[:255],
    )


def _progress_after(row: Progress | None, write: ProgressWrite, now: datetime) -> Progress:
    """The row after the write. A new lease starts over; what a report leaves out stays."""
    if row is None or row.lease != write.lease:
        row = Progress(task_id=write.task_id, lease=write.lease, began_at=now)
    row.updated_at = now
    if write.current is not None:
        row.current = write.current
    if write.total is not None:
        row.total = write.total
    if write.message is not None:
        row.message = write.message[:255]
    if write.meta is not None:
        row.meta = decode(write.meta)
    return row


def _batches(items: Sequence[Claim | Held], size: int) -> Iterable[Sequence[Claim | Held]]:
    return (items[start : start + size] for start in range(0, len(items), size))
