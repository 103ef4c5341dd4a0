"""What the processes of one measurement are told through their environment."""

from __future__ import annotations

import os

#: Module in ``benchmarks.systems`` whose project this is.
SYSTEM = "BENCH_SYSTEM"
#: Database of this measurement: URL on PostgreSQL, path on SQLite. One of them is set, or none.
POSTGRES = "BENCH_POSTGRES"
SQLITE = "BENCH_SQLITE"
#: URL of a Redis server, without the number of a database.
REDIS = "BENCH_REDIS"
#: File that bodies write their marks in.
MARKS = "BENCH_MARKS"

#: What queues are called, wherever a queue has a name; names of databases begin with it.
PREFIX = "tasktrack_bench"


def given(name: str) -> str:
    """The value, or an empty string."""
    return os.environ.get(name, "")


def required(name: str) -> str:
    """The value.

    Raises:
        KeyError: this process was not started by ``python -m benchmarks``.
    """
    return os.environ[name]
