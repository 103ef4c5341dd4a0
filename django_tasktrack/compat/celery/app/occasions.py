"""``app.on_after_configure`` and its like: what an application does once all tasks are declared."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, overload

from ....startup import Moment, when

R = TypeVar("R", bound=Callable[..., Any])


class Occasion:
    """Calls its receivers once, when Django is ready and every app's tasks are declared; later ones at once.

    Args:
        sender: the application.
    """

    def __init__(self, sender: object) -> None:
        self._sender = sender

    @overload
    def connect(self, receiver: R, **without_effect: object) -> R: ...

    @overload
    def connect(self, receiver: None = ..., **without_effect: object) -> Callable[[R], R]: ...

    def connect(self, receiver: Callable[..., Any] | None = None, **without_effect: object) -> Any:
        """Call a function then. Also ``@app.on_after_configure.connect``, with and without parentheses.

        Args:
            receiver: takes ``sender``, and other keyword arguments.
            **without_effect: ``weak`` and its like, as Celery accepts them.
        """
        if receiver is None:
            return self.connect
        when(Moment.TASKS, partial(receiver, sender=self._sender))
        return receiver
