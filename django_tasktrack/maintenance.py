"""What must be done now and then by whichever worker comes first."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterable, Sequence

from . import pursuit, transitions
from .models import Worker
from .vendors import Vendor, errors

logger = logging.getLogger("django_tasktrack.worker")

#: Goals whose task vanished are looked for in every so manieth round.
_ORPHANS_EVERY = 30


class Maintenance:
    """One worker's share of the upkeep.

    Args:
        vendor: of the database that holds the tasks.
        interval: seconds between two rounds.
        lease: a worker silent for longer is lost.
        queues: those that this worker serves; empty for all.
        known: the tasks that it knows.
    """

    def __init__(
        self,
        vendor: Vendor,
        interval: float,
        lease: float,
        queues: Sequence[str],
        known: Iterable[str],
    ) -> None:
        self._vendor = vendor
        self._interval = interval
        self._lease = lease
        self._queues = queues
        self._known = frozenset(known)
        self._complained: set[str] = set()
        self._round = 0
        self.due_at = 0.0

    def run(self, now: float) -> None:
        """Do one round if it is time. ``now`` is monotonic; rounds are jittered, so workers spread."""
        if now < self.due_at:
            return
        self.due_at = now + self._interval * random.uniform(0.8, 1.2)  # noqa: S311
        for step in (self._rescue, self._expire, self._hold_unknown, self._unhold, self._pursue):
            try:
                step()
            except errors.TROUBLE:
                raise  # the database: the next round does it
            except Exception:  # one task or goal that is odd must not end the worker
                logger.exception("A part of the upkeep has failed: %s.", step.__name__.strip("_"))
        self._round += 1
        # Far from the database a round takes long, and tasks wait meanwhile.
        ended = time.monotonic()
        self.due_at = max(self.due_at, ended + 2 * (ended - now))

    def _rescue(self) -> None:
        rescued = transitions.rescue(self._vendor, self._lease)
        if rescued.applied:
            logger.warning("Rescued tasks of lost workers: %d.", len(rescued.applied))

    def _expire(self) -> None:
        transitions.expire(self._vendor)

    def _unhold(self) -> None:
        transitions.unhold(self._vendor, self._known)

    def _pursue(self) -> None:
        pursuit.reconcile(self._vendor)
        if self._round % _ORPHANS_EVERY == 0:
            pursuit.adopt_orphans(self._vendor)

    def _hold_unknown(self) -> None:
        alive = Worker.objects.using(self._vendor.using).alive()
        known = self._known.union(*alive.values_list("known_tasks", flat=True))
        for name, count in transitions.hold_unknown(self._vendor, self._queues, known).items():
            if name not in self._complained:
                self._complained.add(name)
                logger.warning(
                    "No worker knows the task %r; %d of it wait, without an attempt used.",
                    name,
                    count,
                )
