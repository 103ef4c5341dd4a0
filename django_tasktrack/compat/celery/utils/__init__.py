"""``celery.utils``: a fresh id."""

from __future__ import annotations

from ....ids import new_id


def uuid() -> str:
    """An id for ``task_id=``, of the kind that ``delay()`` gives by itself."""
    return str(new_id())


gen_unique_id = uuid

__all__ = ["gen_unique_id", "uuid"]
