"""Which states a task can be in, and which transitions between them are legal.

Pure: no database, no clock. Everything that writes a state asks this table first.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class State(StrEnum):
    """A task's place in life, as Celery names it. These are stored."""

    PENDING = "PENDING"
    STARTED = "STARTED"
    RETRY = "RETRY"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    REVOKED = "REVOKED"


#: Answered for an id without a row, never stored.
UNKNOWN = "UNKNOWN"
EXPIRED = "EXPIRED"

WAITING = frozenset({State.PENDING, State.RETRY})
UNFINISHED = WAITING | {State.STARTED}
FINAL = frozenset({State.SUCCESS, State.FAILURE, State.REVOKED})


class Stage(IntEnum):
    """Where a row stands for the claim: the marker that the partial indexes are built on.

    A state says what is true of the task; the stage says who has to look at its row next.
    """

    GATED = -2  # runnable but for a limit: of its task's rate, or of its concurrency key
    BLOCKED = -1  # waits for the end of other tasks
    SCHEDULED = 0  # waits for its run_after
    DUE = 1  # runnable now
    HELD = 2  # due, but no live worker knows its name
    CLAIMED = 3  # a worker owns it
    DONE = 4  # final


@dataclass(frozen=True, slots=True)
class Transition:
    """One legal kind of change.

    Args:
        name: what happens, as a verb.
        sources: the stored states that it may leave; empty where it makes the row.
        target: the state that it ends in.
        begins: whether STARTED may be recorded in the same write, because the attempt was shorter
            than a flush. The stored state may then still be a waiting one.
        yields: whether it gives the task back to be run again. It is refused while somebody's
            request to revoke the task stands, so that no request is lost.
    """

    name: str
    sources: frozenset[State]
    target: State
    begins: bool = False
    yields: bool = False

    def __reduce__(self) -> tuple[object, ...]:
        return named, (self.name,)  # one object a transition, in each process

    @property
    def stored_sources(self) -> frozenset[State]:
        """The states that a row may show when this transition is written."""
        return self.sources | WAITING if self.begins else self.sources

    def stage(self, delay: float | None = None) -> Stage:
        """Where the row stands afterwards, with ``delay`` seconds until it may run again."""
        if self.target in FINAL:
            return Stage.DONE
        if self.target is State.STARTED:
            return Stage.CLAIMED
        return Stage.SCHEDULED if delay else Stage.DUE


_RUNNING = frozenset({State.STARTED})

ENQUEUE = Transition("enqueue", frozenset(), State.PENDING)
START = Transition("start", WAITING, State.STARTED)
RELABEL = Transition("relabel", _RUNNING, State.STARTED, begins=True)
SUCCEED = Transition("succeed", _RUNNING, State.SUCCESS, begins=True)
FAIL = Transition("fail", _RUNNING, State.FAILURE, begins=True)
RETRY = Transition("retry", _RUNNING, State.RETRY, begins=True, yields=True)
RELEASE = Transition("release", _RUNNING, State.PENDING, begins=True, yields=True)
REVOKE = Transition("revoke", UNFINISHED, State.REVOKED)
STOP = Transition("stop", _RUNNING, State.REVOKED, begins=True)
EXPIRE = Transition("expire", WAITING, State.REVOKED)
RERUN = Transition("rerun", frozenset({State.FAILURE, State.REVOKED}), State.PENDING)

TRANSITIONS: tuple[Transition, ...] = (
    ENQUEUE, START, RELABEL, SUCCEED, FAIL, RETRY, RELEASE, REVOKE, STOP, EXPIRE, RERUN,
)  # fmt: skip


_BY_NAME = {transition.name: transition for transition in TRANSITIONS}


def named(name: str) -> Transition:
    """The transition of this name."""
    return _BY_NAME[name]


def is_legal(source: str | None, target: str) -> bool:
    """Whether history may show ``target`` right after ``source`` (None: the first row)."""
    if source is None:
        return target == ENQUEUE.target
    return any(source in t.sources and t.target == target for t in TRANSITIONS)
