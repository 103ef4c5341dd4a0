"""Claims of this worker's that it does not know of."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from uuid import UUID

from .. import transitions
from ..agenda import Agenda
from ..registration import Registration
from ..vendors import Vendor
from .outbox import Outbox
from .revoking import Revoking

logger = logging.getLogger("django_tasktrack.worker")

#: Seconds between two looks, and when nothing runs here any more.
LOOK_EVERY, LAST_LOOKS_EVERY = 1.0, 0.1


class Strays:
    """Finds them, and gives them back: their bodies never ran.

    A claim whose commit was not answered is in the table all the same, under the number of a worker that
    lives: nobody would rescue it. It may even appear later, because a statement outlives a connection.

    Args:
        vendor: of the database that holds the tasks.
        registration: this worker's row.
        outbox: what is still to be written.
        revoking: answers wishes that stand on a stray.
        is_here: whether the pool has a task.
    """

    def __init__(
        self,
        vendor: Vendor,
        registration: Registration,
        outbox: Outbox,
        revoking: Revoking,
        is_here: Callable[[UUID], bool],
    ) -> None:
        self._vendor = vendor
        self._registration = registration
        self._outbox = outbox
        self._revoking = revoking
        self._is_here = is_here
        self._suspects: frozenset[tuple[UUID, int]] = frozenset()
        self._said: frozenset[tuple[UUID, int]] = frozenset()
        self.due_at = 0.0

    def heed(self, agenda: Agenda) -> None:
        """Without any claim in the table there is no stray: no need to look before the next agenda."""
        if not agenda.claimed:
            self._suspects = self._said = frozenset()
            self.due_at = time.monotonic() + 2 * LOOK_EVERY

    def run(self) -> None:
        """Look, if it is time. What was unknown at two looks is a stray; at one it may just have ended,
        and its end is on the way from the pool."""
        now = time.monotonic()
        if now < self.due_at:
            return
        self.due_at = now + LOOK_EVERY
        held = transitions.held(self._vendor, self._registration.worker_id)
        unknown = {
            (claim.task_id, claim.lease): claim
            for claim in held
            if not self._is_here(claim.task_id) and claim.task_id not in self._outbox
        }
        known = self._suspects & unknown.keys()
        strays = [unknown[key] for key in known]
        self._suspects = frozenset(unknown)
        if known - self._said:
            logger.warning(
                "%d claims went unheard; they go back to their queue.", len(known - self._said)
            )
        self._said = known
        if strays:
            transitions.unclaim(self._vendor, strays)
        for claim in strays:
            if claim.revoke_requested:
                self._revoking.refused(claim.task_id, now)
            elif claim.started:
                self._outbox.add(transitions.released(claim, now, "its claim was not heard of"))

    def are_none(self) -> bool:
        """Whether nothing is claimed here, when nothing runs any more: look, and again soon until it is so."""
        now = time.monotonic()
        self.due_at = min(self.due_at, now + LAST_LOOKS_EVERY) if self._suspects else now
        self.run()
        return not self._suspects
