"""What tasks do: the same bodies in every system."""

from __future__ import annotations

from benchmarks import marks


def noop(number: int) -> int:
    """Nothing, but for the mark."""
    marks.make(number)
    return number


async def anoop(number: int) -> int:
    """Nothing, in an event loop."""
    marks.make(number)
    return number


def touch(number: int) -> int:
    """Read and update one row through the ORM."""
    from benchmarks.project.models import Row  # systems without Django import this module too

    row = Row.objects.get(pk=number + 1)
    row.value += 1
    row.save(update_fields=["value"])
    marks.make(number)
    return number
