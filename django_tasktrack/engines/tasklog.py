"""What happens to tasks, as lines of the worker's log: logger ``django_tasktrack.task``."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter

from .. import states
from ..changes import Change
from ..conf import config
from ..outcomes import Claim
from ..states import State

logger = logging.getLogger("django_tasktrack.task")


#: So many successes are told one by one in a second. Of more only the number is told: nobody reads them, and
#: writing them would take longer than running short tasks. At DEBUG each has its line.
LINES_A_SECOND = 100


class TaskLog:
    """Tells what becomes of tasks, each in a line; of what everything else drowns in, how many."""

    def __init__(self) -> None:
        self._began = -math.inf
        self._told = 0
        self._untold: Counter[str] = Counter()

    def start(self, claim: Claim) -> None:
        """Say that a body begins: for debugging, because its end is told too."""
        logger.debug("%s[%s] started", claim.name, claim.task_id)

    def end(self, claim: Claim, change: Change, *, expected: bool = False) -> None:
        """Say how an attempt ended, before it is written.

        Args:
            claim: what ran.
            change: what its end means for the task.
            expected: whether the task has said that it throws such errors: then it is no news.
        """
        level = logging.INFO if expected else _level(change)
        succeeded = change.transition is states.SUCCEED
        if not logger.isEnabledFor(level) or (succeeded and self._is_too_many(claim)):
            return
        failed = change.transition is states.FAIL and not expected
        text = f"{claim.name}[{claim.task_id}] {_words(claim, change)}"
        _write(level, text, _trace(change, failed))

    def due_at(self) -> float:
        """When to call ``sum_up`` next, on the monotonic clock."""
        return self._began + 1.0 if self._untold else math.inf

    def sum_up(self, now: float = math.inf) -> None:
        """Tell how many successes had no line of their own, once their second is over."""
        if not self._untold or now < self.due_at():
            return
        counts = ", ".join(f"{name} {count:,}" for name, count in self._untold.most_common())
        logger.info("%s more succeeded: %s", f"{self._untold.total():,}", counts)
        self._untold.clear()

    def _is_too_many(self, claim: Claim) -> bool:
        """Count a success. True: it has no line of its own."""
        now = time.monotonic()
        if now >= self._began + 1.0:
            self.sum_up(now)
            self._began, self._told = now, 0
        self._told += 1
        if self._told <= LINES_A_SECOND or logger.isEnabledFor(logging.DEBUG):
            return False
        self._untold[claim.name] += 1
        return True


def _level(change: Change) -> int:
    if change.transition is states.FAIL:
        return logging.ERROR
    return logging.INFO if change.transition is states.SUCCEED else logging.WARNING


def _words(claim: Claim, change: Change) -> str:
    if change.losses:
        return _lost(claim, change)
    if change.transition is states.SUCCEED:
        return _joined(f"succeeded in {_seconds(change)}", change.reason)
    if change.transition is states.RETRY:
        reason = f"{change.reason}: {_error(change)}" if change.error else change.reason
        return _joined(f"retry in {change.delay or 0:g} s", reason)
    if change.target is State.REVOKED:
        by = f"revoked by {change.actor}" if change.actor else "revoked"
        return _joined(by, change.reason)
    if change.transition is states.FAIL:
        return _joined(f"failed in {_seconds(change)}", _error(change) or change.reason)
    return _joined("goes back to its queue", change.reason)


def _lost(claim: Claim, change: Change) -> str:
    """How its process died, and whether it gets another attempt."""
    number = claim.crashes + change.crashes
    count = f" (crash {number} of {config().MAX_CRASHES})" if change.crashes else ""
    again = "" if change.transition is states.FAIL else "; it is run again"
    return f"{change.reason or 'lost'}{count}{again}"


def _seconds(change: Change) -> str:
    if change.began is None or change.happened is None:
        return "an unknown time"
    return f"{max(0.0, change.happened - change.began):.3f} s"


def _error(change: Change) -> str:
    if change.error is None:
        return ""
    return _joined(change.error.type.rpartition(".")[2], change.error.message)


def _joined(what: str, why: str) -> str:
    return f"{what}: {why}" if why else what


def _trace(change: Change, failed: bool) -> str | None:
    return change.error.traceback.rstrip() or None if failed and change.error else None


def _write(level: int, text: str, trace: str | None) -> None:
    """Log a line, with a traceback that is text: its exception was raised in another process."""
    record = logger.makeRecord(logger.name, level, __file__, 0, text, (), None, "end")
    record.exc_text = trace
    logger.handle(record)
