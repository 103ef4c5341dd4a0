"""The workers: which live, which are silent, what they serve, know and hold."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count

from .. import liveness
from ..conf import config
from ..models import TrackedTask, Worker
from ..served import Served
from ..states import Stage
from ..vendors import Vendor

#: Workers that are gone of which a list tells.
GONE = 50


@dataclass(frozen=True, slots=True)
class Member:
    """A worker as it is at one moment.

    Attributes:
        row: what it says of itself.
        silence: time since its last sign of life.
        lives: whether it works, as far as anybody can tell from outside.
        holds: tasks that it has claimed.
    """

    row: Worker
    silence: timedelta
    lives: bool
    holds: int

    @property
    def condition(self) -> str:
        """One word: alive, silent (signs of life are missing), stopping, stopped or lost."""
        if not self.row.is_alive:
            return self.row.condition
        if not self.lives or self.silence > timedelta(seconds=3 * config().HEARTBEAT):
            return "silent"
        return "stopping" if self.row.shutdown_requested_at else "alive"

    @property
    def takes_more(self) -> bool:
        """Whether it claims tasks, as far as anybody can tell."""
        return self.lives and self.row.shutdown_requested_at is None

    @property
    def busy(self) -> int:
        """Places that are taken; what it holds beyond that was claimed ahead."""
        return min(self.holds, self.row.concurrency)

    @property
    def lost_in(self) -> timedelta:
        """Time until others give its tasks back, if it stays silent."""
        return max(timedelta(0), timedelta(seconds=config().LEASE) - self.silence)

    def serves(self, queue: str) -> bool:
        return queue in self.row.served

    def knows(self, name: str) -> bool:
        return name in self.row.known_tasks


def fleet(vendor: Vendor, now: datetime, *, gone: bool = False) -> list[Member]:
    """The workers whose rows count as alive, newest first.

    Args:
        vendor: of the database that holds them.
        now: by the database's clock.
        gone: with the latest that have stopped or were lost.
    """
    rows = Worker.objects.using(vendor.using)
    found = list(rows.alive().order_by("-pk"))
    if gone:
        known = [worker.pk for worker in found]
        found += rows.exclude(pk__in=known).order_by("-pk")[:GONE]
    return members(vendor, now, found)


def members(vendor: Vendor, now: datetime, rows: Collection[Worker]) -> list[Member]:
    """These workers with what can be seen of them from outside."""
    claimed = TrackedTask.objects.using(vendor.using).filter(stage=Stage.CLAIMED)
    by_worker = claimed.filter(worker_id__in=[row.pk for row in rows]).values_list("worker_id")
    held = dict(by_worker.annotate(Count("pk")).order_by())
    counting = [row.pk for row in rows if row.is_alive]
    living, dead = liveness.verdicts(vendor.connection, counting)
    lease = timedelta(seconds=config().LEASE)

    def lives(row: Worker) -> bool:
        if not row.is_alive or row.pk in dead:
            return False
        return row.pk in living or now - row.heartbeat_at <= lease

    return [
        Member(row, max(timedelta(0), now - row.heartbeat_at), lives(row), held.get(row.pk, 0))
        for row in rows
    ]


def known_names(fleet: Iterable[Member]) -> set[str]:
    """The tasks that a living worker knows."""
    return {name for member in fleet if member.lives for name in member.row.known_tasks}


def served_queues(fleet: Iterable[Member]) -> list[Served]:
    """What living workers serve, each choice of queues once, in the order of their words."""
    return sorted({member.row.served for member in fleet if member.lives}, key=str)
