"""An exception as receivers and hooks get it: Celery's ``einfo``."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType


@dataclass(frozen=True, slots=True)
class ExceptionInfo:
    """What is known of an exception; as text, its traceback.

    Attributes:
        type: its class.
        exception: itself.
        traceback: text.
        tb: where it was raised; None where that was another process.
    """

    type: type[BaseException]
    exception: BaseException
    traceback: str
    tb: TracebackType | None = None

    def __str__(self) -> str:
        return self.traceback
