"""Forking the worker's helpers, so that no signal gets lost on the way."""

from __future__ import annotations

import os
import signal

from django.db import connections


def hang_up() -> None:
    """Leave nothing open that both processes would talk over after a fork: sessions, and pools of them."""
    for connection in connections.all(initialized_only=True):
        connection.close()
        if hasattr(
            connection, "close_pool"
        ):  # PostgreSQL's; it would keep the session that it got back
            connection.close_pool()


#: Signals that end a process that does not handle them.
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


def fork() -> int:
    """As ``os.fork()``; the child ignores signals that would end it: its worker decides when it stops.

    They are held back meanwhile. What a handler raises in a hook of ``fork()`` is dropped by Python, and
    what it raises in the child, before that has taken its own way, would climb into the worker's code.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        # Handlers of signals that came before it are called in it, and what one raises climbs from here.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
        pid = os.fork()
        if pid == 0:
            for signum in ENDING_SIGNALS:
                signal.signal(signum, signal.SIG_IGN)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid
