"""``@app.task`` and ``@shared_task``: at once where Django's apps are there, else as soon as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, overload

from django.apps import apps

from .... import checked
from ....startup import Moment, when
from ....task_options import OPTION_NAMES
from ..loading import load
from . import options
from .lazy import LazyTask

if TYPE_CHECKING:
    from .base import Celery


def declarer(app: Celery | None, args: tuple[Any, ...], given: Mapping[str, Any]) -> Any:
    """What a decorator returns: the task of a function, or what makes it one.

    Args:
        app: that it is declared on; None for whichever is current when it is asked.
        args: of the decorator: the function, where it was used without parentheses.
        given: its options.

    Raises:
        TypeError: it was given more than a function, or there is no such option.
    """
    if len(args) > 1:
        raise TypeError(
            "@app.task takes one function. Hint: Options are named: @app.task(bind=True)."
        )
    meant = options.of_task(given)
    checked.option_names(
        meant, OPTION_NAMES, OPTION_NAMES, "@app.task"
    )  # where it stands, not later
    declare = partial(_declare, app, meant)
    return declare(*args) if args else declare


@overload
def shared_task(function: Callable[..., Any], /) -> Any: ...


@overload
def shared_task(**given: Any) -> Callable[[Callable[..., Any]], Any]: ...


def shared_task(*args: Any, **given: Any) -> Any:
    """``@shared_task``, with and without parentheses: a task that belongs to no app of its own.

    Args:
        **given: as ``django_tasktrack.task`` takes them. Celery's options that change nothing here are taken too.
    """
    return declarer(None, args, given)


def _declare(app: Celery | None, given: Mapping[str, Any], function: Callable[..., Any]) -> Any:
    make = partial(_make, app, given)
    if apps.apps_ready or not callable(
        function
    ):  # what cannot be a task is refused by what makes them
        return make(function)
    name = given.get("name") or f"{function.__module__}.{function.__qualname__}"
    lazy = LazyTask(function, name, make)
    when(Moment.MODELS, lazy.resolve)
    return lazy


def _make(app: Celery | None, given: Mapping[str, Any], function: Callable[..., Any]) -> Any:
    base = given.get("base") or (load(".app.task", "Task") if app is None else app.Task)
    made = load("declaration", "task")(**{**given, "base": base})(function)
    if app is not None:
        vars(made)["app"] = app
    return made
