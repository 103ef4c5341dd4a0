"""What a command shows on its terminal, where the project's LOGGING leaves it to us."""

from __future__ import annotations

import logging
import re

from .. import context

PACKAGE = "django_tasktrack"
#: Of what the projects' own modules log, and everybody else, with the task that runs, if one does.
FORMAT = "[%(asctime)s: %(levelname)s/%(process)d] %(running_task)s%(message)s"

# What ends a line, or means something to a terminal.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


class RunningTask(logging.Filter):
    """Gives each record ``running_task``: "name[id] " where a task's body logs, else nothing.

    A project's own LOGGING may use it too.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        running = context.current()
        claim = running.claim if running else None
        record.running_task = f"{claim.name}[{claim.task_id}] " if claim else ""
        return True


def one_line(text: str) -> str:
    """A text without what ends a line or means something to a terminal."""
    return _CONTROL.sub(_escaped, text)


def plain_lines(text: str) -> str:
    """A text of many lines, without what means something else to a terminal."""
    return _CONTROL_BUT_LINES.sub(_escaped, text)


class OneLine(logging.Formatter):
    """Control characters of a message are escaped, so that one record is one line, and its traceback.

    That is indented: what an exception says, line by line, cannot be taken for a record.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's name
        return one_line(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        text = plain_lines(super().format(record))
        return text.replace("\n", "\n    ")


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def to_terminal(level: str | None) -> None:
    """Show what is logged, at a level; a root logger that the project has configured is left as it is.

    Args:
        level: of this package's loggers and of everybody's; None for INFO, or what the project has set.
    """
    own, root = logging.getLogger(PACKAGE), logging.getLogger()
    if level or own.level == logging.NOTSET:
        own.setLevel(level or logging.INFO)
    if root.handlers:
        return
    root.setLevel(level or logging.INFO)
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine(FORMAT))
    handler.addFilter(RunningTask())
    if own.handlers:  # the project's, which show what is ours
        handler.addFilter(lambda record: record.name.partition(".")[0] != PACKAGE)
    root.addHandler(handler)
