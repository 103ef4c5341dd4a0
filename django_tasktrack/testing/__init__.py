"""For the tests of projects: run tasks without a worker, travel in time, look at what was enqueued.

Works inside ``TestCase``, ``TransactionTestCase`` and pytest-django's ``db``. See docs/testing.md.
"""

from __future__ import annotations

from .assertions import assert_enqueued, assert_goal, assert_not_enqueued
from .cases import Tasktrack, TasktrackMixin
from .modes import eager, travel
from .recorder import enqueued
from .running import arun_all, arun_due, run_all, run_due

__all__ = [
    "Tasktrack",
    "TasktrackMixin",
    "arun_all",
    "arun_due",
    "assert_enqueued",
    "assert_goal",
    "assert_not_enqueued",
    "eager",
    "enqueued",
    "run_all",
    "run_due",
    "travel",
]
