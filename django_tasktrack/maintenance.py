"""What must be done now and then by whichever worker comes first."""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import compress, repeat
from operator import attrgetter
from uuid import UUID

from . import pursuit, transitions
from .agenda import Agenda
from .changes import Written
from .herald import Herald
from .models import Worker
from .schedules.scheduler import Scheduler
from .served import Served
from .sweeping import Sweeping
from .vendors import Vendor, errors

logger = logging.getLogger("django_tasktrack.worker")

#: Goals whose task vanished are looked for after so many intervals.
_ORPHANS_EVERY = 30

#: Seconds until it is said again that a step has failed.
_TELL_EVERY = 60.0

#: What of an agenda calls for which step, in their order.
_UPKEEP = attrgetter("gone", "expired", "unknown", "held", "goals")


class Maintenance:
    """One worker's share of the upkeep.

    Args:
        vendor: of the database that holds the tasks.
        interval: seconds between two rounds.
        lease: a worker silent for longer is lost.
        queues: those that this worker serves; empty for all.
        known: the tasks that it knows.
        excluded: queues that are left out of all of them.
        herald: tells whoever listens of what has ended here.
        sweeping: its share of what retention asks for; None: it has none.
    """

    def __init__(
        self,
        vendor: Vendor,
        interval: float,
        lease: float,
        queues: Sequence[str],
        known: Iterable[str],
        *,
        excluded: Sequence[str] = (),
        herald: Herald | None = None,
        sweeping: Sweeping | None = None,
    ) -> None:
        self._vendor = vendor
        self.interval = interval
        self._lease = lease
        self._queues, self._excluded = queues, excluded
        self._known = frozenset(known)
        self._herald = herald or Herald()
        self._complained: set[str] = set()
        self._refused: set[UUID] = set()
        self._told_until: dict[str, float] = {}
        self._agenda: Agenda | None = None
        self._scheduler = Scheduler(vendor, self._known)
        self._sweeping = sweeping
        self._enqueued = False
        self._round_at = self._orphans_at = 0.0
        self._rounds_due_at = 0.0

    @property
    def due_at(self) -> float:
        """When to call ``run`` next, by the monotonic clock."""
        swept_at = self._sweeping.due_at if self._sweeping else math.inf
        return min(self._rounds_due_at, self._scheduler.due_at, swept_at)

    def serve(self, served: Served) -> None:
        """Look after these queues from now on."""
        self._queues, self._excluded = served.only, served.excluded

    def heed(self, agenda: Agenda) -> None:
        """The next round need only do what this says; where it says nothing, there is none before the
        next agenda."""
        self._scheduler.heed(agenda.slot_in)
        if any(_UPKEEP(agenda)):
            self._agenda, self._rounds_due_at = agenda, self._round_at
        else:
            later = time.monotonic() + 2 * self.interval
            self._agenda, self._rounds_due_at = None, min(later, self._orphans_at)

    def run(self, now: float) -> bool:
        """Do one round if it is time, run schedules when it is theirs, and sweep a little when it is time for
        that. ``now`` is monotonic; rounds are jittered, so workers spread.

        Returns:
            Whether a schedule has enqueued something.
        """
        self._enqueued = False
        if now >= self._scheduler.due_at:
            self._do(self._run_schedules, now)
        if now >= self._rounds_due_at:
            self._run_round(now)
        if self._sweeping and now >= self._sweeping.due_at:
            self._do(self._sweeping.sweep, now)
        return self._enqueued

    def _run_round(self, now: float) -> None:
        self._round_at = now + self.interval * random.uniform(0.8, 1.2)  # noqa: S311
        self._rounds_due_at = self._round_at
        for step in self._steps(now):
            self._do(step, now)
        # Far from the database a round takes long, and tasks wait meanwhile.
        ended = time.monotonic()
        self._round_at = self._rounds_due_at = max(self._round_at, ended + 2 * (ended - now))

    def _do(self, step: Callable[[], None], now: float) -> None:
        try:
            step()
        except Exception as error:  # one task or goal that is odd must not end the worker
            if isinstance(error, errors.TROUBLE) and not errors.may_be_the_data_s(error):
                raise  # the database: the next round does it
            self._tell_failure(step.__name__.strip("_"), now)

    def _steps(self, now: float) -> Iterable[Callable[[], None]]:
        """What this round does: what the last agenda says, once; without one, all."""
        agenda, self._agenda = self._agenda, None
        steps = (self._rescue, self._expire, self._hold_unknown, self._unhold, self._pursue)
        yield from compress(steps, repeat(True) if agenda is None else _UPKEEP(agenda))
        if agenda is None:
            yield self._look_for_slots
        if now >= self._orphans_at:
            self._orphans_at = now + _ORPHANS_EVERY * self.interval
            yield self._adopt_orphans
            yield self._follow_up
            yield self._scheduler.tidy

    def _tell_failure(self, step: str, now: float) -> None:
        """Say which step the current exception has broken off, and not again at once."""
        if now >= self._told_until.get(step, now):
            self._told_until[step] = now + _TELL_EVERY
            logger.exception("A part of the upkeep has failed: %s.", step)

    def _tell_refused(self, written: Written) -> None:
        for task_id, why in written.refused.items():
            if task_id not in self._refused:
                logger.error("Task %s cannot be written, and stays as it is: %s", task_id, why)
        self._refused |= written.refused.keys()

    def _rescue(self) -> None:
        rescued = transitions.rescue(self._vendor, self._lease)
        if rescued.applied:
            logger.warning("Rescued tasks of lost workers: %d.", len(rescued.applied))
        self._tell_refused(rescued)
        self._herald.ended(rescued.applied, lost=True)

    def _expire(self) -> None:
        expired = transitions.expire(self._vendor)
        self._tell_refused(expired)
        self._herald.ended(expired.applied, expired=True)

    def _unhold(self) -> None:
        transitions.unhold(self._vendor, self._known)

    def _pursue(self) -> None:
        pursuit.reconcile(self._vendor)

    def _run_schedules(self) -> None:
        self._enqueued = self._scheduler.run()

    def _look_for_slots(self) -> None:
        self._scheduler.look()

    def _adopt_orphans(self) -> None:
        pursuit.adopt_orphans(self._vendor)

    def _follow_up(self) -> None:
        transitions.follow_up(self._vendor)

    def _hold_unknown(self) -> None:
        alive = Worker.objects.using(self._vendor.using).alive()
        known = self._known.union(*alive.values_list("known_tasks", flat=True))
        found = transitions.hold_unknown(self._vendor, self._queues, known, self._excluded)
        for name, count in found.items():
            if name not in self._complained:
                self._complained.add(name)
                logger.warning(
                    "No worker knows the task %r; %d of it wait, without an attempt used.",
                    name,
                    count,
                )
