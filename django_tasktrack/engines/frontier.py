"""From where on to look for due tasks, so that a look need not read what has ended long ago."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from ..agenda import Behind
from ..ids import first_id_of, milliseconds_of
from ..outcomes import Claim

#: A look everywhere comes this often, in seconds: for tasks that are due late, and for new lanes.
EVERYWHERE_EVERY = 0.1
#: It comes less often where it reads much in vain, and may take this share of the time;
SHARE = 0.005
#: but never more seldom than this, in seconds.
EVERYWHERE_AT_LAST = 5.0
#: Seconds by which tasks may be older than others that were claimed and still be found at once.
SLACK = 1.0
#: Looks behind the frontier cost a little for each lane.
LANES = 100


class Frontier:
    """Ids rise with time, so that new tasks stand behind those that were claimed, lane by lane.

    A lane is a queue and a priority: in the order of the claim's index, the new tasks of a lane stand
    together. Where an old snapshot keeps dead rows alive, their entries stand before them, and each look
    everywhere reads all of those. What becomes due behind the frontier (a retry, a commit that took long,
    an id of the caller's own) and what comes in a new lane is found by looks everywhere.
    """

    def __init__(self) -> None:
        self._behind: Behind | None = None
        self._lanes: tuple[tuple[str, int], ...] = ()
        self._looked_at = -math.inf
        self._pause = EVERYWHERE_EVERY
        self._more = False
        self._seconds_behind = 0.0

    def start(self, now: float) -> Behind | None:
        """Where to look at this monotonic moment; None: everywhere."""
        if self._behind is None or now >= self.everywhere_at():
            self._looked_at = now
            return None
        return self._behind

    def everywhere_at(self) -> float:
        """When a look everywhere is due."""
        return self._looked_at + self._pause

    def learn(
        self, found: Sequence[Claim], *, more: bool, behind: Behind | None, seconds: float
    ) -> None:
        """What a look has found.

        Args:
            found: of any kind; only ids that tell a time count.
            more: whether there may be others between them, because no more were asked for.
            behind: where the look was.
            seconds: how long it took.
        """
        if behind:
            self._seconds_behind = seconds
            if self._more and not more:  # other lanes may still have what is older
                self._looked_at = -math.inf
        else:
            self._more = more
            in_vain = (seconds - self._seconds_behind) / (1 + len(found))
            # Doubled at most: one look that was slow says little.
            pause = min(in_vain / SHARE, 2 * self._pause, EVERYWHERE_AT_LAST)
            self._pause = max(EVERYWHERE_EVERY, pause)
        times = [milliseconds_of(one.task_id) for one in found if one.task_id.version == 7]
        if not times:
            return
        at = min(times) if more else max(times)
        # An id of a clock that is ahead must not hide those of the others.
        last = min(at, int(time.time() * 1000)) - int(SLACK * 1000)
        here = {(one.queue, one.priority) for one in found}
        lanes = (*(lane for lane in self._lanes if lane not in here), *here)
        self._lanes = lanes[-LANES:]
        self._behind = Behind(first_id_of(last), self._lanes)
