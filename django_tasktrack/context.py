"""What a running task can see of itself, and say of itself."""

from __future__ import annotations

import functools
import math
import reprlib
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from . import checked
from .exceptions import InvalidTask, NotRunning, PayloadError, Retry, TaskRevoked
from .outcomes import Claim, Final, Report
from .payloads import encode, printable
from .request import Request as Request  # noqa: PLC0414  so that it is found here too
from .states import State

#: Reports of one task are passed on no more often than this, in seconds.
REPORT_INTERVAL = 0.1

_RESERVED = frozenset(State) - {State.STARTED}


class Context:
    """One attempt while it runs.

    Args:
        claim: what runs.
        request: makes what the task sees of it, once it looks.
        send: passes a report on to whoever writes it.
        revoked: says whether someone wants this attempt to end.
    """

    def __init__(
        self,
        claim: Claim,
        request: Callable[[], Request],
        send: Callable[[Report], None],
        revoked: Callable[[], bool],
    ) -> None:
        self.claim = claim
        self._make_request = request
        self.current: float | None = None
        self.total: float | None = None
        self.label = ""
        #: Whether the body runs at this moment, and nothing of this package's around it.
        self.in_body = False
        #: The final state that the body gives itself; it counts where the body raises ``Ignore``.
        self.final: Final | None = None
        #: The retry that was asked for and not raised: the body goes on.
        self.asked: Retry | None = None
        self._send = send
        self._revoked = revoked
        self._pending: Report | None = None
        self._sent_at = -math.inf
        self._open = True
        self._lock = threading.RLock()  # a task may report from threads of its own

    @functools.cached_property
    def request(self) -> Request:
        """What the task sees of the attempt."""
        return self._make_request()

    @property
    def is_open(self) -> bool:
        """Whether the attempt has not ended."""
        return self._open

    def checkpoint(self) -> None:
        """Raise ``TaskRevoked`` here if someone has asked to revoke this task."""
        if self._open and self._revoked():
            raise TaskRevoked

    def report(self, report: Report) -> None:
        """Pass on how far the task is: at once, or with the next report where they come too fast.

        Raises:
            NotRunning: the attempt has ended.
            PayloadError: a number is none, or the message no text.
            TaskRevoked: someone has asked to revoke the task.
        """
        report = _checked(report)
        with self._lock:
            if not self._open:
                raise NotRunning(
                    f"Task {self.claim.task_id} has ended; its progress can no longer change.",
                    hint="Join the threads that a task starts before it returns.",
                )
            new_label = report.label is not None and report.label != self.label
            if not new_label:  # the same word again is no news, and no row of history
                report = report._replace(label=None)
            self._pending = report.over(self._pending)
            self._remember(report)
            if new_label or time.monotonic() - self._sent_at >= REPORT_INTERVAL:
                self._flush()
        self.checkpoint()

    def increment(self, by: float, message: str | None = None) -> None:
        """Report ``by`` more than the last time."""
        with self._lock:
            self.report(Report(current=(self.current or 0) + by, message=message))

    def close(self) -> None:
        """Pass on what is left, and refuse whatever comes later."""
        with self._lock:
            self._flush()
            self._open = False

    def _remember(self, report: Report) -> None:
        self.current = self.current if report.current is None else report.current
        self.total = self.total if report.total is None else report.total
        self.label = self.label if report.label is None else report.label

    def _flush(self) -> None:
        if self._pending is not None:
            self._send(self._pending)
            self._pending = None
            self._sent_at = time.monotonic()


_current: ContextVar[Context | None] = ContextVar("tasktrack_context", default=None)


def current() -> Context | None:
    """The attempt that the calling code belongs to, if any."""
    return _current.get()


def require(what: str) -> Context:
    """The attempt that the calling code belongs to.

    Raises:
        NotRunning: it belongs to none.
    """
    context = _current.get()
    if context is None:
        raise NotRunning(
            f"{what} is for running tasks.", hint="Enqueue the task with delay() instead."
        )
    return context


class running:  # noqa: N801  reads as a word: with running(context)
    """Make a context the current one for a block."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> Context:
        self._token = _current.set(self._context)
        return self._context

    def __exit__(self, *exc_info: object) -> None:
        _current.reset(self._token)
        self._context.close()


def label_report(state: str | None, meta: Mapping[str, Any] | None) -> Report:
    """The report that ``update_state(state=, meta=)`` means.

    ``current``, ``total`` and ``progress`` (percent) in meta also move the progress bar.

    Raises:
        InvalidTask: ``state`` is one that only the engine sets, or no word.
        PayloadError: meta cannot be carried as JSON.
    """
    if meta is not None and not isinstance(meta, Mapping):
        raise PayloadError(f"meta: {type(meta).__name__} is no mapping.", hint="Pass a dict.")
    numbers = {} if meta is None else {k: v for k, v in meta.items() if _is_number(v)}
    current, total = numbers.get("current"), numbers.get("total")
    if current is None and "progress" in numbers:
        current, total = numbers["progress"], 100.0
    return Report(
        current=current,
        total=total,
        meta=None if meta is None else encode(dict(meta), "meta"),
        label=None if state is None else _label(state),
    )


def _label(state: object) -> str:
    label = checked.word(state, "state", 50, "is no label")
    if label in _RESERVED:
        raise InvalidTask(
            f"state={label!r} is set by the worker alone.",
            hint="Call self.retry() for RETRY; or use another word.",
        )
    return "" if label == State.STARTED else str(label)


def _checked(report: Report) -> Report:
    """The report with values that each database stores alike."""
    message = report.message
    if message is not None and not isinstance(message, str):
        raise PayloadError(f"message: {message!r} is no text.", hint="Pass a str.")
    return report._replace(
        current=_number(report.current, "current"),
        total=_number(report.total, "total"),
        message=None if message is None else printable(message)[:255],
    )


def _number(value: float | None, what: str) -> float | None:
    if value is None:
        return None
    if not _is_number(value):
        raise PayloadError(
            f"{what}: {reprlib.repr(value)} is no number.", hint="Pass a finite int or float."
        )
    return float(value)


def _is_number(value: object) -> bool:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an int beyond the floats
        return False
