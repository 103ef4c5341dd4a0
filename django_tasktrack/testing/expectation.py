"""A call that a test expects to have been enqueued, compared with those that were. No database."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import SequenceMatcher
from typing import Any

from ..exceptions import PayloadError
from ..models import TrackedTask
from ..payloads import encode

#: Calls that a message shows.
_SHOWN = 10

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80
_short.maxdict = _short.maxlist = 10
_short.maxlevel = 4


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a call is asked to be; None where it is not asked. Values may be such as ``mock.ANY``.

    Args:
        name: of the task.
        args, kwargs: as they were given to ``delay()``.
        queue, priority: as its row has them.
        countdown: seconds between its being enqueued and its time.
        eta: its time.
    """

    name: str
    args: Sequence[Any] | None = None
    kwargs: Mapping[str, Any] | None = None
    queue: str | None = None
    priority: int | None = None
    countdown: float | timedelta | None = None
    eta: datetime | None = None

    def __str__(self) -> str:
        asked = {
            name: getattr(self, name)
            for name in ("args", "kwargs", "queue", "priority", "countdown", "eta")
        }
        said = [
            f"{name}={_short.repr(value)}" for name, value in asked.items() if value is not None
        ]
        return f"{self.name} with {', '.join(said)}" if said else self.name

    def differences(self, task: TrackedTask) -> list[str]:
        """In what a task is another one; nothing where it is as asked."""
        found = []
        if self.name != task.name:
            found.append("another task")
        if self.args is not None and _stored(self.args) != task.args:
            found.append(f"args={_short.repr(task.args)}")
        if self.kwargs is not None and _stored(self.kwargs) != task.kwargs:
            found.append(f"kwargs={_short.repr(task.kwargs)}")
        if self.queue is not None and self.queue != task.queue:
            found.append(f"queue={task.queue!r}")
        if self.priority is not None and self.priority != task.priority:
            found.append(f"priority={task.priority}")
        return found + self._differences_in_time(task)

    def _differences_in_time(self, task: TrackedTask) -> list[str]:
        found = []
        if self.countdown is not None:
            asked, delay = _seconds(self.countdown), task.run_after - task.created_at
            if not asked - 0.001 <= delay.total_seconds() <= asked + 0.001:
                found.append(f"countdown={delay.total_seconds():g}")
        if self.eta is not None and self.eta != task.run_after:
            found.append(f"eta={task.run_after}")
        return found

    def nearest_first(self, tasks: Sequence[TrackedTask]) -> str:
        """These tasks in lines, the one first that is most like it, each with what is different."""
        asked = f"{self.name} {self.args} {self.kwargs}"

        def distance(task: TrackedTask) -> tuple[bool, int, float]:
            text = f"{task.name} {task.args} {task.kwargs}"
            likeness = SequenceMatcher(None, asked, text, autojunk=False).ratio()
            return task.name != self.name, len(self.differences(task)), -likeness

        ordered = sorted(tasks, key=distance)
        lines = [f"  {call_of(task)}{self._note(task)}" for task in ordered[:_SHOWN]]
        more = [f"  … and {len(ordered) - _SHOWN} more"] if len(ordered) > _SHOWN else []
        return "\n".join(lines + more)

    def _note(self, task: TrackedTask) -> str:
        differences = self.differences(task)
        return f"  ← {', '.join(differences)}" if differences else ""


def call_of(task: TrackedTask) -> str:
    """The call that a row stands for, as one would write it."""
    args = [_short.repr(value) for value in task.args]
    kwargs = [f"{name}={_short.repr(value)}" for name, value in task.kwargs.items()]
    return f"{task.name}({', '.join(args + kwargs)})"


def _stored(value: Any) -> Any:
    """The value as a row has it; what cannot be stored, such as ``mock.ANY``, as it is."""
    if isinstance(value, (list, tuple)):
        return [_stored(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): _stored(item) for name, item in value.items()}
    try:
        return json.loads(encode(value, "value"))
    except PayloadError:
        return value


def _seconds(value: float | timedelta) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)
