"""Celery's signals, with its names, senders and arguments: what a project hears of tasks and workers.

Receivers only listen. What one raises is logged, and changes nothing. Nothing in this package listens.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, overload

from django import dispatch

R = TypeVar("R", bound=Callable[..., Any])

logger = logging.getLogger("django_tasktrack.signals")

#: Names that somebody listens to. Django compares senders by identity, and equal texts may be two.
_names: dict[str, str] = {}
_tasks: dict[str, object] = {}


class Signal(dispatch.Signal):
    """Django's, connected as Celery's are: as a decorator, and with a task or its name as the sender.

    Args:
        name: for the log.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    @overload  # type: ignore[override]  # Django's returns nothing
    def connect(
        self, receiver: R, sender: object = ..., weak: bool = ..., dispatch_uid: object = ...
    ) -> R: ...

    @overload
    def connect(
        self,
        receiver: None = ...,
        sender: object = ...,
        weak: bool = ...,
        dispatch_uid: object = ...,
    ) -> Callable[[R], R]: ...

    def connect(
        self,
        receiver: Callable[..., Any] | None = None,
        sender: object = None,
        weak: bool = True,
        dispatch_uid: object = None,
    ) -> Any:
        """Call ``receiver`` from now on. Also ``@signal.connect`` and ``@signal.connect(sender=...)``.

        Args:
            receiver: a function that takes keyword arguments; ``async def`` may be one.
            sender: the task, or its name, that alone is listened to; None for all.
            weak: whether the receiver is forgotten when nothing else refers to it.
            dispatch_uid: of several receivers with the same, the first is taken alone.
        """
        if receiver is None:
            return partial(self.connect, sender=sender, weak=weak, dispatch_uid=dispatch_uid)
        name = _name_of(sender)
        if name is not None:
            _names.setdefault(name, name)
        super().connect(receiver, _key(sender), weak, dispatch_uid)
        return receiver

    def disconnect(
        self,
        receiver: Callable[..., Any] | None = None,
        sender: object = None,
        dispatch_uid: object = None,
    ) -> bool:
        """No longer call ``receiver``; whether it was connected."""
        return super().disconnect(receiver, _key(sender), dispatch_uid)

    def tell(self, sender: object, **named: Any) -> None:
        """Call everybody who listens, one after the other; whatever they raise is logged."""
        if not self.receivers:
            return
        try:
            self.send_robust(sender, **named)
        except BaseException:  # ``SystemExit`` of a receiver ends nothing
            logger.exception("A receiver of %s has broken off.", self.name)

    def _live_receivers(self, sender: object) -> Any:
        return super()._live_receivers(_key(sender))

    def _log_robust_failure(self, receiver: Callable[..., Any], err: Exception) -> None:
        name = getattr(receiver, "__qualname__", repr(receiver))
        logger.error("%s, a receiver of %s, raised: %s", name, self.name, err, exc_info=err)


def _name_of(sender: object) -> str | None:
    name = sender if isinstance(sender, str) else getattr(sender, "name", None)
    return name if isinstance(name, str) else None


def _key(sender: object) -> object:
    """What stands for a sender: the text of its name, if it has one and somebody listens to it."""
    name = _name_of(sender)
    return sender if name is None else _names.get(name)


def introduce(name: str, task: object) -> None:
    """From now on this is what is meant by a task's name."""
    _tasks[name] = task


def task_of(name: str) -> object:
    """The task of this name; where this process does not know it, the name."""
    return _tasks.get(name, name)


# In the process that enqueues.
before_task_publish = Signal("before_task_publish")
after_task_publish = Signal("after_task_publish")

# In the process that runs the body: before it, and once its end is committed.
task_prerun = Signal("task_prerun")
task_postrun = Signal("task_postrun")
task_success = Signal("task_success")
task_failure = Signal("task_failure")
task_retry = Signal("task_retry")

# In the worker; task_revoked also where somebody revokes.
task_received = Signal("task_received")
task_revoked = Signal("task_revoked")
worker_init = Signal("worker_init")
worker_ready = Signal("worker_ready")
worker_shutting_down = Signal("worker_shutting_down")
worker_shutdown = Signal("worker_shutdown")
heartbeat_sent = Signal("heartbeat_sent")

# In each process that runs bodies.
worker_process_init = Signal("worker_process_init")
worker_process_shutdown = Signal("worker_process_shutdown")
