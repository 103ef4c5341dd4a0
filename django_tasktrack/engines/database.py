"""The default engine: workers claim rows from the table and write outcomes in groups.

One thread owns the connection. Whenever it is idle it writes all that has piled up since the last
write, then claims what there is room for: no added latency at low load, one commit for hundreds of
tasks at high load. User code never runs in it, and it never waits for user code.
"""

from __future__ import annotations

import contextlib
import logging
import math
import selectors
import time
from collections import deque
from uuid import UUID

from .. import limits, transitions
from ..adaptation import Wish
from ..herald import Herald
from ..maintenance import Maintenance
from ..outcomes import Claim
from ..pools import Pool
from ..pools.base import Died, Event, Finished, Free, Reported
from ..registration import Registration
from ..vendors import Vendor, errors
from ..waker import Waker
from .claiming import Claiming
from .lookout import Lookout
from .outbox import FLUSH_LIMIT, Outbox
from .plan import Plan
from .revoking import Revoking
from .settling import BUSY_PAUSE, Settling
from .strays import Strays
from .trouble import Trouble

logger = logging.getLogger("django_tasktrack.worker")

#: Stopping, a worker whose time is over tries for so many seconds more to say so to a failing database.
_LAST_WORDS = 1.0
_ENDS = (Finished, Died)


class DatabaseEngine:
    """The worker's link between the table and its pool.

    ``post``, ``stop``, ``adapt`` and ``lose`` may be called from any thread; ``run`` is the engine's own.

    Args:
        vendor: of the database that holds the tasks.
        plan: what to do.
        pool: runs the bodies.
        registration: this worker's row.
        maintenance: its share of the upkeep.
        herald: tells whoever listens of what happens here.
    """

    def __init__(
        self,
        vendor: Vendor,
        plan: Plan,
        pool: Pool,
        registration: Registration,
        maintenance: Maintenance,
        *,
        herald: Herald | None = None,
    ) -> None:
        #: Whether it ended although bodies run on that its pool could not stop.
        self.left_bodies_running = False
        self._vendor = vendor
        self._plan = plan
        self._pool = pool
        self._registration = registration
        self._maintenance = maintenance
        self._herald = herald or Herald()
        outbox = Outbox()
        self._claiming = Claiming(vendor, plan, pool, registration)
        self._lookout = Lookout(
            vendor,
            plan,
            registration,
            self._claiming.gate,
            min(plan.poll_max, maintenance.interval),
        )
        self._revoking = Revoking(vendor, pool, registration, outbox, plan.poll_max)
        self._settling = Settling(
            vendor, pool, outbox, self._revoking, self._claiming, herald=self._herald
        )
        self._strays = Strays(vendor, registration, outbox, self._revoking, self._has)
        self._outbox = outbox
        self._trouble = Trouble()
        self._claims: list[Claim] = []
        self._events: deque[Event] = deque()
        self._stops: list[float] = []
        self._released = False
        self._give_back_at = 0.0
        self._lost: str | None = None
        self._wish: Wish | None = None
        self._registered = True
        self._waker = Waker()
        self._connected = False
        self._listening: int | None = None
        self._revision: object = None

    def post(self, event: Event) -> None:
        """Tell of something that happened in the pool."""
        self._events.append(event)
        self._waker.wake()

    def stop(self, grace: float) -> None:
        """Claim nothing more, and end once what runs has ended, or after ``grace`` seconds.

        Called again, it can only bring the end forward.
        """
        self._stops.append(time.monotonic() + grace)  # at once, whichever threads call it
        self._waker.wake()

    def adapt(self, wish: Wish) -> None:
        """Become what somebody asks for: run more or fewer bodies at once, serve other queues."""
        self._wish = wish
        self._waker.wake()

    def lose(self, why: str) -> None:
        """This worker's tasks belong to others by now: drop everything and begin anew."""
        self._lost = why
        self._waker.wake()

    def run(self) -> None:
        """Work until stopped, whatever the database does meanwhile."""
        try:
            self._work()
        finally:
            self._settling.log.sum_up()
            self.left_bodies_running = (
                self.left_bodies_running or self._pool.leaves_bodies_running()
            )
            self._waker.close()

    def _work(self) -> None:
        while True:
            try:
                if self._turn():
                    return
                self._trouble.over()
            except errors.TROUBLE as error:
                pause = self._trouble.met(error)
                if not errors.passes_by_itself(error):
                    self._hang_up()
                if self._gives_up(error):
                    return
                time.sleep(pause)

    def _turn(self) -> bool:
        """Do all that can be done now, then wait for more. True: the work is over.

        Wherever it breaks off, the next turn goes on: nothing is forgotten before it is written.
        """
        if self._lost:
            self._drop_all(self._lost)
        self._connect()
        if not self._registered:
            self._registration.register()
            self._registered = True
        self._take_events()
        self._settling.run()
        stop_at = self._stop_at()
        if stop_at is not None:
            return self._wind_down(stop_at)
        self._adapt()
        self._look_around()
        self._revoking.run()
        self._supply()
        self._strays.run()
        if self._maintenance.run(time.monotonic()):
            self._claiming.expect_more()
        if self._plan.burst and self._is_drained():
            return True
        self._wait_until(
            self._claiming.due_at(),
            self._maintenance.due_at,
            self._strays.due_at,
            self._lookout.due_at,
        )
        return False

    def _adapt(self) -> None:
        """Do what was asked for. Should the row not say so, the next sign of life asks again."""
        wish, self._wish = self._wish, None
        if wish is None:
            return
        self._pool.resize(wish.concurrency)
        self._claiming.serve(wish.served)
        self._maintenance.serve(wish.served)
        self._registration.adapted(wish)
        logger.info(
            "Asked by manage.py tasktrack: %d at once now, queues: %s.",
            wish.concurrency,
            wish.served,
        )

    def _look_around(self) -> None:
        agenda = self._lookout.run()
        if agenda is not None:
            self._claiming.gate.heed(agenda.gates)
            self._claiming.heed(agenda)
            self._strays.heed(agenda)
            self._maintenance.heed(agenda)

    def _supply(self) -> None:
        """Claim for the pool, unless ends cannot be written and pile up."""
        if not self._claims and len(self._outbox) < FLUSH_LIMIT:
            self._claims += self._claiming.run()
        if self._claims:
            ready = self._settling.begin_surely(self._claims)
            for claim in ready:
                self._settling.log.start(claim)
            self._herald.received(ready)
            self._pool.submit(ready)
            self._claims = []

    def _take_events(self) -> None:
        while self._events:
            event = self._events.popleft()
            if event.claim.worker_id != self._registration.worker_id:
                continue  # of a former life of this worker
            if isinstance(event, Reported):
                self._settling.report(event)
            elif not isinstance(event, Free):
                self._settling.end(event)

    def _has(self, task_id: UUID) -> bool:
        """Whether this worker knows of its claim of this task."""
        return self._pool.has(task_id) or any(c.task_id == task_id for c in self._claims)

    def _is_drained(self) -> bool:
        if any(self._pool.load()) or self._events or not self._settling.is_idle():
            return False
        return self._claiming.is_exhausted()

    # Waiting

    def _wait_until(self, *moments: float) -> None:
        """Sleep until one of these moments, an event, a notification, or something to write."""
        if self._events:
            return
        due = min(*moments, self._settling.due_at(), self._revoking.due_at)
        with selectors.DefaultSelector() as selector:
            selector.register(self._waker, selectors.EVENT_READ)
            if self._listening is not None:
                selector.register(self._listening, selectors.EVENT_READ)
            ready = self._select(selector, due)
        if self._waker.fileno() in ready:
            self._waker.clear()
        if self._listening in ready:
            self._vendor.take_notifications(self._on_notified)

    def _select(self, selector: selectors.BaseSelector, due: float) -> set[int]:
        """Wait until then; where nobody can be notified, ask meanwhile for what others have written."""
        while True:
            patience = max(0.0, due - time.monotonic())
            ready = selector.select(min(patience, self._vendor.watch_every))
            if ready or patience <= self._vendor.watch_every:
                return {key.fd for key, _ in ready}
            before, self._revision = self._revision, self._vendor.revision()
            if before != self._revision:
                self._on_notified()
                return set()

    def _on_notified(self, topic: str = "") -> None:
        if topic == limits.TOPIC:
            self._claiming.gate.doubt()
        self._claiming.look_now()
        self._revoking.look_now()

    # Stopping

    def _stop_at(self) -> float | None:
        return min(self._stops, default=None)

    def _wind_down(self, stop_at: float) -> bool:
        """Let running bodies end until ``stop_at``; then give their tasks back. True: done.

        Rows that somebody holds are tried again, even for a moment after that: what stays claimed would be
        rescued, with a start that is presumed and a loss that is counted.
        """
        for claim in self._pool.withdraw_waiting():
            if self._settling.has_begun(claim):  # as the table says, though its body has not
                self._outbox.add(transitions.released(claim, None, "the worker stopped"))
            else:
                self._claims.append(claim)
        self._revoking.run({claim.task_id for claim in self._claims})
        self._give_back()
        if time.monotonic() >= stop_at and not self._released:
            self._release_running()
            self._settling.run()
        if self._is_idle() and self._strays.are_none():
            return self._rest()
        ends_at = stop_at + _LAST_WORDS if self._released else stop_at
        if self._released and time.monotonic() >= ends_at:
            logger.error("Somebody holds tasks that were claimed here; they will be rescued.")
            return self._rest()
        again_at = self._give_back_at if self._claims else math.inf
        self._wait_until(ends_at, again_at, self._strays.due_at if self._is_idle() else math.inf)
        return False

    def _rest(self) -> bool:
        """Nothing is left to be done here: others may look at what was given back."""
        if self._released:
            self._vendor.notify("due")
        return True

    def _give_back(self) -> None:
        """Give back what was claimed and has not begun; what somebody holds is kept for the next time."""
        if not self._claims or time.monotonic() < self._give_back_at:
            return
        self._give_back_at = time.monotonic() + BUSY_PAUSE
        if transitions.unclaim(self._vendor, self._claims) == len(self._claims):
            self._claims = []
            return
        held = transitions.held(self._vendor, self._registration.worker_id)
        leases = {(claim.task_id, claim.lease) for claim in held}
        self._claims = [c for c in self._claims if (c.task_id, c.lease) in leases]

    def _is_idle(self) -> bool:
        """Whether nothing runs here, and nothing is left to be written."""
        _, running = self._pool.load()
        return not (running or self._events or self._claims) and self._settling.is_idle()

    def _release_running(self) -> None:
        """Give back what still runs: its attempt does not count."""
        running = self._stop_running()
        self._released = True
        ended = {event.claim.task_id for event in self._events if isinstance(event, _ENDS)}
        self._take_events()  # some may have ended just before
        for claim, began in running:
            if claim.task_id not in ended:
                self._outbox.add(transitions.released(claim, began, "the worker stopped"))
                logger.warning("%s[%s] goes back to its queue.", claim.name, claim.task_id)

    def _stop_running(self) -> list[tuple[Claim, float]]:
        """Stop the bodies that can be stopped; what ran."""
        running, (_, busy) = self._pool.running(), self._pool.load()
        self.left_bodies_running |= bool(busy) and not self._pool.can_terminate
        self._pool.abandon()
        return running

    def _gives_up(self, error: Exception) -> bool:
        """Whether a worker that is to stop ends without the database."""
        stop_at = self._stop_at()
        if stop_at is None:
            return False
        worth_it = not self._is_idle() or errors.passes_by_itself(error)
        if worth_it and time.monotonic() < stop_at + _LAST_WORDS:
            return False
        self._stop_running()
        logger.error("Stopped without the database; what was claimed here will be rescued.")
        return True

    # Trouble

    def _drop_all(self, why: str) -> None:
        """What this worker held belongs to others: stop it and forget it, with or without a database.
        Then it registers as a new worker."""
        logger.error("This worker was lost (%s); it drops its tasks and begins anew.", why)
        self._pool.abandon()
        self._claims.clear()
        self._events.clear()
        self._settling.forget()
        self._revoking.forget()
        self._claiming.gate.forget()
        self._lost, self._registered = None, False

    def _connect(self) -> None:
        if not self._connected:
            self._vendor.connect(self._plan.lease)
            self._listening = self._vendor.listen(self._on_notified)
            self._connected = True

    def _hang_up(self) -> None:
        self._connected, self._listening = False, None
        with contextlib.suppress(*errors.TROUBLE):
            self._vendor.connection.close()
