"""What a child has begun, and what it may still begin: memory that the worker shares with it."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
import tempfile
from collections.abc import Iterator

_LAYOUT = struct.Struct("=QQQ")


class Desk:
    """Numbers of the claims that lie before a child, in the order in which it takes them up.

    The worker gives a child more than one claim where bodies are short, so that it need not ask after each.
    Whatever has not begun the worker takes back at any moment, without the child's help: its body may run
    for hours, or hold the interpreter. A lock on the memory's file orders the two; it ends with its holder,
    however that ends.

    Args:
        descriptor: of the memory, as ``make`` gives it.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        os.set_inheritable(descriptor, False)
        self._memory = mmap.mmap(descriptor, _LAYOUT.size)

    @staticmethod
    def make() -> int:
        """A descriptor of fresh memory for one child."""
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("tasktrack-desk")
        else:
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        os.ftruncate(descriptor, _LAYOUT.size)
        return descriptor

    def close(self) -> None:
        self._memory.close()
        os.close(self.descriptor)

    # The child

    def begin(self, number: int) -> bool:
        """Take up the claim of this number. False: it was taken back."""
        with self._locked():
            _, first, end = self._read()
            if first <= number < end:
                return False
            _LAYOUT.pack_into(self._memory, 0, number, first, end)
            return True

    # The worker

    def begun(self) -> int:
        """The number of the last claim that was taken up; 0 for none."""
        return self._read()[0]

    def take_back(self, after: int, before: int) -> int:
        """Have the child begin nothing with a number between these any more.

        Returns:
            The last number that it has begun by now: what came after is taken back.
        """
        with self._locked():
            begun = self._read()[0]
            _LAYOUT.pack_into(self._memory, 0, begun, max(after, begun) + 1, before)
            return begun

    def _read(self) -> tuple[int, int, int]:
        begun, first, end = _LAYOUT.unpack_from(self._memory)
        return begun, first, end

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.lockf(self.descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN)
