"""``celery.schedules``: ``crontab`` and ``schedule``, as this package's timings."""

from __future__ import annotations

from datetime import timedelta

from ...timings import Timing, crontab, every


def schedule(run_every: float | timedelta, **without_effect: object) -> Timing:
    """Again and again after so many seconds, or a ``timedelta``.

    Args:
        run_every: how long.
        **without_effect: ``relative``, ``nowfun`` and ``app``, as Celery accepts them.
    """
    return every(run_every)


__all__ = ["crontab", "schedule"]
