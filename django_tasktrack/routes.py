"""Where calls go: what the routers of ``TASK_ROUTES`` say, as Celery's do. Pure.

A router is a dict (or a list of pairs) of task names, globs and compiled patterns, a function, or the
dotted path of one. The first that says anything is followed; within a dict, exact names come first.
"""

from __future__ import annotations

import fnmatch
import re
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django.utils.module_loading import import_string

from . import checked
from .exceptions import InvalidTask, nearest


class Route(NamedTuple):
    """Where a call goes; None leaves it to the task and the settings."""

    queue: str | None = None
    priority: int | None = None


#: Asked with a task's name, arguments, keyword arguments, the options of the call and the task.
Router = Callable[..., Route | None]

_HINT = "Give {'tasks.add': 'queue'}, a function, the path of one, or a list of these."


class Routes:
    """The routers of the settings, in their order.

    Args:
        given: the setting.

    Raises:
        InvalidTask: it holds what routes nothing.
        ImportError: a router's path leads nowhere.
    """

    def __init__(self, given: Any) -> None:
        self._routers = [_router(part) for part in _parts(given)]
        #: Whether a call's arguments and options change nothing.
        self.ask_names_alone = all(isinstance(router, _ByName) for router in self._routers)

    def of(
        self,
        name: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        task: object = None,
    ) -> Route:
        """Where a call goes.

        Args:
            name: of its task.
            args, kwargs: the arguments of the call.
            options: that the call gives, by their names.
            task: what is known of the task.

        Raises:
            InvalidTask: a router's answer is none.
        """
        for router in self._routers:
            found = router(name, args, kwargs or {}, options or {}, task=task)
            if found is not None:
                return found
        return Route()


class _ByName:
    """Names, globs and patterns, each with where it leads."""

    def __init__(self, pairs: Mapping[Any, Any] | Sequence[Any]) -> None:
        items = pairs.items() if isinstance(pairs, Mapping) else pairs
        self._names: dict[str, Route] = {}
        self._patterns: list[tuple[re.Pattern[str], Route]] = []
        for key, value in items:
            route = _route(value, repr(key))
            if isinstance(key, re.Pattern):
                self._patterns.append((key, route))
            elif not isinstance(key, str):
                raise InvalidTask(f"{key!r} is no name of a task, and no pattern.", hint=_HINT)
            elif "*" in key:
                self._patterns.append((re.compile(fnmatch.translate(key)), route))
            else:
                self._names[key] = route

    def __call__(self, name: str, *_args: Any, **_kwargs: Any) -> Route | None:
        found = self._names.get(name)
        if found is not None:
            return found
        return next((route for pattern, route in self._patterns if pattern.match(name)), None)


def _parts(given: Any) -> Sequence[Any]:
    return given if isinstance(given, (list, tuple)) else (given,)


def _router(part: Any) -> Router:
    if isinstance(part, (Mapping, list, tuple)):
        return _ByName(part)
    if isinstance(part, str):
        part = import_string(part)
        part = part() if isinstance(part, type) else part  # a router class, as Celery's are
    ask = getattr(part, "route_for_task", None)
    what = f"router {getattr(part, '__qualname__', part)!r}"
    if callable(ask):
        return lambda name, args, kwargs, *_, **__: _answer(ask(name, args, kwargs), what)
    if not callable(part):
        raise InvalidTask(f"{reprlib.repr(part)} is no router.", hint=_HINT)
    return lambda *args, **kwargs: _answer(part(*args, **kwargs), what)


def _answer(value: Any, what: str) -> Route | None:
    return None if value is None else _route(value, what)


def _route(value: Any, what: str) -> Route:
    """What a router says.

    Raises:
        InvalidTask: that is no queue, and no dict of queue and priority.
    """
    if isinstance(value, str):
        value = {"queue": value}
    if not isinstance(value, Mapping):
        said = f"The route of {what} is {reprlib.repr(value)}."
        raise InvalidTask(
            said, hint="Give the name of a queue, or {'queue': ..., 'priority': ...}."
        )
    for key in value:
        if key not in Route._fields:
            said = f"The route of {what} has no option {key!r}."
            raise InvalidTask(said, hint=nearest(str(key), Route._fields))
    queue, priority = value.get("queue"), value.get("priority")
    return Route(
        None if queue is None else checked.queue_name(queue),
        None if priority is None else checked.priority(priority),
    )


def problems(given: Any) -> Iterator[tuple[str, str]]:
    """What is wrong with the setting, without importing what it names."""
    for part in _parts(given) if given else ():
        if isinstance(part, str) and "." in part:
            continue
        try:
            _router(part)
        except (InvalidTask, ValueError, TypeError, ImportError) as error:
            said, _, hint = str(error).partition(" Hint: ")
            yield said, hint or _HINT


def names(given: Any) -> list[str]:
    """The tasks that the setting names exactly."""
    found: list[str] = []
    for part in _parts(given) if given else ():
        if isinstance(part, (Mapping, list, tuple)):
            found += _ByName(part)._names
    return found
