"""``manage.py worker``: run tasks until told to stop."""

from __future__ import annotations

import signal
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand

from ...pidfile import pidfile
from ...worker import Worker, WorkerOptions
from .. import reloading, worker_options
from ..expansions import expanded
from ..logfile import to_file
from ..logs import to_terminal
from ..trouble import told_cleanly


class Command(BaseCommand):
    help = "Run tasks from the database until SIGTERM or Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        worker_options.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        with told_cleanly():
            chosen = worker_options.read(options)
            _log(chosen, options["logfile"], options["loglevel"])
            with _handlers_kept():
                if options["reload"] and not reloading.is_reloaded():
                    code = reloading.run()
                else:
                    with pidfile(_file(chosen, options["pidfile"], "--pidfile")):
                        code = Worker(chosen).run()
        if code:
            sys.exit(code)


def _log(chosen: WorkerOptions, logfile: str | None, level: str | None) -> None:
    file = _file(chosen, logfile, "--logfile")
    if file is not None:
        to_file(file, level)
    to_terminal(level)


def _file(chosen: WorkerOptions, given: str | None, option: str) -> str | None:
    """The file that an option names."""
    return None if given is None else expanded(given, worker_options.whole_name(chosen), option)


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Give a process that goes on, such as a test run, its Ctrl-C back."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            if handler is not None:  # else it was not set from Python
                signal.signal(number, handler)
