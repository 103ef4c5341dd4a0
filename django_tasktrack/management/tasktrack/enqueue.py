"""``tasktrack enqueue``: one call of a task."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from ... import doctor, registry
from ...doctor import Level
from ...enqueue import Options as CallOptions
from ...enqueue import insert, prepare
from ...exceptions import InvalidTask
from ...vendors import task_database, vendor_for
from . import arguments, selection, tail
from .blocks import line
from .console import Console
from .tables import findings
from .verb import DONE, Options, Verb


def _arguments(parser: ArgumentParser) -> None:
    seconds = arguments.duration("s")
    parser.add_argument("name", metavar="TASK", help="its name; the last part will do")
    parser.add_argument(
        "arguments",  # Django means something else by "args"
        nargs="?",
        type=arguments.json_of(list, "'[2, \"x\"]'"),
        metavar="ARGS",
        help="positional arguments, a JSON list: '[2, \"x\"]'",
    )
    parser.add_argument(
        "--kwargs",
        type=arguments.json_of(dict, "'{\"n\": 2}'"),
        metavar="JSON",
        help="keyword arguments, a JSON object: '{\"n\": 2}'",
    )
    parser.add_argument("--countdown", type=seconds, metavar="90s", help="run no earlier than then")
    parser.add_argument(
        "--expires", type=seconds, metavar="2h", help="must have started until then"
    )
    parser.add_argument("--queue", metavar="QUEUE")
    parser.add_argument("--priority", type=int, metavar="N", help="-100 to 100, larger first")
    parser.add_argument("--owner", metavar="OWNER", help="a user's primary key, or your own word")
    parser.add_argument("--id", dest="task_id", metavar="UUID", help="instead of a fresh one")
    parser.add_argument("--unique-key", metavar="KEY")
    parser.add_argument("--time-limit", type=seconds, metavar="10m")
    parser.add_argument("--soft-time-limit", type=seconds, metavar="9m")
    parser.add_argument("--tail", action="store_true", help="follow it until it ends")


_OPTIONS = (
    "countdown", "expires", "queue", "priority", "owner", "task_id", "unique_key",
    "time_limit", "soft_time_limit",
)  # fmt: skip


def _run(options: Options, console: Console) -> int:
    vendor = vendor_for(task_database())
    definition = registry.get(selection.full_name(vendor, options["name"]))
    given: dict[str, Any] = {name: options[name] for name in _OPTIONS}
    try:
        call = CallOptions(**given, actor=arguments.actor())
        new = prepare(definition, options["arguments"], options["kwargs"], call)
    except TypeError as error:
        raise InvalidTask(str(error)) from None
    holders = insert([new], own_ids=call.task_id is not None)
    task_id = holders.get(new.task_id, new.task_id)
    if options["tail"]:
        return tail.follow(task_id, console, None)
    _tell(task_id, definition.name, task_id == new.task_id, console)
    return DONE


def _tell(task_id: UUID, name: str, fresh: bool, console: Console) -> None:
    """The id, for pipes alone on its line; what stands in the task's way beside it."""
    vendor = vendor_for(task_database())
    console.give({"id": task_id, "task": name, "enqueued": fresh}, line(str(task_id)))
    if not fresh:
        console.say("Nothing was enqueued: this task has the same unique key, and has not ended.")
    task = selection.with_relations(vendor, task_id)
    if task is not None:
        found = doctor.explain(vendor, task, vendor.now())
        in_the_way = [one for one in found if one.level is Level.PROBLEM]
        if in_the_way:
            console.say(findings(in_the_way))


VERB = Verb("enqueue", "enqueue one call of a task", _arguments, _run)
