"""What came before a result, and how that is told. A line may be far longer than the stack is deep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .result import AsyncResult
    from .result_sets import GroupResult

#: ((id, what came before it), members of a group or None)
Told = tuple[tuple[str, Any], list[Any] | None]


def as_tuple(
    result: AsyncResult | GroupResult, until: AsyncResult | GroupResult | None = None
) -> Told:
    """A result with what is known to have come before it: JSON values that ``result_from_tuple`` understands.

    Args:
        result: of a task, or of a group.
        until: what is told already: there the line ends. So what a group has waited for is told once, and
            not by each of its members.
    """
    told: Any = None
    for one in reversed(list(_line(result, until))):
        members, before = one.members, one.known_parent
        all_told = None if members is None else [as_tuple(each, before) for each in members]
        told = (one.id, told), all_told
    whole: Told = told
    return whole


def _line(
    result: AsyncResult | GroupResult, until: AsyncResult | GroupResult | None
) -> Iterator[AsyncResult | GroupResult]:
    """It, what came before it, and so on."""
    one: AsyncResult | GroupResult | None = result
    while one is not None and one is not until:
        yield one
        one = one.known_parent
