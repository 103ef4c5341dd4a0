"""``tasktrack doctor``: why a task does not run, or what is wrong with the whole."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence

from ... import doctor
from ...doctor import Finding, Level
from ...vendors import Vendor, task_database, vendor_for
from . import documents, selection, show
from .blocks import Line, Word, line, toned
from .console import Console
from .tables import findings
from .verb import DONE, NO, Options, Verb


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "id", nargs="?", metavar="ID", help="of a task; without, the health of the whole"
    )


def _run(options: Options, console: Console) -> int:
    vendor = vendor_for(task_database())
    if options["id"] is not None:
        return _of_task(vendor, options["id"], console)
    found = doctor.examine(vendor)
    console.give(_document(found), findings(found), line(), _summary(found))
    return _answer(found)


def _of_task(vendor: Vendor, text: str, console: Console) -> int:
    task_id = selection.one_id(vendor, text)
    task = selection.with_relations(vendor, task_id)
    if task is None:
        return show.missing(task_id, console)
    found = doctor.explain(vendor, task, vendor.now())
    head = line(Word(task.name, "strong"), toned(task.state, task.shown_state), str(task.pk))
    console.give({"id": task.pk, "state": task.state, **_document(found)}, head, findings(found))
    return _answer(found)


def _document(found: Sequence[Finding]) -> dict[str, object]:
    return {
        "level": doctor.worst(found).name.lower(),
        "findings": [documents.finding(one) for one in found],
    }


def _summary(found: Sequence[Finding]) -> Line:
    counts = [
        (sum(one.level is level for one in found), level.name.lower())
        for level in (Level.PROBLEM, Level.WARNING)
    ]
    said = [f"{count} {word}{'s' if count > 1 else ''}" for count, word in counts if count]
    return line(toned(doctor.worst(found).name, ", ".join(said) or "All is well."))


def _answer(found: Sequence[Finding]) -> int:
    return NO if doctor.worst(found) is Level.PROBLEM else DONE


VERB = Verb("doctor", "why a task does not run, or the health of the whole", _arguments, _run)
