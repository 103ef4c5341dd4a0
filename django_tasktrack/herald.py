"""Tells of what happens in a worker itself, apart from its work: no receiver holds that up."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from functools import partial
from queue import SimpleQueue
from typing import Any
from uuid import UUID

from django.db import connections

from . import signals, transitions
from .outcomes import Claim
from .payloads import decode
from .pools.hygiene import run_with_clean_connections
from .request import Request
from .vendors import task_database

logger = logging.getLogger("django_tasktrack.worker")


class Herald:
    """Sends signals from a thread of its own, which is there from the first one on.

    Args:
        sender: of signals of the worker.
        hostname: the worker's name.
    """

    def __init__(self, sender: object = None, hostname: str = "") -> None:
        self._sender = sender
        self._hostname = hostname
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.RLock()

    def tell(self, signal: signals.Signal, sender: object = None, **named: Any) -> None:
        """Send a signal soon, if anybody listens; by default its sender is the worker."""
        if signal.receivers:
            self._do(partial(signal.tell, self._sender if sender is None else sender, **named))

    def received(self, claims: Sequence[Claim]) -> None:
        """Tell that the worker has taken these. Their bodies do not wait for it."""
        if signals.task_received.receivers:
            for claim in claims:
                self._do(partial(self._tell_received, claim))

    def ended(self, ids: Collection[UUID], *, expired: bool = False, lost: bool = False) -> None:
        """Tell of committed ends that no body tells of: revoked, expired, lost; as ``tell_ends``."""
        if ids and transitions.anybody_listens():
            tell = partial(transitions.tell_ends, task_database(), list(ids))
            self._do(partial(tell, expired=expired, lost=lost))

    def finish(self, patience: float) -> None:
        """Send what is left, and wait for it no longer than so many seconds."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(patience)

    def _do(self, what: Callable[[], None]) -> None:
        self._queue.put(what)
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    thread = threading.Thread(target=self._work, name="herald", daemon=True)
                    thread.start()
                    self._thread = thread

    def _work(self) -> None:
        try:
            while (what := self._queue.get()) is not None:
                try:
                    run_with_clean_connections(what)
                except Exception:
                    logger.exception("Something that has happened could not be told.")
        finally:
            connections.close_all()

    def _tell_received(self, claim: Claim) -> None:
        args, kwargs = decode(claim.args), decode(claim.kwargs)
        request = Request.of_claim(claim, tuple(args), kwargs, self._hostname)
        signals.task_received.tell(self._sender, request=request)
