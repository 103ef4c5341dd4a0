"""``tasktrack queues``: a worker that runs is to serve other queues."""

from __future__ import annotations

from argparse import ArgumentParser

from ...adaptation import Wish
from ...exceptions import InvalidTask
from ...models import Worker
from ...served import Served
from ..worker_options import queue_names
from . import adapting
from .console import Console
from .verb import Options, Verb


def _arguments(parser: ArgumentParser) -> None:
    adapting.add_arguments(parser)
    parser.add_argument("change", choices=("add", "drop"), help="these queues as well, or no more")
    parser.add_argument("queues", metavar="A,B", help="names of queues")


def _run(options: Options, console: Console) -> int:
    names = queue_names([options["queues"]], options["change"], "Write for example mail,sms.")

    def served_otherwise(row: Worker, before: Wish) -> Wish:
        adds = options["change"] == "add"
        return before._replace(
            served=before.served.adding(names) if adds else _without(row, before, names)
        )

    return adapting.ask(options, console, served_otherwise, lambda wish: str(wish.served))


def _without(row: Worker, before: Wish, names: list[str]) -> Served:
    try:
        return before.served.dropping(names)
    except InvalidTask:
        raise InvalidTask(
            f"{row.name} serves {before.served}: no queue would be left.",
            hint="Add another one first, or end it: manage.py tasktrack shutdown",
        ) from None


VERB = Verb("queues", "have a worker serve other queues", _arguments, _run)
