"""Messages between a worker and its child: pickled, over a socket, many in one read."""

from __future__ import annotations

import pickle
import socket
import struct
from typing import Any

_LENGTH = struct.Struct("!I")
_CHUNK = 1 << 16
#: A longer message is none: its length was written by a body that plays with descriptors.
_LONGEST = 1 << 28


class Link:
    """One end of a stream of messages. Only what this package sends is read: a child is its own fork.

    Args:
        connected: the socket; it blocks.
    """

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._buffer = bytearray()

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: Any) -> None:
        """Send a message; waits while the other side has not read what came before."""
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self._socket.sendall(_LENGTH.pack(len(data)) + data)

    def receive(self, *, wait: bool = True) -> list[Any]:
        """The messages that have come, at least one with ``wait``.

        Raises:
            EOFError: the other side is gone, and all that it has sent was read.
            Exception: what has come is no message.
        """
        messages = self._complete()
        while not messages:
            try:
                data = self._socket.recv(_CHUNK, 0 if wait else socket.MSG_DONTWAIT)
            except BlockingIOError:
                return []
            if not data:
                raise EOFError("The other side is gone.")
            self._buffer += data
            messages = self._complete()
        return messages

    def wait(self) -> None:
        """Return once something has come, or nothing will any more."""
        self._socket.recv(1, socket.MSG_PEEK)

    def close(self) -> None:
        self._socket.close()

    def _complete(self) -> list[Any]:
        messages, start = [], 0
        while len(self._buffer) >= start + _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, start)
            if length > _LONGEST:
                raise ValueError(f"A message of {length:,} bytes is none.")
            end = start + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            messages.append(pickle.loads(memoryview(self._buffer)[start + _LENGTH.size : end]))  # noqa: S301
            start = end
        del self._buffer[:start]
        return messages
