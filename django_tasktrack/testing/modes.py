"""What is otherwise for a while: calls that run at once, and a clock that is ahead."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.test.utils import TestContextDecorator, override_settings

from .. import checked
from ..exceptions import InvalidTask
from ..vendors import Vendor, task_database, vendor_for


class eager(TestContextDecorator):  # noqa: N801  reads as a word: with eager()
    """Have ``delay()`` and its like run at once, without a row, as ``ALWAYS_EAGER`` does.

    A context manager, and a decorator of functions and of test cases.

    Args:
        propagates: whether what a body raises is raised by ``delay()``, or kept for ``get()``.
    """

    def __init__(self, propagates: bool = True) -> None:
        super().__init__()
        self._propagates = propagates

    def enable(self) -> None:
        own = {"ALWAYS_EAGER": True, "EAGER_PROPAGATES": self._propagates}
        given = getattr(settings, "TASKTRACK", {})
        self._override = override_settings(TASKTRACK={**given, **own})
        self._override.enable()

    def disable(self) -> None:
        self._override.disable()


class travel(TestContextDecorator):  # noqa: N801  reads as a word: with travel(by=60)
    """Move the clock of the tasks, in this process: what is scheduled becomes due, what expires does.

    It is the database's clock, on each database; ``timezone.now()`` stays where it is. A context manager,
    and a decorator of functions and of test cases. Journeys add up.

    Args:
        by: seconds or a ``timedelta``.
        to: a time, instead.

    Raises:
        InvalidTask: not one of both is given, or it is none.
    """

    def __init__(self, by: float | timedelta | None = None, *, to: datetime | None = None) -> None:
        super().__init__()
        if (by is None) == (to is None):
            raise InvalidTask("travel() takes by= or to=.", hint="travel(by=60) goes a minute on.")
        self._by = None if by is None else timedelta(seconds=checked.seconds(by, "by"))
        self._to = None if to is None else checked.aware(to, "to")

    def enable(self) -> None:
        self._moved = self._length()
        Vendor.ahead += self._moved

    def disable(self) -> None:
        Vendor.ahead -= self._moved

    def _length(self) -> timedelta:
        if self._to is not None:
            return self._to - vendor_for(task_database()).now()
        return self._by or timedelta(0)
