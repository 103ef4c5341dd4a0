"""``celery.states``: the words, and which of them go together."""

from ...states import EXPIRED, FINAL, UNFINISHED, UNKNOWN, State

PENDING = State.PENDING.value
STARTED = State.STARTED.value
RETRY = State.RETRY.value
SUCCESS = State.SUCCESS.value
FAILURE = State.FAILURE.value
REVOKED = State.REVOKED.value

#: Those in which ``ready()`` is true, and the others.
READY_STATES = frozenset({*(state.value for state in FINAL), EXPIRED})
UNREADY_STATES = frozenset({*(state.value for state in UNFINISHED), UNKNOWN})
#: Those in which ``result`` is an exception, and those in which ``get()`` raises it.
EXCEPTION_STATES = frozenset({RETRY, FAILURE, REVOKED})
PROPAGATE_STATES = frozenset({FAILURE, REVOKED})
ALL_STATES = READY_STATES | UNREADY_STATES

__all__ = [
    "ALL_STATES",
    "EXCEPTION_STATES",
    "EXPIRED",
    "FAILURE",
    "PENDING",
    "PROPAGATE_STATES",
    "READY_STATES",
    "RETRY",
    "REVOKED",
    "STARTED",
    "SUCCESS",
    "UNKNOWN",
    "UNREADY_STATES",
]
