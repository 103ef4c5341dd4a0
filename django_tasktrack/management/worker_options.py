"""What ``manage.py worker`` takes on the command line, and what it means."""

from __future__ import annotations

import logging
import re
import socket
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandError

from .. import checked
from ..conf import config
from ..exceptions import InvalidTask
from ..pools import POOLS
from ..served import Served
from ..worker import WorkerOptions

logger = logging.getLogger("django_tasktrack.worker")

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def add_arguments(parser: ArgumentParser) -> None:
    """All of them, in groups for ``--help``."""
    _add_what(parser)
    _add_limits(parser)
    _add_process(parser)
    _add_celery_s(parser)


def _add_what(parser: ArgumentParser) -> None:
    what = parser.add_argument_group("what it runs")
    what.add_argument(
        "-Q",
        "--queues",
        action="append",
        metavar="A,B",
        help="take tasks from these queues; default: all",
    )
    what.add_argument(
        "-X",
        "--exclude-queues",
        action="append",
        metavar="A,B",
        help="leave these out, of all queues or of those of -Q",
    )
    what.add_argument(
        "-c",
        "--concurrency",
        type=int,
        metavar="N",
        help="run N tasks at once; default: one for each processor (asyncio: 100)",
    )
    what.add_argument(
        "--autoscale",
        type=_scale,
        metavar="MAX,MIN",
        help="as many children as there is work for, between these numbers",
    )
    what.add_argument(
        "-P",
        "--pool",
        choices=sorted(POOLS),
        help="where tasks run; default: TASKTRACK['POOL'], or prefork: in child processes",
    )
    what.add_argument("--burst", action="store_true", help="end as soon as nothing is due")


def _add_limits(parser: ArgumentParser) -> None:
    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--time-limit",
        type=float,
        metavar="S",
        help="kill a task after S seconds, if it has no limit of its own",
    )
    limits.add_argument(
        "--soft-time-limit",
        type=float,
        metavar="S",
        help="raise SoftTimeLimitExceeded in a task after S seconds",
    )
    limits.add_argument(
        "--max-tasks-per-child", type=int, metavar="N", help="replace a child after N tasks"
    )
    limits.add_argument(
        "--max-memory-per-child",
        type=int,
        metavar="KIB",
        help="replace a child that has used more memory, after its task",
    )


def _add_process(parser: ArgumentParser) -> None:
    process = parser.add_argument_group("the process")
    process.add_argument(
        "-n",
        "--hostname",
        default="worker@%h",
        metavar="NAME",
        help="the worker's name; %%h is the host; default: %(default)s",
    )
    process.add_argument(
        "-l",
        "--loglevel",
        type=str.upper,
        choices=_LEVELS,
        metavar="LEVEL",
        help=f"{', '.join(_LEVELS)}; default: INFO, or what LOGGING says",
    )
    process.add_argument(
        "-f",
        "--logfile",
        metavar="FILE",
        help="write the log there, not to the terminal; %%n is the worker's name up to the @, %%h the host; a "
        "file that is moved away is made anew",
    )
    process.add_argument(
        "--pidfile", metavar="FILE", help="there while the worker runs; %%n and %%h as above"
    )
    process.add_argument(
        "--reload",
        action="store_true",
        help="for development: start again whenever code has changed",
    )


def _add_celery_s(parser: ArgumentParser) -> None:
    celery_s = parser.add_argument_group("accepted from Celery, without effect")
    celery_s.add_argument("-A", "--app", metavar="APP", help="the project is Django's")
    celery_s.add_argument(
        "-E", "--task-events", action="store_true", help="history tells of every task"
    )
    celery_s.add_argument(
        "-B", "--beat", action="store_true", help="every worker runs the schedules"
    )


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


def read(options: dict[str, Any]) -> WorkerOptions:
    """How to start a worker, by its options and the settings.

    Raises:
        CommandError, InvalidTask: they mean nothing, or nothing together.
    """
    options = _with_settings(options)
    for name in _POSITIVE:
        if options[name] is not None and options[name] <= 0:
            flag = "--" + name.replace("_", "-")
            raise CommandError(f"{flag} must be more than 0.", returncode=2)
    most, least = options["autoscale"] or (options["concurrency"], None)
    if options["pool"] == "solo" and (most or 1) > 1:
        logger.warning("The solo pool runs one task at a time, not %d.", most)
    memory = options["max_memory_per_child"]
    queues, excluded = _queues("-Q", options["queues"]), _queues("-X", options["exclude_queues"])
    Served.of(queues, excluded)  # refuses what leaves none
    return WorkerOptions(
        name=_name(options["hostname"]),
        queues=queues,
        exclude_queues=tuple(excluded),
        pool=options["pool"],
        concurrency=most,
        least=least,
        time_limit=options["time_limit"],
        soft_time_limit=options["soft_time_limit"],
        max_tasks_per_child=options["max_tasks_per_child"],
        max_memory_per_child=None if memory is None else memory * 1024,
        burst=options["burst"],
    )


def queue_names(texts: Sequence[str], option: str, hint: str) -> list[str]:
    """The names in lists with commas, each once.

    Args:
        texts: the lists.
        option: that gave them, for the error.
        hint: what to write instead of a list that leaves a name out.

    Raises:
        InvalidTask: a name is missing or cannot be a queue's.
    """
    names = [name.strip() for text in texts for name in text.split(",")]
    if not all(names):
        shown = ", ".join(repr(text) for text in texts)
        raise InvalidTask(f"{option} {shown} leaves a queue without its name.", hint=hint)
    return list(dict.fromkeys(checked.queue_name(name) for name in names))


def _queues(option: str, given: str | Sequence[str] | None) -> list[str]:
    """The names that all of one option give; none without any."""
    texts = [given] if isinstance(given, str) else given or []
    return queue_names(texts, option, f"Leave {option} out for all queues.")


def _name(given: str) -> str:
    unknown = re.search(r"%(?!h)", given)
    if unknown:
        raise InvalidTask(
            f"-n {given!r}: {given[unknown.start() : unknown.start() + 2]!r} means nothing.",
            hint="Only %h is replaced, by the host's name.",
        )
    return checked.word(given, "-n ", 200)


def whole_name(options: WorkerOptions) -> str:
    """A worker's name with the host in it."""
    return options.name.replace("%h", socket.gethostname())
