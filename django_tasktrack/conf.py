"""The one settings dict, ``TASKTRACK``: names, defaults, and clear errors for what it cannot hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from . import celery_names, rates, routes, task_annotations
from .exceptions import nearest
from .retention import Retention, contradiction, fitting
from .setting_values import plain, problem_of


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting with its default. Durations are seconds, or a ``timedelta``."""

    #: Queue of tasks that name none.
    DEFAULT_QUEUE: str = "default"
    #: Priority of tasks that name none, -100 to 100.
    DEFAULT_PRIORITY: int = 0
    #: Retries of tasks that say nothing; None for no limit.
    DEFAULT_MAX_RETRIES: int | None = 3
    #: First delay of retries that say nothing, in seconds.
    DEFAULT_RETRY_DELAY: float = 180.0
    #: Module that each installed app's tasks are looked for in, and other modules that declare tasks.
    TASKS_MODULE: str = "tasks"
    INCLUDE: tuple[str, ...] = ()
    #: Alias whose commit an enqueue waits for, where a router keeps the tasks in another database.
    BUSINESS_DATABASE: str = "default"
    #: Where calls go that name no queue, and whose task names none; see ``routes``.
    TASK_ROUTES: Any = None
    #: Options of tasks, by the task's name, instead of those that it declares; see ``task_annotations``.
    TASK_ANNOTATIONS: Any = None
    #: How many tasks of each name may start in a time, of those that say nothing; None for no limit.
    DEFAULT_RATE_LIMIT: str | None = None
    #: What carries arguments, and what carries results (None: the same); "json" or "tagged".
    SERIALIZER: str = "json"
    RESULT_SERIALIZER: str | None = None
    #: Payloads that are decoded.
    ACCEPT_CONTENT: tuple[str, ...] = ("json", "tagged")
    #: Modules whose Enums and dataclasses payloads may name.
    SERIALIZABLE_MODULES: tuple[str, ...] = ()
    #: Whether values of results are dropped, and whether errors stay then.
    IGNORE_RESULT: bool = False
    STORE_ERRORS_EVEN_IF_IGNORED: bool = True
    #: What a worker does that is started without these options.
    POOL: str = "prefork"
    CONCURRENCY: int | None = None
    TIME_LIMIT: float | None = None
    SOFT_TIME_LIMIT: float | None = None
    MAX_TASKS_PER_CHILD: int | None = None
    MAX_MEMORY_PER_CHILD: int | None = None
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
    #: How long after the end values of results are kept, and then rows, by their state. None is for ever.
    RESULT_EXPIRES: float | None = 7 * 86400.0
    RETENTION: float | None = 14 * 86400.0
    FAILURE_RETENTION: float | None = 30 * 86400.0
    REVOKED_RETENTION: float | None = 14 * 86400.0
    #: Tasks that a goal may use up, and the first pause before it is pursued again.
    GOAL_MAX_ATTEMPTS: int | None = 5
    GOAL_BACKOFF: float = 10.0
    #: For tests: calls run at once where they stand, without a row; and what their bodies raise is raised there.
    ALWAYS_EAGER: bool = False
    EAGER_PROPAGATES: bool = False
    #: Schedules by name, in the shape of Celery's beat_schedule.
    SCHEDULES: dict[str, Any] | None = None

    @property
    def retention(self) -> Retention:
        """How long what is left of a task is kept that says nothing of it."""
        return Retention(
            self.RESULT_EXPIRES, self.RETENTION, self.FAILURE_RETENTION, self.REVOKED_RETENTION
        )


_SETTINGS = {field.name: field for field in fields(Config)}


class Entry(NamedTuple):
    """One setting as it was given.

    Attributes:
        holder: what it was given in, as messages call it: "TASKTRACK".
        name: by which name, ours or Celery's.
        value: as it was given.
    """

    holder: str
    name: Any
    value: Any

    @property
    def place(self) -> str:
        """Where it stands, as messages call it."""
        return f"{self.holder}[{self.name!r}]"


class _Given(NamedTuple):
    """One setting that has an effect: where it was given, and what it means here."""

    place: str
    name: str
    value: Any


#: What gives settings beside the dict, as if they stood in it.
Source = Callable[[], Iterable[Entry]]
_sources: list[Source] = []


def add_source(source: Source) -> None:
    """From now on read these settings as if they stood in ``TASKTRACK`` as well.

    Where both have a setting, and differ, that is an error which names both places. Whoever changes what a
    source gives calls ``forget()``.
    """
    _sources.append(source)
    forget()


def remove_source(source: Source) -> None:
    """No longer read these."""
    _sources.remove(source)
    forget()


def exists(name: object) -> bool:
    """Whether a name is a setting's, in our vocabulary or in Celery's."""
    return name in _SETTINGS or celery_names.celery_name(name) is not None


def errors(value: object) -> list[tuple[str, str]]:
    """What is wrong with a ``TASKTRACK`` dict, as (problem, hint) pairs."""
    return _understood(value)[1]


def problems() -> list[tuple[str, str]]:
    """What is wrong with the settings in force, wherever they were given."""
    return _understood(*_in_force())[1]


def needless() -> list[str]:
    """Where the settings in force name another broker or store than the database."""
    return _places(celery_names.is_needless)


def ordering_as_redis() -> list[str]:
    """Where the settings in force expect that the smallest priority goes first."""
    return _places(celery_names.orders_as_redis)


def _places(holds: Callable[[object, Any], bool]) -> list[str]:
    """The places of the settings in force of which this holds."""
    value, others = _in_force()
    entries = [*_of_dict(value), *others] if isinstance(value, dict) else others
    return [entry.place for entry in entries if holds(entry.name, entry.value)]


def _in_force() -> tuple[Any, list[Entry]]:
    return getattr(settings, "TASKTRACK", {}), [entry for read in _sources for entry in read()]


def _of_dict(value: dict[Any, Any]) -> list[Entry]:
    return [Entry("TASKTRACK", name, what) for name, what in value.items()]


def _understood(
    value: object, others: Iterable[Entry] = ()
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The settings of a dict, and others, in our names; and what is wrong with them."""
    if not isinstance(value, dict):
        return {}, [("TASKTRACK must be a dict.", "Write TASKTRACK = {...} in your settings.")]
    given, found = _in_our_names([*_of_dict(value), *others])
    found += [problem for item in given for problem in _problems(item)]
    found += celery_names.contradictions(value)
    chosen: dict[str, _Given] = {}
    for item in given:
        first = chosen.setdefault(item.name, item)
        if first is not item and first.value != item.value:
            said = f"{first.place} and {item.place} mean the same setting, and differ."
            found.append((said, "Keep one of them."))
    meant = {name: item.value for name, item in chosen.items()}
    found = found or _inconsistent(meant)
    return meant if found else meant | _rows_with_their_values(meant), found


def _in_our_names(entries: Iterable[Entry]) -> tuple[list[_Given], list[tuple[str, str]]]:
    """Each setting that has an effect, and what is wrong with the names of the others."""
    given: list[_Given] = []
    found: list[tuple[str, str]] = []
    for entry in entries:
        by, what = entry.name, entry.value
        if by in _SETTINGS:
            given.append(_Given(entry.place, by, plain(what)))
        elif (meaning := celery_names.meaning(by, what)) is None:
            found.append((f"{entry.holder} has no setting {by!r}.", nearest_name(by)))
        elif meaning.refused:
            said = f"{entry.place} = {what!r} cannot be followed here."
            found.append((said, meaning.refused))
        elif meaning.ours and not (meaning.value is None and not _may_be_none(meaning.ours)):
            # None: Celery's default
            given.append(_Given(entry.place, meaning.ours, plain(meaning.value)))
    return given, found


def _may_be_none(name: str) -> bool:
    return str(_SETTINGS[name].type).endswith("| None") or _SETTINGS[name].type == "Any"


def nearest_name(given: object) -> str:
    """The nearest setting in either vocabulary; where none is near, what there is in ours."""
    name = str(given)
    hint = nearest(name, {*_SETTINGS, *celery_names.spellings()})
    return nearest(name, _SETTINGS) if hint.startswith("Known") else hint


def _problems(item: _Given) -> Iterator[tuple[str, str]]:
    """What is wrong with one setting."""
    field = _SETTINGS[item.name]
    found = problem_of(item.name, str(field.type), item.value, field.default)
    if found is not None:
        problem, hint = found
        yield f"{item.place} = {item.value!r} {problem}.", hint
    elif (look := _OF_THEIR_OWN.get(item.name)) is not None:
        for problem, hint in look(item.value):
            yield f"{item.place}: {problem}", hint


#: Settings whose parts are looked at too.
_OF_THEIR_OWN = {
    "TASK_ROUTES": routes.problems,
    "TASK_ANNOTATIONS": task_annotations.problems,
    "DEFAULT_RATE_LIMIT": rates.problems,
}


def _kept(meant: dict[str, Any]) -> dict[str, float | None]:
    """The times of values and of rows that were given, by the words of a task's options."""
    names = ("RESULT_EXPIRES", "RETENTION")
    return {name.lower(): meant[name] for name in names if name in meant}


def _rows_with_their_values(meant: dict[str, Any]) -> dict[str, float | None]:
    """A row is kept as long as its value, where the settings say nothing of the row."""
    default = Config().RETENTION
    return {word.upper(): time for word, time in fitting(_kept(meant), default).items()}


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
    if wrong := contradiction(_kept(value)):
        problem = f"TASKTRACK['RESULT_EXPIRES'] = {config.RESULT_EXPIRES!r}: {wrong}."
        found.append((problem, "Raise RETENTION, or leave it out."))
    for name in ("SERIALIZER", "RESULT_SERIALIZER"):
        used = getattr(config, name)
        if used not in (None, "json", *config.ACCEPT_CONTENT):
            problem = f"TASKTRACK[{name!r}] is {used!r}, which ACCEPT_CONTENT does not accept."
            found.append((problem, f"Add {used!r} to ACCEPT_CONTENT, or leave that out."))
    return found


@cache
def config() -> Config:
    """The settings in force.

    Raises:
        ImproperlyConfigured: naming the setting, and the nearest one that exists.
    """
    meant, found = _understood(*_in_force())
    for problem, hint in found:
        raise ImproperlyConfigured(f"{problem} Hint: {hint}")
    return Config(**meant)


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


def forget() -> None:
    """Read the settings again when next asked."""
    config.cache_clear()
    at_declaration.cache_clear()


def _on_change(*, setting: str, **_: object) -> None:
    if setting == "TASKTRACK" or _sources:
        forget()


setting_changed.connect(_on_change, dispatch_uid="django_tasktrack.conf")
