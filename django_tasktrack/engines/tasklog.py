"""What happens to tasks, as lines of the worker's log: logger ``django_tasktrack.task``."""

from __future__ import annotations

import logging

from .. import states
from ..changes import Change
from ..conf import config
from ..outcomes import Claim
from ..states import State

logger = logging.getLogger("django_tasktrack.task")


def log_start(claim: Claim) -> None:
    """Say that a body begins: for debugging, because its end is told too."""
    logger.debug("%s[%s] started", claim.name, claim.task_id)


def log_end(claim: Claim, change: Change) -> None:
    """Say how an attempt ended, before it is written.

    Args:
        claim: what ran.
        change: what its end means for the task.
    """
    level = _level(change)
    if not logger.isEnabledFor(level):
        return
    failed = change.transition is states.FAIL
    _write(level, f"{claim.name}[{claim.task_id}] {_words(claim, change)}", _trace(change, failed))


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
    record = logger.makeRecord(logger.name, level, __file__, 0, text, (), None, "log_end")
    record.exc_text = trace
    logger.handle(record)
