"""When to run a failed attempt again. Pure: chance is a parameter."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How one task is retried.

    Args:
        max_retries: retries after the first attempt; None for no limit.
        delay: seconds before a retry, where there is no backoff.
        backoff: first delay of an exponential backoff in seconds; 0 for none. (Celery's
            ``retry_backoff=True`` is 1.)
        backoff_max: longest delay of the backoff in seconds.
        jitter: choose between zero and the delay at random, so that retries spread.
        only_for: exception classes that are retried without being asked.
        never_for: classes among them that are not.
        unasked_delay: seconds before those retries, where there is no backoff; None for ``delay``.
        unasked_limit: how many of them there may be; None for as many as there may be at all.
    """

    max_retries: int | None
    delay: float = 0.0
    backoff: float = 0.0
    backoff_max: float = 600.0
    jitter: bool = True
    only_for: tuple[type[BaseException], ...] = ()
    never_for: tuple[type[BaseException], ...] = ()
    unasked_delay: float | None = None
    unasked_limit: int | None = None

    def covers(self, error: BaseException) -> bool:
        """Whether this exception is retried without ``self.retry()``."""
        return isinstance(error, self.only_for) and not isinstance(error, self.never_for)

    def delay_after(self, retries: int, chance: Callable[[], float] = random.random) -> float:
        """Seconds to wait after an attempt that ``retries`` retries came before."""
        if not self.backoff:
            return self.delay
        delay = min(self.backoff_max, self.backoff * 2.0 ** min(retries, 60))
        return delay * chance() if self.jitter else delay

    def unasked_delay_after(self, retries: int) -> float:
        """The same, where the task did not ask for the retry itself."""
        if self.backoff or self.unasked_delay is None:
            return self.delay_after(retries)
        return self.unasked_delay


def exhausted(retries: int, max_retries: int | None) -> bool:
    """Whether no retry is left after ``retries`` of them."""
    return max_retries is not None and retries >= max_retries
