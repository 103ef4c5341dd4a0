"""``app.config_from_object``: which attributes of an object are settings of Celery's."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

from django.conf import LazySettings

from ....celery_names import NAMES

#: Reads settings, by their names.
Read = Callable[[], Mapping[str, Any]]

#: The first words of Celery's settings: task, worker, beat, ...
_FAMILIES = frozenset(name.partition("_")[0] for name in NAMES)


def reader(given: Any, namespace: str | None = None, *, silent: bool = False) -> Read:
    """What reads the settings of an object.

    Args:
        given: a dict, a module, a class or another object; or the path of one, ``proj.celeryconfig`` or
            ``django.conf:settings``.
        namespace: what the names begin with: "CELERY". Django's settings have that one anyway.
        silent: whether a path that leads nowhere means no settings.

    Returns:
        A function, which looks at the object each time, and imports it when it is first called. Of a dict it gives
        every key, so that a wrong one is noticed; an object has other attributes too, and of those it gives the
        ones that are settings of Celery's, or look so much like one that they are meant to be.
    """
    return partial(_read, given, namespace, silent)


def _read(given: Any, namespace: str | None, silent: bool) -> Mapping[str, Any]:
    try:
        found = _imported(given) if isinstance(given, str) else given
    except ImportError:
        if silent:
            return {}
        raise
    if isinstance(found, LazySettings):
        namespace = namespace or "CELERY"
    if isinstance(found, Mapping):
        return _within(found, namespace)
    public = {name: getattr(found, name) for name in dir(found) if not name.startswith("_")}
    named = _within({name: value for name, value in public.items() if _is_data(value)}, namespace)
    return {name: value for name, value in named.items() if _looks_like_one(name)}


def _imported(path: str) -> Any:
    module, _, name = path.partition(":")
    if name:
        return getattr(import_module(module), name)
    try:
        return import_module(module)
    except ModuleNotFoundError:
        parent, _, name = module.rpartition(".")
        if not parent or not hasattr(found := import_module(parent), name):
            raise
        return getattr(found, name)  # a class, as config_from_object("proj.config.Production")


def _within(values: Mapping[str, Any], namespace: str | None) -> dict[str, Any]:
    """Those of the namespace. With Celery's own prefix they stay as they are written, to be found there."""
    if not namespace:
        return dict(values)
    prefix = f"{namespace.removesuffix('_')}_"
    return {
        name if prefix == "CELERY_" else name[len(prefix) :].lower(): value
        for name, value in values.items()
        if name.startswith(prefix)
    }


def _is_data(value: object) -> bool:
    """Not what a module has imported or defined."""
    return not (inspect.ismodule(value) or inspect.isroutine(value) or inspect.isclass(value))


def _looks_like_one(name: str) -> bool:
    word = name.lower().removeprefix("celery_")
    family = word.partition("_")[0]
    return family in _FAMILIES or bool(difflib.get_close_matches(word, NAMES, n=1, cutoff=0.8))
