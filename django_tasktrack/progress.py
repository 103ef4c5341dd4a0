"""How far a task is, as its result shows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .models import Progress


@dataclass(frozen=True, slots=True)
class ProgressView:
    """How far a task is, at one moment.

    Attributes:
        current, total: in the task's own unit; None where it did not say.
        percent: 0 to 100, or None where the total is not known.
        message: the task's own words.
        eta: time left at the speed so far, or None.
        meta: what ``update_state(meta=)`` gave last.
        updated_at: when it was told.
    """

    current: float | None = None
    total: float | None = None
    percent: float | None = None
    message: str = ""
    eta: timedelta | None = None
    meta: Any = None
    updated_at: datetime | None = None

    @classmethod
    def of(cls, row: Progress) -> ProgressView:
        return cls(
            row.current, row.total, row.percent, row.message, row.eta(), row.meta, row.updated_at
        )
