"""``tasktrack pause`` and ``resume``: workers take nothing more from a queue, until they do again."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable

from ... import limits
from ...conf import config
from ...models import TrackedTask, Worker
from ...states import FINAL, Stage
from ...vendors import Vendor, task_database, vendor_for
from . import arguments
from .blocks import line
from .console import Console
from .verb import DONE, Options, Verb


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("queues", nargs="+", metavar="QUEUE")


def _pause(options: Options, console: Console) -> int:
    def pause(queue: str) -> str:
        return "paused" if limits.pause_queue(queue, actor=arguments.actor()) else "was paused"

    return _run(options, console, pause)


def _resume(options: Options, console: Console) -> int:
    def resume(queue: str) -> str:
        return "resumed" if limits.resume_queue(queue) else "was not paused"

    return _run(options, console, resume)


def _run(options: Options, console: Console, act: Callable[[str], str]) -> int:
    vendor = vendor_for(task_database())
    answers = {queue: act(queue) for queue in dict.fromkeys(options["queues"])}
    document = [{"queue": queue, "answer": answer} for queue, answer in answers.items()]
    console.give(document, *(line(queue, answer) for queue, answer in answers.items()))
    for queue in answers:
        if not _is_known(vendor, queue):
            console.say(f"No unfinished task is in {queue!r}, and no living worker names it.")
    return DONE


def _is_known(vendor: Vendor, queue: str) -> bool:
    """Whether a task is there, or a worker serves it by its name."""
    named = Worker.objects.using(vendor.using).alive().values_list("queues", flat=True)
    if queue == config().DEFAULT_QUEUE or any(queue in queues for queues in named):
        return True
    tasks = TrackedTask.objects.using(vendor.using).for_queue(queue).exclude(state__in=FINAL)
    return any(tasks.filter(stage=stage).exists() for stage in Stage if stage is not Stage.DONE)


PAUSE = Verb("pause", "let workers take nothing more from a queue", _arguments, _pause)
RESUME = Verb("resume", "let workers take from a queue again", _arguments, _resume)
