"""From where on to look for due tasks, so that a look need not read what has ended long ago."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from uuid import UUID

from ..ids import first_id_of, milliseconds_of

#: A look everywhere comes at least this often, in seconds: for tasks that are due late.
EVERYWHERE_EVERY = 0.1
#: Seconds by which tasks may be older than others that were claimed and still be found at once.
SLACK = 1.0


class Frontier:
    """Ids rise with time, so that new tasks stand behind those that were claimed.

    Where an old snapshot keeps dead rows alive, their index entries stand before the living, and each look
    would read them all. What becomes due behind the frontier (a retry, a commit that took long, an id
    of the caller's own) is found by looks everywhere.
    """

    def __init__(self) -> None:
        self._after: UUID | None = None
        self._looked_at = -math.inf

    def start(self, now: float) -> UUID | None:
        """The id behind which to look at this monotonic moment; None: everywhere."""
        if self._after is None or now >= self.everywhere_at():
            self._looked_at = now
            return None
        return self._after

    def everywhere_at(self) -> float:
        """When a look everywhere is due."""
        return self._looked_at + EVERYWHERE_EVERY

    def learn(self, ids: Iterable[UUID], *, more: bool) -> None:
        """These were found.

        Args:
            ids: of any kind; only those that tell a time count.
            more: whether there may be others between them, because no more were asked for.
        """
        times = [milliseconds_of(task_id) for task_id in ids if task_id.version == 7]
        if times:
            found = min(times) if more else max(times)
            # An id of a clock that is ahead must not hide those of the others.
            last = min(found, int(time.time() * 1000)) - int(SLACK * 1000)
            self._after = first_id_of(last)
