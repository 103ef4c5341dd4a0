"""Where a worker looks for what there is to do, and what it sees at one glance."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID


class Behind(NamedTuple):
    """A part of the due tasks: those that are new, where such were found before.

    Attributes:
        after: the first of their ids.
        lanes: their queues and priorities, one pair each.
    """

    after: UUID
    lanes: tuple[tuple[str, int], ...]


class Gates(NamedTuple):
    """What there is of limits; where there is none, nobody has to look for them.

    Attributes:
        limits: another number once somebody has changed a limit, or paused or resumed a queue.
        gated: a task waits for a limit.
        gateable: one is due that has to wait for one, and does not yet.
    """

    limits: int = 0
    gated: bool = False
    gateable: bool = False


class Agenda(NamedTuple):
    """What a worker would find if it looked everywhere; one that finds nothing has no need to.

    Attributes:
        due: a task is due that it may claim.
        scheduled_in: seconds until the next scheduled task is due; None: none is scheduled.
        claimed: some task is claimed by this worker.
        gone: a worker is silent, or a task's worker is gone.
        expired: a waiting task's ``expires`` has passed.
        unknown: a task is due in its queues whose name it does not know.
        held: a task is held because no worker knew its name.
        goals: a goal is past its deadline, or past its pause.
        slot_in: seconds until a schedule's next slot; None: there is none.
        gates: what there is of limits.
    """

    due: bool
    scheduled_in: float | None
    claimed: bool
    gone: bool
    expired: bool
    unknown: bool
    held: bool
    goals: bool
    slot_in: float | None = None
    gates: Gates = Gates()
