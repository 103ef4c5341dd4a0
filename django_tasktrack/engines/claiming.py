"""How much to claim, and when to look."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from .. import transitions
from ..agenda import Agenda
from ..outcomes import Claim
from ..pools import Pool
from ..registration import Registration
from ..served import Served
from ..vendors import Vendor
from .frontier import Frontier
from .gate import Gate
from .plan import Plan

#: Claims are taken ahead to cover so many seconds of work, but no more than so many,
AHEAD, AHEAD_LIMIT = 0.05, 1000
#: and given back after they have waited behind long bodies for so many seconds.
GIVE_BACK_AFTER = 0.5


class Claiming:
    """Keeps the pool supplied: with what it can use, and no more than it will soon start."""

    def __init__(self, vendor: Vendor, plan: Plan, pool: Pool, registration: Registration) -> None:
        self._vendor = vendor
        self._plan = plan
        self._pool = pool
        self._registration = registration
        self._body_seconds = 1.0
        self._more = True
        self._pause = plan.poll_min
        self._claim_at = self._promote_at = 0.0
        self._frontier = Frontier()
        self.gate = Gate(vendor, plan, registration)
        self._gated_last = False

    def look_now(self) -> None:
        """Somebody says that there is something to do."""
        self.gate.look_now()
        self._claim_at = self._promote_at = 0.0
        self._pause = self._plan.poll_min

    def serve(self, served: Served) -> None:
        """Claim from these queues from now on."""
        self._plan.queues, self._plan.excluded = served.only, served.excluded
        self._frontier = Frontier()  # the old one may know of others
        self.look_now()

    def expect_more(self) -> None:
        """This worker itself has enqueued something: a burst is not over before it has run."""
        self.look_now()
        self._more = True

    def look_at(self, moment: float) -> None:
        """A task of ours will be due at this monotonic moment."""
        self._claim_at = min(self._claim_at, moment)
        self._promote_at = min(self._promote_at, moment)

    def heed(self, agenda: Agenda) -> None:
        """Look now, or later: what it says was asked at this moment, and counts as a look."""
        if agenda.due:
            self.look_now()
        now = time.monotonic()
        if self._claim_at:  # else somebody has said meanwhile that there is something to do
            self._rest(now)
        if self._promote_at:
            due_in = math.inf if agenda.scheduled_in is None else agenda.scheduled_in
            self._promote_at = now + min(due_in, self._plan.poll_max)

    def learn(self, body_seconds: float) -> None:
        """A body took so long."""
        self._body_seconds += 0.2 * (body_seconds - self._body_seconds)
        if self._plan.burst:  # it may have enqueued others
            self._more = True
            self.gate.doubt()

    def due_at(self) -> float:
        """When to call ``run`` next, if nothing happens before."""
        ours = min(self._promote_at, self.gate.asks_at)
        if not self._room():
            return ours
        return min(ours, self.gate.due_at, 0.0 if self._more else self._claim_at)

    def run(self) -> Sequence[Claim]:
        """Promote what has become due, and claim what there is room for.

        Returns:
            New claims, to be submitted to the pool.
        """
        # Of a queue that was paused nothing begins any more; what waits here of others comes again.
        self._give_back_late(0.0 if self.gate.keep_up() else GIVE_BACK_AFTER)
        self._promote()
        room, now = self._room(), time.monotonic()
        at_will, gated = self._more or now >= self._claim_at, now >= self.gate.due_at
        if not room or not (at_will or gated):
            return ()
        # One transaction a call: should another one fail, what this one took is in the pool. Both take turns.
        self._gated_last = gated and not (at_will and self._gated_last)
        if self._gated_last:
            return self.gate.timed(self.gate.claim(self._places(room)))
        return self.gate.timed(self._claim_at_will(room, now))

    def _places(self, room: int) -> int:
        """How many gated tasks to take where there is so much room: those that can start now. They may have
        to wait for one of short bodies, but not for long ones."""
        waiting, running = self._pool.load()
        return min(room, max(1, self._pool.concurrency - waiting - running))

    def _claim_at_will(self, room: int, now: float) -> list[Claim]:
        """Claim what no limit holds."""
        behind = None if self._plan.burst else self._frontier.start(now)
        plan, worker_id = self._plan, self._registration.worker_id
        claims = transitions.claim(
            self._vendor,
            worker_id,
            plan.queues,
            self.gate.names,
            room,
            behind=behind,
            excluded=plan.excluded,
        )
        self._more = len(claims) == room
        seconds = time.monotonic() - now
        self._frontier.learn(claims, more=self._more, behind=behind, seconds=seconds)
        if behind and not self._more:  # there may be others before it
            self._pause, self._claim_at = plan.poll_min, self._frontier.everywhere_at()
        elif claims:
            self._pause, self._claim_at = plan.poll_min, now + plan.poll_min
        else:
            self._rest(now)
        return claims

    def _rest(self, now: float) -> None:
        """There was nothing: look again after a pause that is longer each time."""
        self._pause = min(self._pause * 2, self._plan.poll_max)
        self._claim_at = now + self._pause

    def is_exhausted(self) -> bool:
        """Whether the last look found all that is due, and nothing has become due since."""
        if not self._more:
            self._promote_at = 0.0
            self._promote()
        return not self._more and self.gate.is_drained()

    def _room(self) -> int:
        """How many more claims the pool can use now."""
        waiting, running = self._pool.load()
        ahead = math.floor(self._pool.concurrency * AHEAD / max(self._body_seconds, 1e-5))
        ahead = min(ahead, AHEAD_LIMIT)
        free = self._pool.concurrency + ahead - waiting - running
        return free if waiting <= ahead // 2 else 0

    def _give_back_late(self, after: float) -> None:
        """Claims that wait behind long bodies go back: another worker may be free."""
        late = self._pool.withdraw_waiting(after)
        if late:
            self._body_seconds = max(self._body_seconds, after)
            transitions.unclaim(self._vendor, late)
            self.gate.freed(claim.task_id for claim in late)

    def _promote(self) -> None:
        now = time.monotonic()
        if now < self._promote_at:
            return
        promoted, following = self._vendor.promote()
        if promoted:
            self.gate.look_now()
        pause = self._plan.poll_max if following is None else min(following, self._plan.poll_max)
        self._promote_at = now + max(pause, 0.001)
        self._more = self._more or bool(promoted)
