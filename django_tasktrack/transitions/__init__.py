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
from .gating import Started, claim_gated, gate, ungate
from .upkeep import expire, follow_up, hold_unknown, rescue, unhold

__all__ = [
    "SIGNALS",
    "Answer",
    "Started",
    "anybody_listens",
    "claim",
    "claim_gated",
    "enqueue",
    "expire",
    "follow_up",
    "forget",
    "gate",
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
    "ungate",
    "unhold",
    "was_written",
    "whole",
]
