"""``tasktrack queues``: a worker that runs is to serve other queues."""

from __future__ import annotations

from argparse import ArgumentParser

from ...adaptation import Wish, adding, dropping
from ...models import Worker
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

    def decide(row: Worker, before: Wish) -> Wish:
        if options["change"] == "add":
            return adding(before, names)
        return dropping(row, before, names)

    return adapting.ask(options, console, decide, lambda wish: str(wish.served))


VERB = Verb("queues", "have a worker serve other queues", _arguments, _run)
