"""A task that is declared before Django's apps are there, and made when they are."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from django.apps import apps
from django.core.exceptions import AppRegistryNotReady


class LazyTask:
    """Stands for the task that a function will be, and behaves as it does from then on.

    Args:
        function: that was decorated.
        name: of the task.
        make: declares it.
    """

    def __init__(self, function: Callable[..., Any], name: str, make: Callable[[Any], Any]) -> None:
        update_wrapper(self, function)
        self.name = name
        self._make = make
        self._made: Any = None

    def resolve(self) -> Any:
        """The task.

        Raises:
            AppRegistryNotReady: Django's apps are not there yet.
            InvalidTask: an option has a value that it cannot have.
        """
        if self._made is None:
            if not apps.apps_ready:
                raise AppRegistryNotReady(
                    f"Task {self.name} is used before Django's apps are there. Hint: Use it in functions, or"
                    " in a receiver of app.on_after_finalize, and not where a module is imported."
                )
            try:
                self._made = self._make(self.__wrapped__)
            except Exception as error:
                error.add_note(f"In {self.__module__}, where task {self.name} is declared.")
                raise
        return self._made

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.resolve()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what looks at objects (inspect, copy) must not make the task
            raise AttributeError(name)
        return getattr(self.resolve(), name)

    @property  # type: ignore[misc]  # so that it is an instance of what it stands for
    def __class__(self) -> type:
        return LazyTask if self._made is None else type(self._made)

    def __eq__(self, other: object) -> bool:
        return self is other or (self._made is not None and bool(self._made == other))

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"<task {self.name}>"
