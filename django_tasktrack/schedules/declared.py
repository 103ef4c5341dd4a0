"""What the code says of schedules: on its tasks, and in the settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .. import checked, registry, timings
from ..changes import NewTask
from ..conf import config
from ..enqueue import Options, prepare
from ..exceptions import InvalidSchedule, TasktrackError, nearest
from ..payloads import decode, encode

_KEYS = ("task", "schedule", "args", "kwargs", "options", "timezone", "catch_up", "enabled")
_OPTIONS = ("queue", "priority", "expires", "unique_key")


@dataclass(frozen=True, slots=True)
class Entry:
    """One schedule: what a row of it says. Empty texts and None stand for the task's own."""

    name: str
    task: str
    timing: str
    timezone: str
    args: Any
    kwargs: Any
    queue: str
    priority: int | None
    expires: float | None
    unique_key: str
    catch_up: int
    enabled: bool = True

    def declaration(self) -> dict[str, Any]:
        """The columns that follow the code, until a person changes them."""
        columns = asdict(self)
        del columns["name"], columns["enabled"]
        return columns

    def new_task(self, actor: str = "") -> NewTask:
        """The task of a slot, to be inserted.

        Raises:
            TypeError, PayloadError, InvalidTask, NotRegistered: as enqueueing it would.
        """
        options = Options(
            queue=self.queue or None,
            priority=self.priority,
            expires=self.expires,
            unique_key=self.unique_key or None,
            actor=actor,
        )
        return prepare(registry.get(self.task), self.args, self.kwargs, options)

    def check(self) -> None:
        """Refuse what could not be run.

        Raises:
            InvalidSchedule: it says no time.
            TypeError, PayloadError, InvalidTask, NotRegistered: as enqueueing it would.
        """
        timings.rule(self.timing, self.timezone)
        self.new_task()


@dataclass(frozen=True, slots=True)
class Wrong:
    """A schedule that means nothing: its name, what is wrong with it, and the remedy."""

    name: str
    problem: str
    hint: str = ""


def declared() -> list[Entry | Wrong]:
    """All that is declared. Where both name one, the settings count."""
    found: dict[str, Entry | Wrong] = {}
    for task in registry.names():
        if (given := registry.get(task).schedule) is not None:
            found[task] = _read(task, given, task)
    for name, given in (config().SCHEDULES or {}).items():
        found[str(name)] = _read(name, given)
    return list(found.values())


def _read(name: Any, given: Any, task: str | None = None) -> Entry | Wrong:
    try:
        entry = entry_of(name, given, task)
        entry.check()
    except Exception as error:  # noqa: BLE001  a task's unique_key is code of the project's
        return Wrong(str(name), *_said(error))
    return entry


def _said(error: Exception) -> tuple[str, str]:
    text = str(error) if isinstance(error, (TasktrackError, TypeError)) else repr(error)
    problem, _, hint = text.partition(" Hint: ")
    return problem, hint


def entry_of(name: Any, given: Any, task: str | None = None) -> Entry:
    """What one declaration says.

    Args:
        name: of the schedule.
        given: a dict in Celery's shape, or only when.
        task: which it is of, where the declaration stands on the task itself.

    Raises:
        InvalidSchedule: it means nothing.
        InvalidTask: a value in it cannot be.
    """
    if not isinstance(given, Mapping):
        given = {"schedule": given}
    if task is not None:
        given = {"task": task, **given}
    _known(given, _KEYS, "schedule")
    for needed in ("task", "schedule"):
        if needed not in given:
            raise InvalidSchedule(f"It has no {needed!r}.", hint=_SHAPE)
    timing = timings.timing_of(given["schedule"])
    return Entry(
        name=checked.word(name, "name", 255),
        task=checked.task_name(getattr(given["task"], "name", given["task"])),
        timing=timing.text,
        timezone=str(given.get("timezone") or timing.timezone),
        catch_up=_catch_up(given.get("catch_up", 1)),
        enabled=bool(given.get("enabled", True)),
        **_call(given),
        **_options(given.get("options") or {}),
    )


_SHAPE = 'Write {"task": "app.tasks.tidy", "schedule": "0 3 * * *"}.'


def _known(given: Mapping[Any, Any], known: tuple[str, ...], what: str) -> None:
    for key in given:
        if key not in known:
            raise InvalidSchedule(f"A {what} has no {key!r}.", hint=nearest(str(key), known))


def _call(given: Mapping[str, Any]) -> dict[str, Any]:
    args, kwargs = checked.call(given.get("args"), given.get("kwargs"))
    # As a row gives them back: else they would seem changed.
    return {
        "args": decode(encode(args, "args")),
        "kwargs": decode(encode(dict(kwargs), "kwargs")),
    }


def _options(given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise InvalidSchedule(f"options={given!r} is no dict.", hint='Write {"queue": "mail"}.')
    _known(given, _OPTIONS, "schedule's option")
    expires = given.get("expires")
    return {
        "queue": given.get("queue") or "",
        "priority": given.get("priority"),
        "expires": None if expires is None else checked.seconds(expires, "expires"),
        "unique_key": given.get("unique_key") or "",
    }


def _catch_up(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= timings.MOST:
        return value
    raise InvalidSchedule(
        f"catch_up={value!r} is no number of slots.",
        hint=f"Pass 0 for none of those that were missed, 1 for the latest, or up to {timings.MOST}.",
    )


def problems() -> Iterator[Wrong]:
    """What is declared and means nothing."""
    return (one for one in declared() if isinstance(one, Wrong))
