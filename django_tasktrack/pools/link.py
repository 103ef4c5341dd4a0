"""Messages between the worker and a child, over a stream: many are read at once."""

from __future__ import annotations

import pickle
import socket
import struct
from collections.abc import Iterator
from typing import Any

_LENGTH = struct.Struct("!I")
#: A longer message is none: something has been written in between.
_LONGEST = 2**28
_CHUNK = 65536


class Link:
    """One end. Both sides trust each other: what one has pickled, the other loads."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._unread = bytearray()

    def fileno(self) -> int:
        return self._stream.fileno()

    def send(self, message: Any) -> None:
        """Send a message; waits where the other end does not read."""
        body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self._stream.sendall(_LENGTH.pack(len(body)) + body)

    def receive(self) -> Iterator[Any]:
        """All messages that are complete now, one after the other, without waiting for any.

        Raises:
            EOFError: the other end is gone, and has said nothing more.
            ValueError: what follows cannot be understood.
        """
        chunk = self._read()
        while True:
            while (message := self._cut()) is not None:
                yield _loaded(message)
            if chunk < _CHUNK:
                return
            chunk = self._read()

    def _read(self) -> int:
        """Take what has come, up to a chunk; how many bytes that were."""
        try:
            chunk = self._stream.recv(_CHUNK, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            raise EOFError("The other end is gone.")
        self._unread += chunk
        return len(chunk)

    def _cut(self) -> bytearray | None:
        """The first message that has come, if all of it has."""
        if len(self._unread) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._unread)
        if length > _LONGEST:
            raise ValueError(f"a message of {length:,} bytes is none.")
        end = _LENGTH.size + length
        if len(self._unread) < end:
            return None
        message = self._unread[_LENGTH.size : end]
        del self._unread[:end]
        return message

    def close(self) -> None:
        self._stream.close()


def _loaded(message: bytearray) -> Any:
    try:
        return pickle.loads(message)  # noqa: S301
    except Exception as error:  # of many kinds, EOFError among them
        raise ValueError(f"its message is none: {error}") from error
