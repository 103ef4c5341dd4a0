"""What became of a task: ``AsyncResult``, the handle that ``delay()`` returns."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from django.db import connections, transaction

from . import context, limits, lineage, transitions
from .exceptions import (
    InvalidTask,
    NotCommitted,
    ResultExpired,
    TaskExpired,
    TimeoutError,  # noqa: A004  Celery's name for it
    UnknownTask,
    WouldDeadlock,
)
from .failures import failure, revoked, why_revoked
from .ids import parse_id
from .models import StateChange, TrackedTask
from .progress import ProgressView
from .result_rows import missing_states, progress_of, result_rows
from .serializers import restored
from .states import EXPIRED, FINAL, Stage, State
from .transitions import Answer
from .vendors import task_database
from .waiting import Awaited, allow_join_result

if TYPE_CHECKING:
    from .result_sets import GroupResult

__all__ = ["AsyncResult", "ProgressView", "allow_join_result", "missing_states"]


class AsyncResult(Awaited):
    """The state, progress and result of one task, read from its row whenever asked.

    Args:
        task_id: any id; one that is no UUID is simply UNKNOWN.
        parent: the result of what it waited for, where that is known.

    Once the task is final it is read no more. ``str(result)`` is its id.
    """

    def __init__(
        self, task_id: UUID | str, parent: AsyncResult | GroupResult | None = None
    ) -> None:
        self.id = str(task_id)
        self._parent = parent
        self._uuid = parse_id(task_id)
        self._row: TrackedTask | None = None
        self._frozen = False
        self._absent_state: str | None = None
        self._committed = True

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<AsyncResult {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AsyncResult) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @classmethod
    def enqueued(cls, task_id: UUID) -> Self:
        """The result of a task that the current transaction has just inserted."""
        return cls.all_enqueued([task_id])[0]

    @classmethod
    def all_enqueued(cls, ids: Iterable[UUID]) -> list[Self]:
        """As ``enqueued``, for many."""
        results = [cls(task_id) for task_id in ids]
        cls.follow_commit(results)
        return results

    @staticmethod
    def follow_commit(results: Sequence[AsyncResult]) -> None:
        """These were enqueued in the current transaction: no worker sees them before its commit."""
        using = task_database()
        if connections[using].in_atomic_block:

            def committed() -> None:
                for result in results:
                    result._committed = True

            for result in results:
                result._committed = False
            transaction.on_commit(committed, using=using)

    @classmethod
    def many(cls, ids: Iterable[UUID | str]) -> list[Self]:
        """The results of many ids, in their order, as they were at that moment.

        One query reads them; if some have no row, one more tells whether they were purged. They do not read again until ``refresh()``.
        """
        results = [cls(task_id) for task_id in ids]
        cls._read_together(results)
        return results

    @staticmethod
    def at_once(results: Iterable[AsyncResult]) -> list[AsyncResult]:
        """These results as they are at one moment, read by one query.

        Returns:
            In their order, those that have ended themselves; of the others copies that do not read again.
        """
        asked = list(results)
        seen = [one if one.is_settled else copy.copy(one) for one in asked]
        AsyncResult._read_together([one for one in seen if not one.is_settled])
        for one, now in zip(asked, seen, strict=True):
            if now.is_settled:
                one._row = now._row  # so that it is not read again
        return seen

    @staticmethod
    def _read_together(results: Sequence[AsyncResult]) -> None:
        ids = {result._uuid for result in results if result._uuid}
        rows = {row.pk: row for row in result_rows().many(ids)} if ids else {}
        missing = []
        for result in results:
            result._row = rows.get(result._uuid) if result._uuid else None
            result._frozen = True
            if result._row is None:
                missing.append(result)
        absent = missing_states(result.id for result in missing) if missing else {}
        for result in missing:
            result._absent_state = absent[result.id]

    # State

    @property
    def is_settled(self) -> bool:
        """Whether what was read last can change no more."""
        return self._row is not None and self._row.state in FINAL

    @property
    def task_id(self) -> str:
        return self.id

    @property
    def backend(self) -> str:
        """Who answers, in words: where a task seems not to be there, this may be the wrong database."""
        using = task_database()
        connection = connections[using]
        name, host = connection.settings_dict["NAME"], connection.settings_dict.get("HOST")
        return (
            f"{connection.display_name}, database {using!r}: {name}{f' on {host}' if host else ''}"
        )

    @property
    def state(self) -> str:
        """PENDING, STARTED, RETRY, SUCCESS, FAILURE or REVOKED; while it runs, the task's own label.

        UNKNOWN for an id that no task has, EXPIRED for one whose task has been purged. Asked by the task
        itself, it is STARTED or its label, although the table may show that a moment later.
        """
        if own := self._own_attempt():
            return own.label or State.STARTED
        row = self._current()
        return row.shown_state if row else self._state_without_row()

    def _own_attempt(self) -> context.Context | None:
        """The running attempt that asks, if it is this task's."""
        running = context.current()
        mine = running and running.is_open and running.claim.task_id == self._uuid
        return running if mine else None

    @property
    def status(self) -> str:
        """Celery's other name for ``state``."""
        return self.state

    def exists(self) -> bool:
        """Whether the task has a row."""
        return self._current() is not None

    @property
    def expired(self) -> bool:
        """Whether the task existed and has been purged."""
        return self.state == EXPIRED

    def ready(self) -> bool:
        """Whether waiting is over: it has ended, or has been purged."""
        row = self._current()
        return row.is_finished if row else self._state_without_row() == EXPIRED

    def successful(self) -> bool:
        return self._is(State.SUCCESS)

    def failed(self) -> bool:
        return self._is(State.FAILURE)

    def revoked(self) -> bool:
        return self._is(State.REVOKED)

    def _is(self, state: State) -> bool:
        row = self._current()
        return row is not None and row.state == state

    # What it says

    @property
    def result(self) -> Any:
        """The return value; after a failure the exception; before the end ``info``'s meta.

        Raises:
            PayloadError: a model instance in the value is gone, or its class is not known here.
            ResultExpired: it succeeded, and its value is kept no longer.
        """
        row = self._current()
        if row is None:
            return None
        if row.state == State.SUCCESS:
            return _returned(row)
        if row.state in (State.FAILURE, State.RETRY):
            return failure(row)
        if row.state == State.REVOKED:
            return revoked(row)
        return self._meta(row)

    @property
    def result_expired_at(self) -> datetime | None:
        """When the value that it returned went, because its time was over; None: it is there, or there was
        none."""
        row = self._current()
        return row.result_expired_at if row else None

    @property
    def info(self) -> Any:
        """Celery's other name for ``result``: while the task runs, what it said in ``meta``."""
        return self.result

    @property
    def traceback(self) -> str | None:
        """Of the last failed attempt."""
        row = self._current()
        return row.traceback or None if row else None

    @property
    def progress(self) -> ProgressView:
        """How far the task is."""
        row = self._current()
        progress = progress_of(row) if row else None
        return ProgressView.of(progress) if progress else ProgressView()

    def history(self) -> list[StateChange]:
        """Every change of its state, oldest first."""
        if self._uuid is None:
            return []
        rows = StateChange.objects.using(task_database()).filter(task_id=self._uuid)
        return list(rows.select_related("worker").in_order())

    @staticmethod
    def _meta(row: TrackedTask) -> Any:
        progress = progress_of(row)
        return progress.meta if progress else None

    # What is known of it

    @property
    def name(self) -> str | None:
        row = self._current()
        return row.name if row else None

    @property
    def args(self) -> list[Any] | None:
        row = self._current()
        return restored(row.args) if row else None

    @property
    def kwargs(self) -> dict[str, Any] | None:
        row = self._current()
        return restored(row.kwargs) if row else None

    @property
    def queue(self) -> str | None:
        row = self._current()
        return row.queue if row else None

    @property
    def retries(self) -> int | None:
        row = self._current()
        return row.retries if row else None

    @property
    def date_done(self) -> datetime | None:
        row = self._current()
        return row.finished_at if row else None

    @property
    def worker(self) -> str | None:
        """Name of the worker that runs it, or ran it last."""
        row = self._current()
        return row.worker.name if row and row.worker_id and row.worker else None

    # Its relations

    @property
    def parent(self) -> AsyncResult | GroupResult | None:
        """The result of what it waited for, or of the task that enqueued it."""
        if self._parent is None:
            row = self._current()
            if row is not None and row.parent_id:
                self._parent = AsyncResult(row.parent_id)
        return self._parent

    @parent.setter
    def parent(self, parent: AsyncResult | GroupResult | None) -> None:
        self._parent = parent

    @property
    def children(self) -> list[AsyncResult]:
        """The results of tasks that it enqueued, or that waited for it; oldest first."""
        if self._uuid is None:
            return []
        theirs = TrackedTask.objects.using(task_database()).filter(parent_id=self._uuid)
        ids = theirs.order_by("pk").values_list("pk", flat=True)
        return [AsyncResult(task_id, parent=self) for task_id in ids]

    @property
    def known_parent(self) -> AsyncResult | GroupResult | None:
        """The parent that it was made with; nothing is read."""
        return self._parent

    @property
    def members(self) -> None:
        """None: it is no group."""
        return None

    def as_tuple(self) -> lineage.Told:
        """Its id with its parents': JSON values that ``result_from_tuple`` understands."""
        return lineage.as_tuple(self)

    def collect(
        self, timeout: float | None = None, propagate: bool = True
    ) -> Iterator[tuple[AsyncResult, Any]]:
        """Wait for it and for all that came of it; each result with its value, parents first."""
        left = [self]
        while left:
            one = left.pop()
            yield one, one.get(timeout=timeout, propagate=propagate)
            left += reversed(one.children)

    # Waiting

    def has_ended(self) -> bool:
        """Whether there is a result to be had.

        Raises:
            UnknownTask, TaskExpired: there never will be one.
            NotCommitted: nobody can run it before this transaction is committed.
            WouldDeadlock: it waits for itself.
        """
        row = self._current()
        if row is None:
            raise self._absent()
        if self._own_attempt():
            raise WouldDeadlock(f"Task {self.id} waits for itself.")
        if not row.is_finished and not self._committed:
            raise NotCommitted(
                f"Task {self.id} was enqueued in a transaction that is not committed, so no worker "
                "can see it.",
                hint="Wait for it after the atomic block; in a TestCase, run it first (docs/testing.md).",
            )
        return row.is_finished

    def _absent(self) -> UnknownTask:
        if self.state == EXPIRED:
            return TaskExpired(
                f"Task {self.id} has been purged.", hint="Keep tasks longer: RETENTION."
            )
        return UnknownTask(
            f"No task has the id {self.id}.",
            hint="Its transaction is open or was rolled back, or the id is of another system.",
        )

    def value(self, propagate: bool = True) -> Any:
        """What ``get`` gives once the task has ended."""
        row = self._current()
        if row is None:
            raise self._absent()
        if row.state == State.SUCCESS:
            return _returned(row)
        error = failure(row) if row.state == State.FAILURE else why_revoked(row)
        if propagate:
            raise error
        return error

    def _timed_out(self, timeout: float) -> TimeoutError:
        row = self._current()
        return TimeoutError(
            f"Task {self.id} is {self.state} after {timeout:g} s.",
            hint=_what_it_does(row) if row else "",
        )

    def _look_again(self) -> None:
        self._frozen = False

    # Acting on it

    def revoke(
        self,
        terminate: bool = False,
        signal: str = "SIGTERM",
        wait: bool = False,
        timeout: float | None = None,
        *,
        actor: str = "",
        reason: str = "",
    ) -> Answer:
        """Stop the task, in the current transaction.

        Args:
            terminate: kill the process that runs it; without, it ends at its next checkpoint.
            signal: which signal to kill with.
            wait: return once it has ended.
            timeout: seconds to wait at most.
            actor, reason: kept in history.

        Returns:
            What could be done: ``revoked`` (it never ran), ``requested`` (its worker has been asked; with
            ``terminate``, its pool cannot kill), ``terminating``, ``refused`` (it had ended), ``unknown``.
        """
        if signal not in transitions.SIGNALS:
            hint = f"Use one of {', '.join(transitions.SIGNALS)}."
            raise InvalidTask(f"signal={signal!r} cannot end a task.", hint=hint)
        if self._uuid is None:
            return Answer.UNKNOWN
        kill_with = signal if terminate else None
        answers = transitions.revoke([self._uuid], signal=kill_with, actor=actor, reason=reason)
        self.refresh()
        if wait and answers[self._uuid] in (Answer.REQUESTED, Answer.TERMINATING):
            self.get(timeout=timeout, propagate=False)
        return answers[self._uuid]

    def rerun(self, *, actor: str = "", reason: str = "") -> Answer:
        """Run a failed or revoked task again, under the same id."""
        if self._uuid is None:
            return Answer.UNKNOWN
        answers = transitions.rerun([self._uuid], actor=actor, reason=reason)
        self.refresh()
        return answers[self._uuid]

    def forget(self) -> None:
        """Drop the result's value; the state and the history stay, and ``get()`` returns None."""
        if self._uuid is not None:
            transitions.forget([self._uuid])
            self.refresh()

    def refresh(self) -> None:
        """Read the row again when next asked, even if the task had ended."""
        self._row, self._frozen, self._absent_state = None, False, None

    def _state_without_row(self) -> str:
        return self._absent_state or missing_states([self.id])[self.id]

    def _current(self) -> TrackedTask | None:
        """The row: the one that is known while nothing can change it, else a fresh one."""
        settled = self._frozen or (self._row is not None and self._row.state in FINAL)
        if not settled and self._uuid is not None:
            self._row = result_rows().filter(pk=self._uuid).first()
        return self._row


def _returned(row: TrackedTask) -> Any:
    if row.result_expired_at:
        raise ResultExpired(
            f"Task {row.pk} has succeeded, but the value that it returned was kept until "
            f"{_moment(row.result_expired_at)} only.",
            hint="RESULT_EXPIRES, or the task's result_expires, says how long values are kept.",
        )
    return restored(row.result)


def _what_it_does(row: TrackedTask) -> str:
    """Why an unfinished task may not have ended yet."""
    if row.state == State.STARTED:
        worker = f" on {row.worker.name}" if row.worker_id and row.worker else ""
        return f"It has been running since {_moment(row.started_at)}{worker}."
    if row.stage == Stage.BLOCKED:
        return "It waits for other tasks."
    if row.stage == Stage.SCHEDULED:
        return f"It runs no earlier than {_moment(row.run_after)}."
    if row.stage == Stage.GATED:
        return "It waits for a limit: manage.py tasktrack doctor says for which."
    if paused := limits.paused_queues([row.queue]):
        return f"Its queue, {row.queue!r}, has been paused since {_moment(paused[0].paused_at)}."
    return f"manage.py worker must run for its queue, {row.queue!r}."


def _moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S %Z}".rstrip() if at else "an unknown time"
