"""``tasktrack retry``: run failed and revoked tasks again."""

from __future__ import annotations

from argparse import ArgumentParser
from uuid import UUID

from ... import transitions
from ...states import RERUN
from ...transitions import Answer
from ...vendors import Vendor, task_database, vendor_for
from . import answers, arguments, selection
from .console import Console
from .verb import NO, Options, Verb

_WHY = {
    Answer.QUEUED: "it runs again, with a fresh count of attempts",
    Answer.REFUSED: "it waits, runs or has succeeded, or another task has its goal or unique key",
}


def _arguments(parser: ArgumentParser) -> None:
    selection.add_ids(parser, many="*")
    selection.add_filters(parser, states=True)
    arguments.add_reason(parser)
    arguments.add_yes(parser)


def _run(options: Options, console: Console) -> int:
    vendor = vendor_for(task_database())
    ids = answers.asked_ids(vendor, options, lambda: _ended(vendor, options))
    if not ids:
        console.say(f"No task to retry fits. {selection.why_nothing(vendor, options)}".strip())
    elif not answers.agreed(vendor, "Retry", ids, options, console):
        return NO
    done: dict[UUID, Answer] = {}
    for batch in answers.batches(ids):
        done |= transitions.rerun(
            batch, actor=arguments.actor(), reason=options["reason"], using=vendor.using
        )
    return answers.tell(done, _WHY, console)


def _ended(vendor: Vendor, options: Options) -> list[UUID]:
    """What the filters fit of failures, and of revoked tasks where those are asked for."""
    tasks = selection.chosen(vendor, options)
    states = [state for state in options["state"] or ["FAILURE"] if state in RERUN.sources]
    parts = [tasks.in_state(state).order_by("pk").values_list("pk", flat=True) for state in states]
    return [pk for part in parts for pk in part]


VERB = Verb("retry", "run failed and revoked tasks again", _arguments, _run)
