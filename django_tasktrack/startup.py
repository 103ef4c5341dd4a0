"""What waits for Django to start: code of a project that runs before its apps are there.

``proj/__init__.py`` is imported before the settings are, and whatever it declares has to wait for them.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

Call = Callable[[], object]


class Moment(Enum):
    """Moments of Django's start, in their order."""

    #: Models can be used, so that tasks can be declared.
    MODELS = 1
    #: The tasks of all apps are declared.
    TASKS = 2


_reached: set[Moment] = set()
_waiting: dict[Moment, list[Call]] = {moment: [] for moment in Moment}


def when(moment: Moment, call: Call) -> None:
    """Call a function at this moment; at once, where it has come."""
    if moment in _reached:
        call()
    else:
        _waiting[moment].append(call)


def reach(moment: Moment) -> None:
    """This moment has come: call those that have waited for it, in the order in which they came."""
    waiting = _waiting[moment]
    while waiting:  # one may bring others
        waiting.pop(0)()
    _reached.add(moment)
