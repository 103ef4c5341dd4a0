"""``tasktrack rate-limit`` and ``time-limit``: what limits the tasks of a name, from now on and for all workers."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from datetime import timedelta

from ... import limits
from ...exceptions import InvalidTask, nearest
from ...models import TaskLimits
from ...vendors import Vendor, task_database, vendor_for
from ...words import period
from . import arguments, selection
from .blocks import Line, line
from .console import Console
from .documents import task_limits
from .verb import DONE, Options, Verb


def _rate_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("task", metavar="TASK", help="its name; the last part will do")
    parser.add_argument(
        "rate", nargs="?", metavar="RATE", help='such as "10/m", "100/s" or "2/h"; 0 for no limit'
    )
    _add_declared(parser, "the rate that the task declares")


def _time_arguments(parser: ArgumentParser) -> None:
    seconds = arguments.duration("s")
    parser.add_argument("task", metavar="TASK", help="its name; the last part will do")
    parser.add_argument(
        "limits",
        nargs="*",
        type=seconds,
        metavar="LIMIT",
        help="[SOFT] HARD: one is the hard limit, of two the first is the soft one; 90s, 10m; 0 for none",
    )
    _add_declared(parser, "the limits that tasks are enqueued with")


def _add_declared(parser: ArgumentParser, what: str) -> None:
    parser.add_argument("--declared", action="store_true", help=f"go back to {what}")


def _run_rate(options: Options, console: Console) -> int:
    if (options["rate"] is None) != options["declared"]:
        raise InvalidTask("Give either a rate, such as 10/m, or --declared.")

    def change(name: str, actor: str) -> TaskLimits:
        if options["declared"]:
            return limits.unset_rate_limit(name, actor=actor)
        return limits.set_rate_limit(name, options["rate"], actor=actor)

    return _run(options["task"], change, console)


def _run_time(options: Options, console: Console) -> int:
    given = options["limits"]
    if (not given) != options["declared"] or len(given) > 2:
        raise InvalidTask("Give one limit or two, such as 60s 90s, or --declared.")
    soft, hard = [None, None, *given][-2:]  # one is the hard limit

    def change(name: str, actor: str) -> TaskLimits:
        if options["declared"]:
            return limits.unset_time_limit(name, actor=actor)
        return limits.set_time_limit(name, soft=soft or None, hard=hard or None, actor=actor)

    return _run(options["task"], change, console)


def _run(task: str, change: Callable[[str, str], TaskLimits], console: Console) -> int:
    vendor = vendor_for(task_database())
    name = selection.full_name(vendor, task)
    row = change(name, arguments.actor())
    console.give(task_limits(row), line(name), line(_rate(row), indent=2), _times(row))
    _warn(vendor, name, console)
    return DONE


def _rate(row: TaskLimits) -> str:
    if row.rate_limit is None:
        return f"rate: {row.declared or 'no limit'}, as declared"
    instead = f" (declared: {row.declared})" if row.declared else ""
    return f"rate: {row.rate or 'no limit'}{instead}"


def _times(row: TaskLimits) -> Line:
    if not row.timed:
        return line("time: as tasks were enqueued", indent=2)
    return line(
        f"time: soft {_length(row.soft_time_limit)}, hard {_length(row.time_limit)}", indent=2
    )


def _length(seconds: float | None) -> str:
    return "none" if seconds is None else period(timedelta(seconds=seconds))


def _warn(vendor: Vendor, name: str, console: Console) -> None:
    known = selection.known_names(vendor)
    if name not in known:
        console.say(f"No task is known as {name!r} here. {nearest(name, known)}")


RATE = Verb(
    "rate-limit", "how many tasks of a name may start in a time", _rate_arguments, _run_rate
)
TIME = Verb("time-limit", "how long tasks of a name may run", _time_arguments, _run_time)
