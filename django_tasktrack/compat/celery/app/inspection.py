"""``app.control.inspect()``: what workers run, hold and know, from the table, in the form that Celery gives it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from ....conf import config
from ....ids import parse_id
from ....models import TrackedTask
from ....overview.fleet import Member, fleet
from ....overview.queues import queue_figures
from ....querysets import TaskQuerySet
from ....serializers import restored
from ....states import WAITING, Stage, State
from ....vendors import task_database, vendor_for

#: Under this name stands what no worker has: it is in the table, for whichever comes.
TABLE = "table"
#: Tasks of a list, at the most; of those that were revoked, the latest.
MOST = 1000

#: By the name of the worker.
Answers = dict[str, list[dict[str, Any]]]


def living(destination: str | Collection[str] | None = None) -> list[Member]:
    """The workers that live; of these names, if some are given."""
    vendor = vendor_for(task_database())
    wanted = {destination} if isinstance(destination, str) else set(destination or ())
    found = [member for member in fleet(vendor, vendor.now()) if member.lives]
    return [member for member in found if not wanted or member.row.name in wanted]


class Inspect:
    """Questions about workers. As Celery's it answers by the names of workers, and None where no worker lives.

    Tasks that no worker has taken stand under the name "table", also while no worker lives.

    Args:
        destination: names of workers, one or several; by default all.
    """

    def __init__(self, destination: str | Collection[str] | None = None) -> None:
        self._destination = destination

    # Tasks

    def active(self, **without_effect: object) -> Answers | None:
        """What they run."""
        return self._of_workers(_rows().in_state(State.STARTED).order_by("started_at"))

    def reserved(self, **without_effect: object) -> Answers | None:
        """What they have claimed and not begun, as far as the table says."""
        rows = _rows().filter(stage=Stage.CLAIMED, state__in=WAITING)
        return self._of_workers(rows.order_by("pk"))

    def scheduled(self, **without_effect: object) -> Answers | None:
        """What is due later: each with ``eta``, ``priority`` and ``request``."""
        rows = _rows().filter(stage=Stage.SCHEDULED).order_by("run_after")[:MOST]
        told = [
            {"eta": row.run_after.isoformat(), "priority": row.priority, "request": _told(row)}
            for row in rows
        ]
        return self._of_table(told)

    def revoked(self, **without_effect: object) -> dict[str, list[str]] | None:
        """The ids of those that were revoked, the latest first."""
        rows = _rows().in_state(State.REVOKED).order_by("-finished_at")[:MOST]
        return self._of_table([str(row.pk) for row in rows])

    def query_task(self, *ids: Any, **without_effect: object) -> dict[str, dict[str, Any]] | None:
        """What is known of tasks: by the name of the worker, by id, a word and the task."""
        given = ids[0] if len(ids) == 1 and isinstance(ids[0], (list, tuple)) else ids
        wanted = [found for one in given if (found := parse_id(one))]
        answers: dict[str, dict[str, Any]] = {member.row.name: {} for member in self._living()}
        for row in _rows().many(wanted):
            word = "active" if row.state == State.STARTED else "reserved"
            if row.stage == Stage.CLAIMED and row.worker and row.worker.name in answers:
                answers[row.worker.name][str(row.pk)] = [word, _told(row)]
        return answers or None

    # Workers

    def registered(
        self, *taskinfoitems: str, **without_effect: object
    ) -> dict[str, list[str]] | None:
        """The names of the tasks that they know."""
        return {member.row.name: list(member.row.known_tasks) for member in self._living()} or None

    registered_tasks = registered

    def active_queues(self, **without_effect: object) -> Answers | None:
        """The queues that they serve; of one that serves all, those in which something is unfinished."""
        return {
            member.row.name: [{"name": name, "routing_key": name} for name in _queues(member)]
            for member in self._living()
        } or None

    def stats(self, **without_effect: object) -> dict[str, dict[str, Any]] | None:
        """What they are: ``pid``, ``hostname``, ``uptime`` in seconds, ``version``, ``pool``, ``busy`` places."""
        now = vendor_for(task_database()).now()
        return {
            member.row.name: {
                "pid": member.row.pid,
                "hostname": member.row.host,
                "uptime": int((now - member.row.started_at).total_seconds()),
                "version": member.row.version,
                "pool": {
                    "implementation": member.row.pool,
                    "max-concurrency": member.row.concurrency,
                },
                "busy": member.busy,
            }
            for member in self._living()
        } or None

    def ping(self, destination: Any = None, **without_effect: object) -> dict[str, Any] | None:
        """``{name: {"ok": "pong"}}`` of those that live."""
        found = living(destination or self._destination)
        return {member.row.name: {"ok": "pong"} for member in found} or None

    # How it is told

    def _living(self) -> list[Member]:
        return living(self._destination)

    def _of_workers(self, rows: TaskQuerySet) -> Answers | None:
        answers: Answers = {member.row.name: [] for member in self._living()}
        for row in rows[:MOST]:
            if row.worker and row.worker.name in answers:
                answers[row.worker.name].append(_told(row))
        return answers or None

    def _of_table(self, told: list[Any]) -> dict[str, list[Any]] | None:
        """An empty list for each worker, because none of them has any of it."""
        answers: dict[str, list[Any]] = {member.row.name: [] for member in self._living()}
        return {**answers, TABLE: told} if told else answers or None


def _rows() -> TaskQuerySet:
    rows: Any = TrackedTask.objects.using(task_database()).select_related("worker")
    found: TaskQuerySet = rows
    return found


def _queues(member: Member) -> Iterable[str]:
    if member.row.queues:
        return list(member.row.queues)
    vendor = vendor_for(task_database())
    unfinished = {figures.name for figures in queue_figures(vendor, vendor.now())}
    return sorted(
        name for name in unfinished | {config().DEFAULT_QUEUE} if name in member.row.served
    )


def _told(row: TrackedTask) -> dict[str, Any]:
    """A task under Celery's names."""
    return {
        "id": str(row.pk),
        "name": row.name,
        "type": row.name,
        "args": restored(row.args),
        "kwargs": restored(row.kwargs),
        "hostname": row.worker.name if row.worker else None,
        "time_start": row.started_at.timestamp() if row.started_at else None,
        "acknowledged": row.state == State.STARTED,
        "delivery_info": {
            "exchange": "",
            "routing_key": row.queue,
            "priority": row.priority,
            "redelivered": row.losses > 0,
        },
        "worker_pid": row.worker.pid if row.worker else None,
    }
