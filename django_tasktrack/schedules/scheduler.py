"""One worker's share of the schedules: it knows when the next slot comes, and asks for nothing before."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection

from ..vendors import Vendor, errors
from .firing import fire_due, next_in
from .planning import replan
from .synchronising import synchronise

logger = logging.getLogger("django_tasktrack.worker")

#: Between two tries of what has failed, in seconds; half of it, where somebody holds a schedule.
_PAUSE = 1.0


class Scheduler:
    """Runs slots when they come. Its times are monotonic.

    Args:
        vendor: of the database that holds the schedules.
        known: the tasks that this worker knows.
    """

    def __init__(self, vendor: Vendor, known: Collection[str]) -> None:
        self._vendor = vendor
        self._known = known
        self._synchronised = False
        self.due_at = 0.0

    def heed(self, slot_in: float | None) -> None:
        """The next slot comes in so many seconds; None: none does."""
        if self._synchronised:
            self.due_at = math.inf if slot_in is None else time.monotonic() + max(0.0, slot_in)

    def look(self) -> None:
        """Ask when the next slot comes, where no agenda tells it."""
        self.heed(next_in(self._vendor, self._known))

    def run(self) -> bool:
        """Run the slots that have come; the first time, bring the rows in line with the code before.

        Returns:
            Whether there were any.
        """
        self.due_at = time.monotonic() + _PAUSE
        if not self._synchronised:
            self._synchronise()
        fired = fire_due(self._vendor, self._known)
        for one in fired:
            joined = " (was there already)" if one.joined else ""
            logger.info("Schedule %s: task %s%s", one.schedule, one.task_id, joined)
        self.look()
        if not fired:  # what is due all the same is held by somebody
            self.due_at = max(self.due_at, time.monotonic() + _PAUSE / 2)
        return bool(fired)

    def _synchronise(self) -> None:
        try:
            synchronise(self._vendor, self._known)
        except Exception as error:
            if isinstance(error, errors.TROUBLE) and not errors.may_be_the_data_s(error):
                raise  # the database: the next turn begins anew
            logger.exception("Schedules could not be brought in line with the code.")
        self._synchronised = True

    def tidy(self) -> None:
        """What is done now and then: plan rows that were made by hand."""
        replan(self._vendor, self._known)
