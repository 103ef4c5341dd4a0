"""A worker's answer to the wish that one of its tasks ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from uuid import UUID

from .. import transitions
from ..changes import RevokeRequest
from ..pools import Pool
from ..registration import Registration
from ..vendors import Vendor
from .outbox import Outbox

logger = logging.getLogger("django_tasktrack.worker")

#: Seconds until a wish about a task that is not here is looked at again.
_SECOND_LOOK = 0.1


class Revoking:
    """Looks for wishes, stops what they are about, and remembers who wished it."""

    def __init__(
        self,
        vendor: Vendor,
        pool: Pool,
        registration: Registration,
        outbox: Outbox,
        interval: float,
    ) -> None:
        self._vendor = vendor
        self._pool = pool
        self._registration = registration
        self._outbox = outbox
        self._interval = interval
        self._asked: dict[UUID, RevokeRequest] = {}
        self._refused: dict[UUID, float] = {}
        self._puzzling: set[tuple[UUID, int]] = set()
        self.due_at = 0.0

    def look_now(self) -> None:
        """Somebody says that there is a wish."""
        self.due_at = 0.0

    def request_of(self, task_id: UUID) -> RevokeRequest | None:
        """The wish that this task's body was stopped for, once: the body has ended now."""
        return self._asked.pop(task_id, None)

    def refused(self, task_id: UUID, began: float) -> None:
        """What the task did was refused by the fence. A wish may be the reason: then answer it."""
        self._refused[task_id] = began
        self.due_at = 0.0

    def forget(self) -> None:
        """None of the tasks is ours any more."""
        self._asked.clear()
        self._refused.clear()
        self._puzzling.clear()

    def run(self, given_back: Collection[UUID] = ()) -> None:
        """Answer every wish about a task of this worker, if it is time to look.

        Args:
            given_back: claims that are not in the pool any more and never will be; their rows are held.
        """
        now = time.monotonic()
        if now < self.due_at:
            return
        self.due_at = now + self._interval
        here = any(self._pool.load()) or given_back
        if not here and not self._refused and not self._puzzling:
            return
        puzzling: set[tuple[UUID, int]] = set()
        for request in transitions.revoke_requests(self._vendor, self._registration.worker_id):
            if request.task_id in given_back and request.task_id not in self._outbox:
                self._outbox.add(transitions.stopped(request, self._registration.worker_id, None))
            elif not self._answer(request, now):
                puzzling.add((request.task_id, request.lease))
        self._refused.clear()
        self._puzzling = puzzling
        if puzzling:
            self.due_at = now + _SECOND_LOOK

    def _answer(self, request: RevokeRequest, now: float) -> bool:
        """Answer one wish. False: the task is not here, and that is not understood yet.

        Its body may have ended a moment ago, with its end still on the way from the pool: then that end
        counts. Not here at a second look, it has ended and its end was refused.
        """
        task_id, worker_id = request.task_id, self._registration.worker_id
        if self._pool.withdraw(task_id):
            self._outbox.add(transitions.stopped(request, worker_id, None))
        elif self._pool.has(task_id):
            if self._asked.get(task_id) != request:
                self._asked[task_id] = request
                self._stop_body(request)
        elif task_id not in self._outbox:
            known = task_id in self._refused or (task_id, request.lease) in self._puzzling
            if known:
                began = self._refused.get(task_id, now)
                self._outbox.add(transitions.stopped(request, worker_id, began))
            return known
        return True

    def _stop_body(self, request: RevokeRequest) -> None:
        if request.signal and self._pool.can_terminate:
            if not self._pool.terminate(request.task_id, request.signal):
                del self._asked[request.task_id]  # it ends or begins at this moment: look again
            return
        if request.signal:
            logger.warning(
                "The %s pool cannot terminate; task %s is asked to end at its next checkpoint.",
                self._pool.name,
                request.task_id,
            )
        self._pool.revoke(request.task_id)
