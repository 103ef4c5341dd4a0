"""What a class of tasks may do before a body and after its end, by overriding."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from .einfo import ExceptionInfo
from .exceptions import InvalidTask


class Hooks:
    """Methods that a class of tasks overrides, under Celery's names and with its arguments.

    ``before_start`` is part of the attempt: what it raises is as if the body had raised it. The others are
    called once the end is committed, by the process that ran the body; what they raise is logged.
    """

    def before_start(self, task_id: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """The body begins."""

    def on_success(
        self, retval: Any, task_id: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        """It has ended in SUCCESS."""

    def on_failure(
        self,
        exc: BaseException,
        task_id: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        einfo: ExceptionInfo,
    ) -> None:
        """It has ended in FAILURE."""

    def on_retry(
        self,
        exc: BaseException,
        task_id: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        einfo: ExceptionInfo,
    ) -> None:
        """It will run again."""

    def after_return(  # noqa: PLR0917  as Celery calls it
        self,
        status: str,
        retval: Any,
        task_id: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        einfo: ExceptionInfo | None,
    ) -> None:
        """It has ended, one way or the other."""


_HOOKS = ("before_start", "on_success", "on_failure", "on_retry", "after_return")


def overridden(task: Hooks) -> frozenset[str]:
    """Which hooks a task has.

    Raises:
        InvalidTask: one of them is an ``async def``.
    """
    own = frozenset(name for name in _HOOKS if _is_own(task, name))
    for name in own:
        if inspect.iscoroutinefunction(getattr(task, name)):
            raise InvalidTask(
                f"{name}() of {type(task).__qualname__} is an async def, and nobody would await it.",
                hint="Write a def; asgiref's async_to_sync calls what is asynchronous.",
            )
    return own


def _is_own(task: Hooks, name: str) -> bool:
    function = getattr(getattr(task, name), "__func__", None)
    return function is not getattr(Hooks, name)
