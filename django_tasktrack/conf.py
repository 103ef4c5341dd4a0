"""The one settings dict, ``TASKTRACK``: names, defaults, and clear errors for what it cannot hold."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from .exceptions import nearest


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting with its default. Durations are seconds, or a ``timedelta``."""

    #: Queue of tasks that name none.
    DEFAULT_QUEUE: str = "default"
    #: Retries of tasks that say nothing; None for no limit.
    DEFAULT_MAX_RETRIES: int | None = 3
    #: First delay of retries that say nothing, in seconds.
    DEFAULT_RETRY_DELAY: float = 180.0
    #: Module that each installed app's tasks are looked for in.
    TASKS_MODULE: str = "tasks"
    #: Alias whose commit an enqueue waits for, where a router keeps the tasks in another database.
    BUSINESS_DATABASE: str = "default"
    #: How often a worker says that it lives.
    HEARTBEAT: float = 5.0
    #: A worker silent for longer has lost its tasks.
    LEASE: float = 30.0
    #: How often workers look for tasks of lost workers, expired tasks and goals to pursue.
    MAINTENANCE: float = 1.0
    #: What running tasks get to end after SIGTERM, and a terminated one before SIGKILL.
    GRACE: float = 25.0
    TERMINATE_GRACE: float = 5.0
    #: Shortest and longest pause between two looks at the table.
    POLL_MIN: float = 0.05
    POLL_MAX: float = 1.0
    #: Processes that may die under a task before it ends in FAILURE.
    MAX_CRASHES: int = 3
    #: Bytes of JSON that arguments, a result or progress meta may take.
    MAX_PAYLOAD_BYTES: int = 1024 * 1024
    #: Characters of a traceback that are kept.
    MAX_TRACEBACK: int = 64 * 1024
    #: Finished tasks older than this are purged; failures may be kept longer. None keeps them.
    RETENTION: float | None = 7 * 86400.0
    FAILURE_RETENTION: float | None = 30 * 86400.0
    #: Tasks that a goal may use up, and the first pause before it is pursued again.
    GOAL_MAX_ATTEMPTS: int | None = 5
    GOAL_BACKOFF: float = 10.0
    #: For tests: calls run at once where they stand, without a row; and what their bodies raise is raised there.
    ALWAYS_EAGER: bool = False
    EAGER_PROPAGATES: bool = False
    #: Schedules by name, in the shape of Celery's beat_schedule.
    SCHEDULES: dict[str, Any] | None = None


_POSITIVE = {"HEARTBEAT", "LEASE", "MAINTENANCE", "POLL_MIN", "POLL_MAX", "MAX_PAYLOAD_BYTES"}


def errors(value: object) -> list[tuple[str, str]]:
    """What is wrong with a ``TASKTRACK`` dict, as (problem, hint) pairs."""
    if not isinstance(value, dict):
        return [("TASKTRACK must be a dict.", "Write TASKTRACK = {...} in your settings.")]
    known = {field.name: field for field in fields(Config)}
    found: list[tuple[str, str]] = []
    for name, given in value.items():
        if name not in known:
            found.append((f"TASKTRACK has no setting {name!r}.", nearest(str(name), known)))
        elif problem := _wrong_type(str(known[name].type), _seconds(given)):
            said = f"TASKTRACK[{name!r}] = {given!r} is not {problem}."
            found.append((said, _expected(str(known[name].type), known[name].default)))
        elif isinstance(number := _seconds(given), (int, float)) and not _in_range(name, number):
            least = "positive" if name in _POSITIVE else "zero or more, and finite"
            found.append((f"TASKTRACK[{name!r}] must be {least}.", "Leave it out for its default."))
    if not found:
        found += _inconsistent({name: _seconds(given) for name, given in value.items()})
    return found


def _in_range(name: str, number: float) -> bool:
    return math.isfinite(number) and (number > 0 if name in _POSITIVE else number >= 0)


def _inconsistent(value: dict[str, Any]) -> list[tuple[str, str]]:
    config = Config(**value)
    found: list[tuple[str, str]] = []
    if config.LEASE < 3 * config.HEARTBEAT:
        problem = (
            f"TASKTRACK['LEASE'] ({config.LEASE:g} s) is shorter than three heartbeats "
            f"of {config.HEARTBEAT:g} s: a short pause would cost a living worker its tasks."
        )
        found.append((problem, "Raise LEASE or lower HEARTBEAT."))
    if config.POLL_MIN > config.POLL_MAX:
        problem = (
            f"TASKTRACK['POLL_MIN'] ({config.POLL_MIN:g} s) is longer than POLL_MAX "
            f"({config.POLL_MAX:g} s)."
        )
        found.append((problem, "Lower POLL_MIN or raise POLL_MAX."))
    return found


def _wrong_type(annotation: str, given: object) -> str | None:
    kind, optional = _kind(annotation)
    if kind == "bool":
        return None if isinstance(given, bool) else "True or False"
    if given is None:
        return None if optional else {"str": "a string"}.get(kind, "a number")
    if kind == "str":
        return None if isinstance(given, str) and given else "a string"
    if kind.startswith("dict"):
        return None if isinstance(given, dict) else "a dict of schedules by name"
    number = isinstance(given, (int, float) if kind == "float" else int)
    if not number or isinstance(given, bool):
        return "a number of seconds" if kind == "float" else "a whole number"
    return None


def _expected(annotation: str, default: object) -> str:
    """The remedy: what the setting takes."""
    kind, optional = _kind(annotation)
    if kind == "bool":
        return f"Leave it out for {default}."
    if kind == "str":
        return f"Give a string, such as {default!r}."
    if kind.startswith("dict"):
        return 'Write {"nightly": {"task": "app.tasks.tidy", "schedule": "0 3 * * *"}}.'
    if kind == "float":
        return f"Give seconds or a timedelta{', or None for ever' if optional else ''}."
    return (
        f"Give a whole number, such as {default!r}{', or None for no limit' if optional else ''}."
    )


def _kind(annotation: str) -> tuple[str, bool]:
    """The type of a setting, and whether it may be None."""
    return annotation.removesuffix("| None").strip(), annotation.endswith("| None")


def _seconds(value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


@cache
def config() -> Config:
    """The settings in force.

    Raises:
        ImproperlyConfigured: naming the setting, and the nearest one that exists.
    """
    given: Any = getattr(settings, "TASKTRACK", {})
    for problem, hint in errors(given):
        raise ImproperlyConfigured(f"{problem} Hint: {hint}")
    return Config(**{name: _seconds(value) for name, value in given.items()})


@cache
def at_declaration() -> Config:
    """The settings for what happens while Django starts: the defaults, where they are wrong.

    So ``manage.py`` gets as far as its system checks, which name what is wrong without a traceback.
    Whatever enqueues or works asks ``config()``, and is refused.
    """
    try:
        return config()
    except ImproperlyConfigured:
        return Config()


def _forget(*, setting: str, **_: object) -> None:
    if setting == "TASKTRACK":
        config.cache_clear()
        at_declaration.cache_clear()


setting_changed.connect(_forget, dispatch_uid="django_tasktrack.conf")
