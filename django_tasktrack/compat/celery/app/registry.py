"""``app.tasks``: the tasks that this process knows, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .... import registry


class Tasks(Mapping[str, Any]):
    """All of them, whichever app they were declared on, or none; under their aliases too.

    A name that is none is ``NotRegistered``, which is a ``KeyError``.
    """

    def __getitem__(self, name: str) -> Any:
        return registry.get(name).task

    def __iter__(self) -> Iterator[str]:
        return iter(registry.names())

    def __len__(self) -> int:
        return len(registry.names())

    def __repr__(self) -> str:
        return f"<tasks {', '.join(self)}>"
