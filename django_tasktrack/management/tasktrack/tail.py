"""``tasktrack tail``: follow one task until it ends."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import NamedTuple
from uuid import UUID

from ... import doctor
from ...models import Progress, StateChange, TrackedTask
from ...states import FINAL, State
from ...vendors import Vendor, task_database, vendor_for
from ...words import clock, span
from . import arguments, documents, selection, show
from .blocks import Bar, Block, Pairs, Word, line, toned
from .console import Console
from .tables import amount_of, findings
from .verb import DONE, NO, Options, Verb

#: Pauses between two looks, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0
#: A task that waits for so many seconds is explained.
_EXPLAIN_AFTER = 3.0
_BAR = 40
#: What may be long, and is read once, at the end.
_PAYLOAD = ("args", "kwargs", "result", "traceback")


class Look(NamedTuple):
    """What one look at the task has found."""

    task: TrackedTask
    changes: list[StateChange]


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="its first eight digits or more will do")
    parser.add_argument(
        "--timeout",
        type=arguments.duration("s"),
        metavar="90s",
        help="how long to follow it at most",
    )


def _run(options: Options, console: Console) -> int:
    task_id = selection.one_id(vendor_for(task_database()), options["id"])
    return follow(task_id, console, options["timeout"])


def follow(task_id: UUID, console: Console, timeout: float | None) -> int:
    """Show what happens to a task until it ends: ``DONE`` if it succeeds."""
    vendor = vendor_for(task_database())
    with console.drawing() as draw:
        shown = _Shown(console)
        for task, changes in looks(vendor, task_id, timeout, console):
            shown.changed(changes)
            if console.can_redraw:
                draw(_status(vendor, task))
            else:
                shown.moved(vendor, task)
    whole = selection.with_relations(vendor, task_id)
    if whole is None:  # it never was there, or it has ended and been purged
        return show.missing(task_id, console)
    _tell_end(vendor, whole, console)
    return DONE if whole.state == State.SUCCESS else NO


def looks(vendor: Vendor, task_id: UUID, timeout: float | None, console: Console) -> Iterator[Look]:
    """The task again and again, with the rows that its history has got since, until its end."""
    deadline = None if timeout is None else time.monotonic() + timeout
    known, pause = 0, _FIRST_PAUSE
    while (task := selection.with_relations(vendor, task_id, *_PAYLOAD)) is not None:
        changes = _changes_since(vendor, task, known)
        pause = _FIRST_PAUSE if changes else min(pause * 1.3, _LONGEST_PAUSE)
        known = task.seq
        yield Look(task, changes)
        if task.state in FINAL or (deadline is not None and time.monotonic() > deadline):
            return
        console.sleep(pause)


def _changes_since(vendor: Vendor, task: TrackedTask, known: int) -> list[StateChange]:
    if task.seq == known:
        return []
    rows = StateChange.objects.using(vendor.using).filter(
        task_id=task.pk, seq__gt=known, seq__lte=task.seq
    )
    return list(rows.select_related("worker").order_by("seq"))


class _Shown:
    """What was shown already, so that a terminal without colours gets each thing once."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._told: tuple[object, ...] = ()
        self._explained = False

    def changed(self, changes: list[StateChange]) -> None:
        for change in changes:
            worker = change.worker.name if change.worker_id and change.worker else ""
            by = change.actor or worker
            why = f"({change.reason})" if change.reason else ""
            word = toned(change.state, change.label or change.state)
            self._console.show(line(Word(clock(change.at), "quiet"), word, by, why))

    def moved(self, vendor: Vendor, task: TrackedTask) -> None:
        progress = task.shown_progress if task.state == State.STARTED else None
        if progress is not None:
            told = (progress.current, progress.total, progress.message)
            if told != self._told:
                self._told = told
                self._console.show(line(clock(progress.updated_at), *_words(progress)))
        elif self._waits_long(task):
            self._explained = True
            self._console.show(findings(doctor.explain(vendor, task, vendor.now())))

    def _waits_long(self, task: TrackedTask) -> bool:
        waiting = task.state not in FINAL and task.state != State.STARTED
        return waiting and not self._explained and time.monotonic() - self._began > _EXPLAIN_AFTER


def _status(vendor: Vendor, task: TrackedTask) -> Iterator[Block]:
    """What is drawn anew at each look."""
    if task.state in FINAL:
        return
    progress = task.shown_progress if task.state == State.STARTED else None
    if progress is None:
        yield findings(doctor.explain(vendor, task, vendor.now()))
        return
    percent, *others = _words(progress)
    told = " ".join(filter(None, others))
    bar = Bar(progress.percent, _BAR) if percent else Word(told)
    yield Pairs([(toned(task.state, task.shown_state), bar), ("", told if percent else "")])


def _words(progress: Progress) -> list[str]:
    percent = "" if progress.percent is None else f"{progress.percent:.0f}%"
    left = progress.eta()
    eta = f"{span(left)} left" if left else ""
    return [percent, amount_of(progress.current, progress.total), progress.message, eta]


def _tell_end(vendor: Vendor, task: TrackedTask, console: Console) -> None:
    blocks: list[Block] = [findings(doctor.explain(vendor, task, vendor.now()))]
    if task.state == State.SUCCESS and task.result is not None:
        blocks.append(line(show.as_json(task.result)))
    elif task.state not in FINAL:
        console.say("The time to follow it is over; the task goes on.")
    if task.traceback and task.state == State.FAILURE:
        blocks.append(line(Word(task.traceback.rstrip(), "quiet")))
    console.give(documents.whole_task(task), *blocks)


VERB = Verb("tail", "follow a task until it ends", _arguments, _run)
