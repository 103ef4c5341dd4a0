"""A worker's row: that it exists, that it lives, that it has stopped."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction
from django.db.models import DateTimeField, Value
from django.db.models.functions import Coalesce

from . import liveness
from .adaptation import Wish, columns_of, wish_of
from .heartbeat import Beat, Heartbeat
from .models import Worker
from .vendors import Vendor

#: Without a connection, a worker that ends tries for so many seconds to say so.
_LAST_WORD = 1.0


@dataclass(frozen=True, slots=True)
class Identity:
    """What a worker says of itself."""

    name: str
    pool: str
    concurrency: int
    can_terminate: bool
    queues: Sequence[str]
    known_tasks: Sequence[str]
    version: str
    excluded_queues: Sequence[str] = ()


class Registration:
    """The row of this process, and the watch over its signs of life.

    Args:
        vendor: of the database that holds the tasks.
        identity: what to write.
        heartbeat: gives the signs of life.
        lease: after so many seconds without one, this worker considers itself lost.
        on_lost: called, from a thread of its own, when it is.
        on_dead: called when the heartbeat's process is gone, or says nothing any more.
        on_asked_to_end: called once, from the same thread, when somebody has asked for a shutdown.
        on_beat: called after each sign of life that counts.
        on_wish: called, from the same thread, with what somebody has asked this worker to become, until
            ``adapted`` says that it is.
    """

    def __init__(
        self,
        vendor: Vendor,
        identity: Identity,
        heartbeat: Heartbeat,
        lease: float,
        *,
        on_lost: Callable[[str], None],
        on_dead: Callable[[], None],
        on_asked_to_end: Callable[[], None] = lambda: None,
        on_beat: Callable[[], None] = lambda: None,
        on_wish: Callable[[Wish], None] = lambda _: None,
    ) -> None:
        self.worker_id = 0
        self._vendor = vendor
        self._identity = identity
        self._heartbeat = heartbeat
        self._lease = lease
        self._on_lost = on_lost
        self._on_dead = on_dead
        self._on_asked_to_end = on_asked_to_end
        self._asked_to_end = False
        self._on_beat = on_beat
        self._on_wish = on_wish
        self._ended = False
        self._locked = self._unheard = False
        self._last = time.monotonic()
        self._thread = threading.Thread(target=self._watch, name="liveness", daemon=True)

    def register(self) -> int:
        """Write a new row, and from now on act under its number."""
        began = time.monotonic()
        row = self._insert()
        self.worker_id, self._last = row.pk, began
        self._heartbeat.follow(row.pk)
        return row.pk

    def _insert(self) -> Worker:
        """The row, with the lock that says that its worker lives; both or none."""
        row = None
        try:
            with transaction.atomic(using=self._vendor.using):
                row = self._create()
                self._locked = liveness.hold(self._vendor.connection, row.pk)
        except BaseException:
            if row is not None:  # rolled back, and the next worker gets its number
                liveness.release(self._vendor.connection, row.pk)
            raise
        return row

    def _create(self) -> Worker:
        now = self._vendor.now()
        return Worker.objects.using(self._vendor.using).create(
            **self._former_requests(),
            name=self._identity.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            pool=self._identity.pool,
            concurrency=self._identity.concurrency,
            can_terminate=self._identity.can_terminate,
            queues=list(self._identity.queues),
            excluded_queues=list(self._identity.excluded_queues) or None,
            known_tasks=list(self._identity.known_tasks),
            version=self._identity.version,
            started_at=now,
            heartbeat_at=now,
        )

    def _former_requests(self) -> dict[str, Any]:
        """What was asked of this process under the row that it had before it was found lost."""
        rows = Worker.objects.using(self._vendor.using)
        former = rows.filter(pk=self.worker_id).first() if self.worker_id else None
        if former is None:
            return {}
        asked: dict[str, Any] = {"shutdown_requested_at": former.shutdown_requested_at}
        if former.is_asked_to_change:
            asked |= {"requests_made": 1, **columns_of(wish_of(former))}
        return asked

    def adapted(self, wish: Wish) -> None:
        """Say that this worker has become what was asked for; what was asked since then stays open."""
        only, excluded = wish.served.only, wish.served.excluded
        self._identity = replace(
            self._identity, concurrency=wish.concurrency, queues=only, excluded_queues=excluded
        )
        mine = Worker.objects.using(self._vendor.using).filter(pk=self.worker_id)
        mine.update(
            concurrency=wish.concurrency,
            queues=list(only),
            excluded_queues=list(excluded) or None,
            requests_met=wish.number,
        )

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the signs of life, and say that this worker has stopped in an orderly way."""
        self._ended = True
        self._heartbeat.end()
        if self._thread.is_alive():
            self._thread.join(timeout=1)
        self._heartbeat.reap()
        if self._vendor.connection.connection is None:  # hung up: the database may be gone
            self._vendor.connect(_LAST_WORD)
        mine = Worker.objects.using(self._vendor.using).filter(pk=self.worker_id)
        mine.update(stopped_at=self._vendor.now())

    def _watch(self) -> None:
        """Take signs of life; the silence between them is measured here, whatever has caused it."""
        while True:
            # Read before the signs that came until then: a body may hold the interpreter's lock, and
            # with it this thread, between any two lines.
            asked = time.monotonic()
            try:
                for beat in self._heartbeat.receive(timeout=min(1.0, self._lease / 5)):
                    self._take(beat)
            except (EOFError, OSError):
                if not self._ended:
                    self._on_dead()
                return
            silence = asked - self._last
            if silence > self._lease and not self._locked:
                self._lose(f"no sign of life for {silence:.0f} s")

    def _take(self, beat: Beat) -> None:
        self._unheard = False
        if beat.worker_id != self.worker_id:
            return  # of a former life
        if beat.counted:
            self._last = beat.moment
            if beat.asked_to_end and not self._asked_to_end:
                self._asked_to_end = True
                self._on_asked_to_end()
            if beat.wish:
                self._on_wish(beat.wish)
            self._on_beat()
        elif beat.counted is False and not self._ended:
            self._lose("another worker has found this one lost")

    def _lose(self, why: str) -> None:
        self._last = time.monotonic()  # said once; the next row begins anew
        if self._unheard:  # not a word since the last time: the process itself does not live
            self._on_dead()
        else:
            self._unheard = True
            self._on_lost(why)


def ask_to_end(vendor: Vendor, worker_ids: Iterable[int]) -> list[int]:
    """Ask workers to end in an orderly way, as SIGTERM does; each sees it at its next sign of life.

    A request stands on the row of one process: what is started in its place begins without it.

    Args:
        vendor: of the database that holds the workers.
        worker_ids: which ones.

    Returns:
        Those that count as alive and are asked now, or were before; the others have ended meanwhile.
    """
    asked = []
    for worker_id in worker_ids:  # one by one, so that each answer is its own row's
        living = Worker.objects.using(vendor.using).filter(pk=worker_id).alive()
        now = Coalesce("shutdown_requested_at", Value(vendor.now(), DateTimeField()))
        if living.update(shutdown_requested_at=now):
            asked.append(worker_id)
    return asked
