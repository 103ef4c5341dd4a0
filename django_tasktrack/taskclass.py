"""Classes of tasks: one instance each, made and declared when the class is."""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Callable
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from .exceptions import InvalidTask

S = TypeVar("S")
Q = ParamSpec("Q")
V = TypeVar("V")


class TaskType(ABCMeta):
    """The class of classes of tasks.

    One with ``run()`` is a task: its instance is made once in a process, and calling the class returns it.
    One without, or with ``abstract = True`` in its own body, is a base of others.
    """

    _one: Any

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> None:
        super().__init__(name, bases, namespace)
        cls._one = None
        is_abstract = namespace.get("abstract", False) or cls.__abstractmethods__
        if not is_abstract and callable(getattr(cls, "run", None)):
            cls._one = cls.make()
            cls._one._declare_class()

    def make(cls) -> Any:
        """A new instance: of a base, one for each function that is declared with it."""
        return super().__call__()

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls.one()

    def one(cls) -> Any:
        """The task that the class is.

        Raises:
            InvalidTask: it is a base of tasks.
        """
        if cls._one is None:
            raise InvalidTask(
                f"{cls.__module__}.{cls.__qualname__} is a base of tasks, and none itself.",
                hint="Derive a class with run() from it, or decorate a function: @task(base=...).",
            )
        return cls._one


class on_class(Generic[S, Q, V]):  # noqa: N801  a decorator
    """A method that can be called on the class too, where that is a task: ``LongTask.delay()``."""

    def __init__(self, function: Callable[Concatenate[S, Q], V]) -> None:
        self._function: Any = function
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: S, owner: Any) -> Callable[Q, V]: ...

    @overload
    def __get__(self, instance: None, owner: Any) -> Callable[Q, V]: ...

    def __get__(self, instance: S | None, owner: Any) -> Any:
        if instance is None:
            instance = owner._one
        return self._function if instance is None else self._function.__get__(instance, owner)
