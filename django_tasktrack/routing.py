"""Where a call is put: as the call says, else its task, else the routes of the settings, else their defaults.

So Celery decides it. Routes that look at arguments are asked for each call, the others once for many.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from . import checked
from .changes import NewTask
from .conf import config
from .registry import Definition
from .routes import Route, Routes

if TYPE_CHECKING:
    from .enqueue import Options

#: Puts a prepared row where its arguments say.
Place = Callable[[NewTask, Sequence[Any], Mapping[str, Any]], NewTask]

_compiled: tuple[object, Routes | None] = (None, None)


def in_force() -> Routes | None:
    """The routes of the settings; None where there are none.

    Raises:
        InvalidTask, ImportError: they hold what routes nothing.
    """
    global _compiled  # noqa: PLW0603  compiled once for as long as the settings stay the same
    given = config().TASK_ROUTES
    if not given:
        return None
    known, routes = _compiled
    if routes is None or known is not given:
        routes = Routes(given)
        _compiled = given, routes
    return routes


def by_name(definition: Definition, options: Options) -> tuple[str, int]:
    """Queue and priority, as far as no arguments are asked.

    Raises:
        InvalidTask: the call gives one that cannot be.
    """
    routes = in_force()
    asks = routes is not None and routes.ask_names_alone
    route = routes.of(definition.name) if routes is not None and asks else _NOWHERE
    return _placed(definition, options, route)


def by_arguments(definition: Definition, options: Options) -> Place | None:
    """What puts each call where its arguments say; None where nothing asks for them."""
    routes = in_force()
    if routes is None or routes.ask_names_alone:
        return None
    given = {
        field.name: value
        for field in fields(options)
        if (value := getattr(options, field.name)) not in (None, "")
    }

    def place(new: NewTask, args: Sequence[Any], kwargs: Mapping[str, Any]) -> NewTask:
        route = routes.of(definition.name, args, kwargs, given, definition)
        queue, priority = _placed(definition, options, route)
        return new._replace(queue=queue, priority=priority)

    return place


_NOWHERE = Route()


def _placed(definition: Definition, options: Options, route: Route) -> tuple[str, int]:
    queue, priority = options.queue, options.priority
    if queue is None:
        queue = route.queue if definition.queue is None else definition.queue
        queue = config().DEFAULT_QUEUE if queue is None else queue
    if priority is None:
        priority = route.priority if definition.priority is None else definition.priority
        priority = config().DEFAULT_PRIORITY if priority is None else priority
    return checked.queue_name(queue), checked.priority(priority)
