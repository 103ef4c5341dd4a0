"""What there is to do for a worker, seen at one glance."""

from __future__ import annotations

from typing import NamedTuple


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
