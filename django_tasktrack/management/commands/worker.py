"""``manage.py worker``: run tasks until told to stop."""

from __future__ import annotations

import logging
import re
import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ... import checked
from ...conf import config
from ...exceptions import InvalidTask
from ...pidfile import pidfile
from ...pools import POOLS
from ...worker import Worker, WorkerOptions
from ..logs import to_terminal
from ..trouble import told_cleanly

logger = logging.getLogger("django_tasktrack.worker")

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class Command(BaseCommand):
    help = "Run tasks from the database until SIGTERM or Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "-Q",
            "--queues",
            action="append",
            metavar="A,B",
            help="comma-separated, may be repeated; without, all queues",
        )
        parser.add_argument(
            "-c",
            "--concurrency",
            type=int,
            help="tasks that run at once; default: processors (asyncio: 100)",
        )
        parser.add_argument(
            "-P", "--pool", choices=sorted(POOLS), help="default: TASKTRACK['POOL'], or prefork"
        )
        parser.add_argument(
            "-n", "--hostname", default="worker@%h", help="the worker's name; %%h is the host"
        )
        parser.add_argument(
            "-l",
            "--loglevel",
            type=str.upper,
            choices=_LEVELS,
            help="default: INFO, or what LOGGING says of django_tasktrack",
        )
        parser.add_argument(
            "--time-limit", type=float, metavar="S", help="kill a task after so many seconds"
        )
        parser.add_argument(
            "--soft-time-limit",
            type=float,
            metavar="S",
            help="raise SoftTimeLimitExceeded in a task after so many seconds",
        )
        parser.add_argument(
            "--max-tasks-per-child", type=int, metavar="N", help="replace a child after N tasks"
        )
        parser.add_argument(
            "--max-memory-per-child",
            type=int,
            metavar="KIB",
            help="replace a child that has used more memory, after its task",
        )
        parser.add_argument(
            "--autoscale",
            type=_scale,
            metavar="MAX,MIN",
            help="children when there is much to do, and when there is nothing",
        )
        parser.add_argument("--pidfile", help="written at the start, removed at the end")
        parser.add_argument(
            "-B",
            "--beat",
            action="store_true",
            help="accepted as Celery's word: every worker runs schedules anyway",
        )
        parser.add_argument("--burst", action="store_true", help="end when nothing is due")

    def handle(self, *args: Any, **options: Any) -> None:
        to_terminal(options["loglevel"])
        with told_cleanly():
            chosen = _options(options)
            with pidfile(options["pidfile"]), _handlers_kept():
                code = Worker(chosen).run()
        if code:
            sys.exit(code)


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


_POSITIVE = (
    "concurrency",
    "time_limit",
    "soft_time_limit",
    "max_tasks_per_child",
    "max_memory_per_child",
)


def _scale(text: str) -> tuple[int, int]:
    """The two numbers of ``--autoscale 8,2``."""
    most, comma, least = text.partition(",")
    try:
        numbers = int(most), int(least) if comma else 0
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not two numbers, such as 8,2") from None
    if not 0 <= numbers[1] <= numbers[0] or not numbers[0]:
        raise ArgumentTypeError(f"{text!r}: the first number is the larger one")
    return numbers


def _with_settings(options: dict[str, Any]) -> dict[str, Any]:
    """The options of the command, with the settings where it gives none."""
    settings = {name: getattr(config(), name.upper()) for name in ("pool", *_POSITIVE)}
    if options["autoscale"]:
        settings["concurrency"] = None
    return {**options, **{k: v for k, v in settings.items() if options[k] is None}}


def _options(options: dict[str, Any]) -> WorkerOptions:
    options = _with_settings(options)
    for name in _POSITIVE:
        if options[name] is not None and options[name] <= 0:
            flag = "--" + name.replace("_", "-")
            raise CommandError(f"{flag} must be more than 0.", returncode=2)
    most, least = options["autoscale"] or (options["concurrency"], None)
    if options["pool"] == "solo" and (most or 1) > 1:
        logger.warning("The solo pool runs one task at a time, not %d.", most)
    memory = options["max_memory_per_child"]
    return WorkerOptions(
        name=_name(options["hostname"]),
        queues=_queues(options["queues"]),
        pool=options["pool"],
        concurrency=most,
        least=least,
        time_limit=options["time_limit"],
        soft_time_limit=options["soft_time_limit"],
        max_tasks_per_child=options["max_tasks_per_child"],
        max_memory_per_child=None if memory is None else memory * 1024,
        burst=options["burst"],
    )


def _queues(given: str | Sequence[str] | None) -> list[str]:
    """The names that all ``-Q`` give, each once; none without any ``-Q``, which means all queues."""
    texts = [given] if isinstance(given, str) else given or []
    names = [name.strip() for text in texts for name in text.split(",")]
    if not all(names):
        shown = ", ".join(repr(text) for text in texts)
        raise InvalidTask(
            f"-Q {shown} leaves a queue without its name.", hint="Leave -Q out for all queues."
        )
    return list(dict.fromkeys(checked.queue_name(name) for name in names))


def _name(given: str) -> str:
    unknown = re.search(r"%(?!h)", given)
    if unknown:
        raise InvalidTask(
            f"-n {given!r}: {given[unknown.start() : unknown.start() + 2]!r} means nothing.",
            hint="Only %h is replaced, by the host's name.",
        )
    return checked.word(given, "-n ", 200)
