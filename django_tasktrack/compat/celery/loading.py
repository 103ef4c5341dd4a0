"""What needs Django's models is loaded when it is used, and says so where they are not there yet."""

from __future__ import annotations

import importlib
from typing import Any

from django.core.exceptions import AppRegistryNotReady

_HERE, _PACKAGE = __name__.rpartition(".")[0], __name__.partition(".")[0]


def load(module: str, name: str) -> Any:
    """A name of a module: of this face (``.result``), or of the whole package (``canvas``).

    Raises:
        AppRegistryNotReady: the models are not there yet.
    """
    path = f"{_HERE if module.startswith('.') else _PACKAGE + '.'}{module}"
    try:
        return getattr(importlib.import_module(path), name)
    except AppRegistryNotReady:
        raise AppRegistryNotReady(
            f"{name} needs Django's models, which are not there yet. Hint: Use it in an app's tasks.py,"
            " which is imported later, in a function, or in a receiver of app.on_after_finalize."
        ) from None
