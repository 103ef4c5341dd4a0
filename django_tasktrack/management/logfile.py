"""``manage.py worker --logfile``: what is logged, in a file that others may move away."""

from __future__ import annotations

import logging
import sys
from logging.handlers import WatchedFileHandler

from ..exceptions import TasktrackError
from . import logs


class LogfileError(TasktrackError):
    """The logfile cannot be written."""


class _Logfile(WatchedFileHandler):
    """Finds a file that was moved away (by logrotate, say) made anew; where that cannot be, what is logged goes
    to the standard error meanwhile, and never into the face of whoever logs."""

    def __init__(self, path: str) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace")
        self._instead = logging.StreamHandler()
        self._fails = self._complained = False

    def emit(self, record: logging.LogRecord) -> None:
        self._fails = False
        try:
            super().emit(record)
        except OSError:  # it was moved, and no other can be opened
            self.handleError(record)
        self._complained = self._fails

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):  # a record that cannot be formatted, say
            super().handleError(record)
            return
        self._fails = True
        if not self._complained:
            sys.stderr.write(f"{_unwritable(self.baseFilename, error)}\n")
        self._instead.setFormatter(self.formatter)
        self._instead.emit(record)


def to_file(path: str, level: str | None) -> None:
    """Have everything that is logged written to a file, whatever the project's LOGGING does with it besides.

    Args:
        path: of the file, which is continued.
        level: of everybody's loggers, where the project has not configured the root; None for INFO.

    Raises:
        LogfileError: it cannot be opened.
    """
    try:
        handler = _Logfile(path)
    except OSError as error:
        raise _unwritable(path, error) from None
    handler.setFormatter(logs.OneLine(logs.FORMAT))
    handler.addFilter(logs.RunningTask())
    root, own = logging.getLogger(), logging.getLogger(logs.PACKAGE)
    if not root.handlers:
        root.setLevel(level or logging.INFO)
    root.addHandler(handler)
    if not own.propagate:  # the project keeps what is ours from the root
        own.addHandler(handler)


def _unwritable(path: str, error: OSError) -> LogfileError:
    return LogfileError(
        f"The logfile {path} cannot be written: {error.strerror}.",
        hint="Choose a file in a directory that exists and that this user may write to.",
    )
