"""The tables: tasks, their history, their progress, workers, goals, schedules, limits. Models carry reads, no state
writes."""

from .goals import Goal, GoalAttempt
from .indexes import PartialIndex, PartialUnique
from .limits import Queue, TaskLimits
from .purging import PurgeHorizon, Sweep
from .schedules import Schedule, ScheduleSlot
from .tasks import Link, Progress, StateChange, TrackedTask
from .workers import Worker

__all__ = [
    "Goal",
    "GoalAttempt",
    "Link",
    "PartialIndex",
    "PartialUnique",
    "Progress",
    "PurgeHorizon",
    "Queue",
    "Schedule",
    "ScheduleSlot",
    "StateChange",
    "Sweep",
    "TaskLimits",
    "TrackedTask",
    "Worker",
]
