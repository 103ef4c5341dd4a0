"""The helpers under one name: as a mixin of test cases, and as an object for fixtures."""

from __future__ import annotations

import unittest
from contextlib import ExitStack
from datetime import datetime, timedelta

from .assertions import assert_enqueued, assert_goal, assert_not_enqueued
from .modes import eager, travel
from .recorder import enqueued
from .running import arun_all, arun_due, run_all, run_due


class TasktrackMixin(unittest.TestCase):
    """``class OrderTests(TasktrackMixin, TestCase)``: the helpers as methods."""

    run_due = staticmethod(run_due)
    run_all = staticmethod(run_all)
    arun_due = staticmethod(arun_due)
    arun_all = staticmethod(arun_all)
    enqueued = staticmethod(enqueued)
    assertEnqueued = staticmethod(assert_enqueued)  # noqa: N815  as unittest names them
    assertNotEnqueued = staticmethod(assert_not_enqueued)  # noqa: N815
    assertGoal = staticmethod(assert_goal)  # noqa: N815

    def travel(self, by: float | timedelta | None = None, *, to: datetime | None = None) -> None:
        """Move the clock of the tasks until the test ends; again, and it moves on."""
        self.enterContext(travel(by, to=to))

    def eager(self, propagates: bool = True) -> None:
        """Have calls run at once until the test ends."""
        self.enterContext(eager(propagates))


class Tasktrack:
    """The same for tests without a class; the fixture ``tasktrack`` is one."""

    run_due = staticmethod(run_due)
    run_all = staticmethod(run_all)
    arun_due = staticmethod(arun_due)
    arun_all = staticmethod(arun_all)
    enqueued = staticmethod(enqueued)
    assert_enqueued = staticmethod(assert_enqueued)
    assert_not_enqueued = staticmethod(assert_not_enqueued)
    assert_goal = staticmethod(assert_goal)

    def __init__(self) -> None:
        self._until_the_end = ExitStack()

    def travel(self, by: float | timedelta | None = None, *, to: datetime | None = None) -> None:
        """Move the clock of the tasks until the test ends; again, and it moves on."""
        self._until_the_end.enter_context(travel(by, to=to))

    def eager(self, propagates: bool = True) -> None:
        """Have calls run at once until the test ends."""
        self._until_the_end.enter_context(eager(propagates))

    def close(self) -> None:
        """The test has ended."""
        self._until_the_end.close()
