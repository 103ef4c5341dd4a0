"""A say in each statement and commit of a connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: Gets what is to be said (one word of it for people) and the way to say it; returns the answer.
Step = Callable[[str, Callable[[], Any]], Any]


class Tap:
    """Calls ``step`` instead of each statement and commit, until it is removed.

    Args:
        connection: whose.
        step: says it, or does not.
    """

    def __init__(self, connection: Any, step: Step) -> None:
        self._connection = connection
        self._step = step
        commit = connection._commit
        connection._commit = lambda: step("COMMIT", commit)
        connection.execute_wrappers.append(self._on_statement)

    def remove(self) -> None:
        self._connection.execute_wrappers.remove(self._on_statement)
        del self._connection._commit

    def _on_statement(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        return self._step(str(sql), lambda: execute(sql, params, many, context))
