"""When bodies ran: one record of 16 bytes a body, its number and its monotonic time, in one file.

A record is one write with O_APPEND, so bodies of many processes share the file without a lock, and all
systems pay the same for it.
"""

from __future__ import annotations

import os
import struct
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks import environment

_RECORD = struct.Struct("<qq")


@dataclass(frozen=True, slots=True)
class Mark:
    """One body: which, and when (``time.monotonic()``, which is one clock for all processes)."""

    number: int
    at: float


@cache
def _file() -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    return os.open(environment.required(environment.MARKS), flags, 0o600)


def make(number: int) -> None:
    """Record that the body of this number runs now."""
    os.write(_file(), _RECORD.pack(number, time.monotonic_ns()))


def count(path: Path) -> int:
    """How many bodies have run."""
    return path.stat().st_size // _RECORD.size if path.exists() else 0


def read(path: Path, skip: int = 0) -> list[Mark]:
    """What has run, in the order of the file, without the first ``skip`` marks."""
    data = path.read_bytes()[skip * _RECORD.size :] if path.exists() else b""
    whole = len(data) - len(data) % _RECORD.size
    return [Mark(number, at / 1e9) for number, at in _RECORD.iter_unpack(data[:whole])]
