"""One worker's share of what retention asks for: small batches of ``purge``, with pauses between them.

Each rule has a row that tells how far the workers have come with it (``Sweep``). Whoever holds that row does
the next batch; the others pass on. So what is kept for long is not looked at again each time.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial

from . import purge, transitions
from .models import Sweep
from .purge import Looked, Place
from .retention import Rule, RuleBook
from .vendors import Vendor

logger = logging.getLogger("django_tasktrack.worker")

#: Rows that one batch looks at. Claims wait for a batch, so it is a small one.
BATCH = 200

#: The part of its time that a worker gives to this, and the shortest pause between two batches, in seconds.
_SHARE, _PAUSE = 0.1, 0.02

#: After so many intervals of the upkeep it is looked again whether something's time is over.
_EVERY = 60

#: A rule begins anew after so long a time: for what was passed by, and what was written late.
ANEW = timedelta(days=1)

#: Slots of schedules are looked for so often, in seconds.
_SLOTS_EVERY = 3600.0


class Sweeping:
    """Batch by batch, rule by rule.

    Args:
        vendor: of the database that holds the tasks.
        interval: seconds between two rounds of the upkeep.
    """

    def __init__(self, vendor: Vendor, interval: float) -> None:
        self._vendor = vendor
        self._interval = interval
        self._round = self._batches()
        self._slots_at = 0.0
        self._values = self._rows = 0
        #: When to call ``sweep`` next, by the monotonic clock.
        self.due_at = -math.inf

    def sweep(self) -> None:
        """Do one batch; where nothing is left to be done, look again later."""
        began = time.monotonic()
        self.due_at = began + _EVERY * self._interval * random.uniform(0.8, 1.2)  # noqa: S311
        batches = self._round
        self._round = self._batches()  # a new round, where this one ends or breaks off
        if not next(batches, False):
            return
        self._round = batches
        took = time.monotonic() - began
        self.due_at = began + max(took / _SHARE, took + _PAUSE)

    def _batches(self) -> Iterator[bool]:
        """One round through all rules; true after each batch."""
        book, now = purge.book_of(self._vendor), self._vendor.now()
        self._values = self._rows = 0
        sweeps = {row.rule: row for row in Sweep.objects.using(self._vendor.using).all()}
        for rule in book.rules():
            row = sweeps.get(book.key(rule))
            behind = purge.ended(self._vendor, rule, now, _start(row, now)).values("pk")
            more = behind.first() is not None  # nothing is written where there is nothing to do
            while more:
                more = self._batch(book, rule, now)
                yield True
        if time.monotonic() >= self._slots_at:
            self._slots_at = time.monotonic() + _SLOTS_EVERY
            for _ in purge.slots(self._vendor, book.usual, now, BATCH):
                yield True
        if self._values or self._rows:
            logger.info("Retention: %d values emptied, %d tasks deleted.", self._values, self._rows)

    def _batch(self, book: RuleBook, rule: Rule, now: datetime) -> bool:
        """Do the next batch of a rule, unless another worker does it; whether there may be more."""
        key = book.key(rule)
        self._introduce(key, now)
        looked = transitions.whole(self._vendor, partial(self._take_turn, book, rule, key, now))
        if rule.values:
            self._values += looked.gone
        else:
            self._rows += looked.gone
        return looked.more

    def _introduce(self, key: str, now: datetime) -> None:
        """Let there be a row for this rule, and none for rules that are followed no more."""
        sweeps = Sweep.objects.using(self._vendor.using)
        if not sweeps.filter(pk=key).exists():
            sweeps.bulk_create([Sweep(rule=key, began_at=now)], ignore_conflicts=True)
            sweeps.filter(began_at__lt=now - 2 * ANEW).delete()

    def _take_turn(self, book: RuleBook, rule: Rule, key: str, now: datetime) -> Looked:
        sweeps = Sweep.objects.using(self._vendor.using).filter(pk=key)
        row = self._vendor.locked(sweeps, wait=False).first()
        if row is None:
            return Looked(0, None, False)  # another worker has it
        place = _start(row, now)
        looked = purge.follow(self._vendor, book, rule, now, after=place, limit=BATCH)
        if looked.place is not None:
            began_at = row.began_at if place else now
            ended_at, task_id = looked.place
            sweeps.update(began_at=began_at, ended_at=ended_at, task_id=task_id)
        return looked


def place_of(vendor: Vendor, book: RuleBook, rule: Rule) -> Place | None:
    """How far the workers have come with a rule."""
    return _place(Sweep.objects.using(vendor.using).filter(pk=book.key(rule)).first())


def _start(row: Sweep | None, now: datetime) -> Place | None:
    """Where a rule goes on; None where it begins, or begins anew."""
    return None if row is None or now - row.began_at > ANEW else _place(row)


def _place(row: Sweep | None) -> Place | None:
    return Place(row.ended_at, row.task_id) if row and row.ended_at and row.task_id else None
