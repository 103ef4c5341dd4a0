"""Claims on their way to a child. What it has not taken yet can be taken back.

The kernel decides which it is: a message is read once, by the child or by the worker.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import socket
import struct
import sys
import tempfile
from collections.abc import Iterator
from typing import BinaryIO
from uuid import UUID

from ..outcomes import Claim

#: Both keep messages apart; who reads packets also notices when nobody can send any more.
_KIND = socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_DGRAM
_NUMBER, _DESCRIPTOR = struct.Struct("!Q"), struct.Struct("i")
_ONE_DESCRIPTOR = socket.CMSG_LEN(_DESCRIPTOR.size)
#: A longer message travels as an open file.
_LONGEST = 2000
#: What says that there is no room now, or no descriptor for a large claim.
_FULL = (
    errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS, errno.EMFILE, errno.ENFILE, errno.ETOOMANYREFS,
)  # fmt: skip


class Inbox:
    """The child's end: claims are taken from it.

    Args:
        receiver: of the pair that was made for this child.
    """

    def __init__(self, receiver: socket.socket) -> None:
        receiver.setblocking(False)
        self._receiver = receiver

    def fileno(self) -> int:
        """What becomes readable when there is something to take."""
        return self._receiver.fileno()

    def take(self) -> tuple[int, Claim] | None:
        """The next claim and its number, or None if there is none now.

        Raises:
            EOFError: the worker is gone.
        """
        message = self._receive()
        if message is None:
            return None
        number, body, file = message
        if file is not None:
            with file:
                file.seek(0)
                body = file.read()
        return number, _unpacked(body)

    def close(self) -> None:
        self._receiver.close()

    def _receive(self) -> tuple[int, bytes, BinaryIO | None] | None:
        try:  # recv_fds takes a third longer
            data, extra, flags, _ = self._receiver.recvmsg(_NUMBER.size + _LONGEST, _ONE_DESCRIPTOR)
        except BlockingIOError:
            return None
        if flags & socket.MSG_CTRUNC:
            raise OSError(errno.EMFILE, "No descriptor is left for the next task's arguments")
        if not data:
            raise EOFError("The worker is gone.")
        (number,) = _NUMBER.unpack_from(data)
        if not extra:
            return number, data[_NUMBER.size :], None
        (descriptor,) = _DESCRIPTOR.unpack(extra[0][2])
        file: BinaryIO = os.fdopen(descriptor, "rb")
        return number, data[_NUMBER.size :], file


class WorkersInbox(Inbox):
    """The worker's side of a child's inbox: it has both ends.

    Args:
        receiver, sender: the pair that was made for this child.
    """

    def __init__(self, receiver: socket.socket, sender: socket.socket) -> None:
        super().__init__(receiver)
        sender.setblocking(False)
        self._sender = sender

    def put(self, number: int, claim: Claim) -> bool:
        """Put a claim behind the others. False: there is no room for it now.

        Args:
            number: a larger one than those before.
            claim: what the child is to run.
        """
        header, body = _NUMBER.pack(number), _packed(claim)
        try:
            if len(body) <= _LONGEST:
                self._sender.send(header + body)
            else:
                with _file_with(body) as file:
                    socket.send_fds(self._sender, [header], [file.fileno()])
        except OSError as error:
            if error.errno not in _FULL:
                raise
            return False
        return True

    def take_back(self) -> set[int]:
        """Take back what the child has not taken; the numbers. While that goes on, it may take one from
        the middle."""
        numbers = set()
        with contextlib.suppress(EOFError):
            while (message := self._receive()) is not None:
                number, _, file = message
                numbers.add(number)
                if file is not None:
                    file.close()
        return numbers

    def close(self) -> None:
        super().close()
        self._sender.close()


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """The receiver and the sender of a new inbox."""
    receiver, sender = socket.socketpair(socket.AF_UNIX, _KIND)
    return receiver, sender


def _packed(claim: Claim) -> bytes:
    """The claim as plain values, which takes a third of the time."""
    return pickle.dumps((claim.task_id.bytes, *claim[1:]), pickle.HIGHEST_PROTOCOL)


def _unpacked(body: bytes) -> Claim:
    task_id, *others = pickle.loads(body)  # noqa: S301  the worker has written it
    return Claim(UUID(bytes=task_id), *others)


@contextlib.contextmanager
def _file_with(content: bytes) -> Iterator[BinaryIO]:
    """An open file without a name, in memory where the system has such."""
    in_memory = getattr(os, "memfd_create", None)
    with os.fdopen(in_memory("claim"), "w+b") if in_memory else tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file
