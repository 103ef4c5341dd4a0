"""What a worker does about limits: which tasks it claims at will, and when it looks at those that have to wait."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from .. import limits, transitions
from ..agenda import Gates
from ..limits import Limits
from ..outcomes import Claim
from ..registration import Registration
from ..vendors import Vendor
from .plan import Plan

#: Gated tasks that were not looked for become free after so many seconds, whatever has become of their limit.
_UNGATE_EVERY = 30.0
#: After a look in vain the next one comes so many times later than it took.
_SHARE = 9.0


class Gate:
    """Knows the limits, and claims the tasks that wait for one.

    Where nothing is limited it costs nothing on PostgreSQL, whose look around tells of limits too, and elsewhere
    a statement a second.

    Args:
        vendor: of the database that holds the tasks.
        plan: what the worker is asked to do.
        registration: its row.
    """

    def __init__(self, vendor: Vendor, plan: Plan, registration: Registration) -> None:
        #: The tasks that may be claimed at will, and those whose rate is limited.
        self.names: Sequence[str] = plan.names
        self.limited: Sequence[str] = ()
        #: When to call ``claim`` next; infinite while there is nothing to look for.
        self.due_at = 0.0 if plan.keyed else math.inf
        #: When to call ``keep_up`` next.
        self.asks_at = 0.0
        self._vendor = vendor
        self._plan = plan
        self._registration = registration
        self._limits = Limits()
        self._active = plan.keyed
        self._told = False
        self._paused_anew = False
        self._looked_at = self._ungated_at = -math.inf
        self._in_vain = 0.0
        self._empty: dict[str, float] = {}
        self._after = ""
        self._keyed: set[UUID] = set()
        self._drained = not plan.keyed

    # What there is of limits

    def doubt(self) -> None:
        """Somebody has changed a limit, or this worker may have enqueued what has to wait for one."""
        self.asks_at = 0.0
        self._drained = False
        if self._active:
            self._look_soon()

    def heed(self, gates: Gates) -> None:
        """As the look around has told: no need to ask before the next one."""
        self._told = True
        self.asks_at = time.monotonic() + 2 * self._plan.poll_max
        self._see(gates)

    def keep_up(self) -> bool:
        """Ask what there is of limits, if it is time and nobody has told.

        Returns:
            Whether a queue was paused since the last time.
        """
        now = time.monotonic()
        if now >= self.asks_at:
            self.asks_at = now + self._plan.poll_max
            self._see(self._vendor.gates())
        paused_anew, self._paused_anew = self._paused_anew, False
        return paused_anew

    def _see(self, gates: Gates) -> None:
        now = time.monotonic()
        if gates.limits != self._limits.version:
            self._learn(limits.read(self._vendor))
            self.due_at = now
        if gates.gated or gates.gateable:
            self._active = True
            if gates.gateable or self.due_at == math.inf:
                self.due_at = min(self.due_at, now)
        elif not self.limited and not self._keyed and self.due_at == math.inf:
            self._drained = True
        if gates.gated and now >= self._ungated_at + _UNGATE_EVERY:
            self._ungate(now)

    def _learn(self, known: Limits) -> None:
        before, self._limits = self._limits, known
        self._paused_anew |= bool(known.paused - before.paused)
        self._empty.clear()
        self.limited = [name for name in self._plan.names if name in known.rates]
        self.names = [name for name in self._plan.names if name not in known.rates]
        self._active = self._active or bool(self.limited)
        if before.rates.keys() - known.rates.keys():
            self._ungate(time.monotonic())

    def _ungate(self, now: float) -> None:
        self._ungated_at = now
        transitions.ungate(self._vendor, self._limits.rates.keys())

    def timed(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        """These claims, with the time limits that were set at run time."""
        times = self._limits.times
        if not times:
            return claims
        return [
            claim._replace(soft_time_limit=times[claim.name][0], time_limit=times[claim.name][1])
            if claim.name in times
            else claim
            for claim in claims
        ]

    # What waits for them

    def look_now(self) -> None:
        """Somebody says that there is something to do: look, unless that was done just now."""
        if self._active:
            self._drained = False
            self._look_soon()

    def _look_soon(self) -> None:
        # A look in vain that took long, past many keys, must not take all of the worker's time.
        pause = max(self._plan.poll_min, self._in_vain * _SHARE)
        self.due_at = min(self.due_at, self._looked_at + pause)

    def freed(self, task_ids: Iterable[UUID]) -> None:
        """These claims are settled, or given back: others of their keys may start."""
        if self._keyed and not self._keyed.isdisjoint(ids := set(task_ids)):
            self._keyed -= ids
            self.due_at, self._drained = 0.0, False

    def forget(self) -> None:
        """What this worker had claimed belongs to others."""
        self._keyed.clear()

    def is_drained(self) -> bool:
        """Whether the last look found nothing that may start now, and nothing has happened since."""
        return self._drained and self.asks_at > 0.0

    def claim(self, room: int) -> list[Claim]:
        """Move due tasks aside that have to wait, and claim those that waited long enough."""
        now = time.monotonic()
        plan = self._plan
        moved = transitions.gate(self._vendor, plan.queues, self.limited, excluded=plan.excluded)
        found = transitions.claim_gated(
            self._vendor,
            self._registration.worker_id,
            plan.queues,
            [name for name in plan.names if self._empty.get(name, 0.0) <= now],
            rates=self._limits.rates,
            limit=room,
            after=self._after,
            excluded=plan.excluded,
        )
        self._looked_at = time.monotonic()
        self._in_vain = 0.0 if found.claims or moved else self._looked_at - now
        self._after = found.last_key
        self._empty.update((name, now + seconds) for name, seconds in found.empty.items())
        self._keyed.update(found.keyed)
        self._drained = not (found.claims or found.raced or moved)
        self.due_at = self._next(now, found, full=len(found.claims) == room, moved=moved)
        return found.claims

    def _next(self, now: float, found: transitions.Started, *, full: bool, moved: int) -> float:
        """When to look again."""
        if full or moved:
            return now
        if found.raced:
            return now + random.uniform(0.005, 0.03)  # noqa: S311  so that two do not race again
        self._empty = {name: at for name, at in self._empty.items() if at > now}
        moments: Collection[float] = [*self._empty.values()]
        if found.claims:
            moments = [*moments, now + self._plan.poll_min]
        elif found.waiting or (self._active and not self._told):
            moments = [*moments, now + self._plan.poll_max]
        return min(moments, default=math.inf)
