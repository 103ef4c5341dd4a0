"""Which queues a worker serves: some, all of them, or all but some."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .exceptions import InvalidTask


@dataclass(frozen=True, slots=True)
class Served:
    """A choice of queues.

    Attributes:
        only: these alone; empty for all of them, those that come up later too.
        excluded: of all, not these; empty where ``only`` names some.
    """

    only: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    @classmethod
    def of(cls, only: Iterable[str], excluded: Iterable[str] = ()) -> Served:
        """What ``-Q`` and ``-X`` mean together: the first without the second.

        Raises:
            InvalidTask: nothing is left.
        """
        wanted = tuple(dict.fromkeys(only))
        return cls(wanted).dropping(excluded)

    def __contains__(self, queue: object) -> bool:
        return queue in self.only if self.only else queue not in self.excluded

    def __str__(self) -> str:
        if self.only:
            return ", ".join(self.only)
        return f"all but {', '.join(self.excluded)}" if self.excluded else "all"

    def adding(self, queues: Iterable[str]) -> Served:
        """These as well."""
        more = tuple(queues)
        if self.only:
            return Served(tuple(dict.fromkeys((*self.only, *more))))
        return Served(excluded=tuple(name for name in self.excluded if name not in more))

    def dropping(self, queues: Iterable[str]) -> Served:
        """These no more.

        Raises:
            InvalidTask: no queue would be left.
        """
        fewer = tuple(queues)
        if not self.only:
            return Served(excluded=tuple(dict.fromkeys((*self.excluded, *fewer))))
        left = tuple(name for name in self.only if name not in fewer)
        if not left:
            raise InvalidTask(
                f"Of {', '.join(self.only)} without {', '.join(fewer)} no queue is left.",
                hint="A worker serves at least one queue.",
            )
        return Served(left)
