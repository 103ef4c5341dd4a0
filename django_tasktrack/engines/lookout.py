"""One look at everything now and then, so that an idle worker has to ask for nothing else."""

from __future__ import annotations

import time

from ..agenda import Agenda
from ..registration import Registration
from ..vendors import Vendor
from .gate import Gate
from .plan import Plan


class Lookout:
    """Asks for the agenda, where the database tells it in one statement.

    Args:
        vendor: of the database that holds the tasks.
        plan: what the worker is asked to do.
        registration: its row.
        gate: knows which of its tasks are limited.
        interval: seconds between two looks.
    """

    def __init__(
        self,
        vendor: Vendor,
        plan: Plan,
        registration: Registration,
        gate: Gate,
        interval: float,
    ) -> None:
        self._vendor = vendor
        self._plan = plan
        self._registration = registration
        self._gate = gate
        self._interval = interval
        self.due_at = 0.0

    def run(self) -> Agenda | None:
        """The agenda, if it is time and the database has one."""
        now = time.monotonic()
        if now < self.due_at:
            return None
        self.due_at = now + self._interval
        plan = self._plan
        return self._vendor.agenda(
            self._registration.worker_id,
            plan.queues,
            plan.names,
            plan.lease,
            self._gate.limited,
            excluded=plan.excluded,
        )
