"""The write door: the only place that changes the state of a task.

Every verb takes many tasks. The calls that settle what a worker did are fenced by the lease of the
claim; those that a person makes lock the row first and then pass the same fence. What was not
changed is told, never forced.
"""

from .announcing import anybody_listens, tell_ends
from .attempts import (
    claim,
    enqueue,
    held,
    lost,
    relabelled,
    released,
    settle,
    started,
    unclaim,
    was_written,
)
from .control import SIGNALS, Answer, forget, rerun, revoke, revoke_requests, stopped
from .door import whole
from .upkeep import expire, follow_up, hold_unknown, rescue, unhold

__all__ = [
    "SIGNALS",
    "Answer",
    "anybody_listens",
    "claim",
    "enqueue",
    "expire",
    "follow_up",
    "forget",
    "held",
    "hold_unknown",
    "lost",
    "relabelled",
    "released",
    "rerun",
    "rescue",
    "revoke",
    "revoke_requests",
    "settle",
    "started",
    "stopped",
    "tell_ends",
    "unclaim",
    "unhold",
    "was_written",
    "whole",
]
