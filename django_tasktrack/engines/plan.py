"""What a worker is asked to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class Plan:
    """What a worker is asked to do.

    Args:
        queues: those that it serves; empty for all. They may change while it runs.
        names: the tasks that it knows.
        burst: end when nothing is due.
        poll_min, poll_max: shortest and longest pause between two looks at the table, in seconds.
        lease: seconds of silence after which a worker is lost; a statement is given up after as many.
        excluded: queues that are left out of all of them.
        keyed: whether it knows tasks with a concurrency key, and looks for them from the beginning.
    """

    queues: Sequence[str]
    names: Sequence[str]
    burst: bool
    poll_min: float
    poll_max: float
    lease: float
    excluded: Sequence[str] = ()
    keyed: bool = False
