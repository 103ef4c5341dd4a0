"""``manage.py worker --reload``: a worker in a process of its own, which is started again when code has changed."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from pathlib import Path
from types import FrameType

from django.apps import apps
from django.db import connections
from django.utils import autoreload

from .trouble import USAGE

logger = logging.getLogger("django_tasktrack.worker")

#: Seconds between two looks at the files.
_PAUSE = 0.5
#: Folders of what is installed: nobody edits it, and there is much of it.
_INSTALLED = {"site-packages", "dist-packages"}
#: Files that a message names.
_NAMED = 3
#: No process ends with this.
_CHANGED = 1000

Files = dict[Path, float]


def is_reloaded() -> bool:
    """Whether this process is the one that is started again. Django's own word for it, which apps ask too."""
    return os.environ.get(autoreload.DJANGO_AUTORELOAD_ENV) == "true"


def run() -> int:
    """Run this very command in another process, again whenever code has changed; returns its exit code."""
    connections.close_all()  # whatever the checks have opened: nothing is asked here
    return _Supervisor(autoreload.get_child_arguments()).run()


class _Supervisor:
    """Keeps one worker running.

    What it is told to do by SIGTERM and SIGINT it passes on. A terminal tells both at once, and to the worker
    signals that come together are one.
    """

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._code = _Code()
        self._worker: subprocess.Popen[bytes] | None = None
        self._ending = False

    def run(self) -> int:
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._on_signal)
        logger.info("The worker is started again whenever code changes (--reload).")
        is_first = True
        while True:
            code = self._run_worker()
            if self._is_ending():
                return _ended(code)
            if code == 0 or (code == USAGE and is_first):
                return code
            if code != _CHANGED:
                logger.error("The worker has ended (%d); a change of code starts it again.", code)
                self._await_change()
                if self._is_ending():
                    return 0
            is_first = False

    def _run_worker(self) -> int:
        """The exit code of a worker that has ended by itself; ``_CHANGED``: because code has changed."""
        self._code.look()  # before the worker reads it: what changes from now on is another version
        environment = {**os.environ, autoreload.DJANGO_AUTORELOAD_ENV: "true"}
        worker = self._worker = subprocess.Popen(self._command, env=environment)  # noqa: S603  our own
        if self._is_ending():  # told so in between
            worker.send_signal(signal.SIGTERM)
        while True:
            try:
                return worker.wait(_PAUSE)
            except subprocess.TimeoutExpired:
                changed = self._code.changed()
            if changed and not self._is_ending():
                logger.info("%s: the worker ends, and starts again.", changed)
                worker.send_signal(signal.SIGTERM)
                worker.wait()
                return _CHANGED

    def _await_change(self) -> None:
        while not (self._is_ending() or self._code.changed()):
            time.sleep(_PAUSE)

    def _is_ending(self) -> bool:
        return self._ending

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        self._ending = True
        if self._worker and self._worker.returncode is None:
            self._worker.send_signal(signum)


class _Code:
    """The Python files that the project consists of: all that this process has imported, and all below its apps,
    because a worker may import more than this process did."""

    def __init__(self) -> None:
        self._reloader = autoreload.StatReloader()
        for app in apps.get_app_configs():
            if not _INSTALLED & set(Path(app.path).parts):
                self._reloader.watch_dir(app.path, "**/*.py")
        self._seen: Files = {}

    def look(self) -> None:
        """Remember how they are now."""
        self._seen = self._files()

    def changed(self) -> str:
        """In words, what is not as it was at the last look."""
        now = self._files()
        if now == self._seen:
            return ""
        found = sorted(
            path for path in {*now, *self._seen} if now.get(path) != self._seen.get(path)
        )
        named = ", ".join(os.path.relpath(path) for path in found[:_NAMED])
        if len(found) > _NAMED:
            named += " and others"
        return f"{named} {'has' if len(found) == 1 else 'have'} changed"

    def _files(self) -> Files:
        return dict(self._reloader.snapshot_files())


def _ended(code: int) -> int:
    """The exit code of one that was told to end, be it before it could listen."""
    return 0 if code in (-signal.SIGTERM, -signal.SIGINT, _CHANGED) else code
