"""A database that fails: when to try again, and what to say of it."""

from __future__ import annotations

import logging
import random
import time

from ..vendors import errors

logger = logging.getLogger("django_tasktrack.worker")

#: Pauses before the next try, in seconds; several workers do not come back at one moment.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0
#: A deadlock and its like are tried again without a word so many times in a row.
_QUIET_TRIES = 5
#: Something is said no more often than this.
_SAY_EVERY = 1.0


class Trouble:
    """What has failed since the last success."""

    def __init__(self) -> None:
        self._failures = 0
        self._since = 0.0
        self._said_at = 0.0

    def met(self, error: Exception) -> float:
        """Something has failed; returns the seconds to wait before it is tried again."""
        now = time.monotonic()
        if not self._failures:
            self._since = now
        self._failures += 1
        if errors.passes_by_itself(error) and self._failures <= _QUIET_TRIES:
            return random.uniform(0.0, 0.02)  # noqa: S311
        if now - self._said_at >= _SAY_EVERY:
            self._said_at = now
            said = str(error).strip() or type(error).__name__
            logger.error("The database does not do its part, trying again: %s", said)
        pause = min(_FIRST_PAUSE * 2.0 ** min(self._failures - 1, 10), _LONGEST_PAUSE)
        return pause * random.uniform(0.5, 1.0)  # noqa: S311

    def over(self) -> None:
        """All went well."""
        if self._failures and self._said_at >= self._since:
            logger.warning("The database is back after %.1f s.", time.monotonic() - self._since)
        self._failures = 0
