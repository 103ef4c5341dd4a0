"""Ends a process before or after the n-th thing that it says to the database."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from typing import Any, Literal

from django.db import connection, connections

from tests.exam.tapping import Tap

CRASHED = 77
Place = Literal["before", "after"]


class CrashPoint:
    """Counts statements and commits of the calling thread's connection, and crashes at one of them.

    Args:
        number: which, from 1.
        place: before it is sent, or once it was answered.
    """

    def __init__(self, number: int, place: Place) -> None:
        self._number = number
        self._place = place
        self._count = 0

    def __enter__(self) -> CrashPoint:
        self._tap = Tap(connection, self._step)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._tap.remove()

    def _step(self, said: str, act: Callable[[], Any]) -> Any:
        self._count += 1
        here = self._count == self._number
        if here and self._place == "before":
            os._exit(CRASHED)
        answer = act()
        if here:
            os._exit(CRASHED)
        return answer


def crashes(verb: Callable[[], object], number: int, place: Place) -> bool:
    """Run the verb in a process of its own that ends at that point; whether it came so far."""
    connections.close_all()  # no connection is shared over the fork
    pid = os.fork()
    if not pid:
        _run(verb, number, place)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, CRASHED}, f"The verb failed in its process: {code}."
    return code == CRASHED


def _run(verb: Callable[[], object], number: int, place: Place) -> None:
    code = 1
    try:
        connection.ensure_connection()  # what it says to introduce itself is not counted
        with CrashPoint(number, place):
            verb()
        code = 0
    except BaseException:  # noqa: BLE001  the process ends here
        traceback.print_exc()
    finally:
        os._exit(code)
