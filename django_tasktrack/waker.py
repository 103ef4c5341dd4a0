"""Wakes a thread that waits in a selector, from any other thread."""

from __future__ import annotations

import contextlib
import socket


class Waker:
    """A descriptor that becomes readable when somebody calls ``wake``, once for any number of calls."""

    def __init__(self) -> None:
        self._in, self._out = socket.socketpair()
        self._in.setblocking(False)
        self._out.setblocking(False)
        self._woken = False

    def fileno(self) -> int:
        return self._out.fileno()

    def wake(self) -> None:
        """Wake whoever waits, if nobody has since they last looked; without effect once it is closed."""
        if not self._woken:
            self._woken = True
            with contextlib.suppress(OSError):  # full of wake-ups already, or closed
                self._in.send(b"x")

    def clear(self) -> None:
        """Take the wake-ups that have come. Look only afterwards at what they are about."""
        with contextlib.suppress(BlockingIOError):
            self._out.recv(4096)
        self._woken = (
            False  # in this order: a wake-up of this moment was for what is seen from now on
        )

    def close(self) -> None:
        self._in.close()
        self._out.close()
