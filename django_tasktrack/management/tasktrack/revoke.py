"""``tasktrack revoke``: stop tasks."""

from __future__ import annotations

from argparse import ArgumentParser
from uuid import UUID

from ... import transitions
from ...transitions import SIGNALS, Answer
from ...vendors import task_database, vendor_for
from . import answers, arguments, selection
from .console import Console
from .verb import NO, Options, Verb

_WHY = {
    Answer.REVOKED: "it never ran, and never will",
    Answer.REQUESTED: "a worker has it, and was asked to stop it",
    Answer.TERMINATING: "the process that runs it is being ended",
    Answer.REFUSED: "it had ended",
}
_CANNOT_KILL = {**_WHY, Answer.REQUESTED: "its worker cannot kill, and was asked to stop it"}


def _arguments(parser: ArgumentParser) -> None:
    selection.add_ids(parser, many="*")
    selection.add_filters(parser)
    parser.add_argument("--terminate", action="store_true", help="kill the processes that run them")
    parser.add_argument(
        "--signal", choices=SIGNALS, help="to kill with; implies --terminate; default: SIGTERM"
    )
    arguments.add_reason(parser)
    arguments.add_yes(parser)


def _run(options: Options, console: Console) -> int:
    vendor = vendor_for(task_database())
    kills = options["terminate"] or options["signal"] is not None

    def unfinished() -> list[UUID]:
        return selection.unfinished_ids(selection.chosen(vendor, options))

    ids = answers.asked_ids(vendor, options, unfinished)
    if not ids:
        console.say(f"No unfinished task fits. {selection.why_nothing(vendor, options)}".strip())
    elif not answers.agreed(vendor, "Terminate" if kills else "Revoke", ids, options, console):
        return NO
    done: dict[UUID, Answer] = {}
    for batch in answers.batches(ids):
        done |= transitions.revoke(
            batch,
            signal=(options["signal"] or "SIGTERM") if kills else None,
            actor=arguments.actor(),
            reason=options["reason"],
            using=vendor.using,
        )
    return answers.tell(done, _CANNOT_KILL if kills else _WHY, console)


VERB = Verb("revoke", "stop tasks", _arguments, _run)
