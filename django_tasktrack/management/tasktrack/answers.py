"""What revoke and retry do to many tasks, and how they tell of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from uuid import UUID

from ...exceptions import InvalidTask
from ...models import TrackedTask
from ...result import missing_states
from ...transitions import Answer
from ...vendors import Vendor
from . import selection
from .blocks import Column, Table, Word, line
from .console import Console
from .verb import DONE, NO, Options

#: Tasks that one transaction changes.
BATCH = 500
#: Answers that are told one by one; of more, their number.
_TOLD = 20

_TONES = {
    Answer.REVOKED: "good",
    Answer.REQUESTED: "active",
    Answer.TERMINATING: "active",
    Answer.QUEUED: "good",
    Answer.REFUSED: "warn",
    Answer.UNKNOWN: "bad",
}
_DONE = frozenset({Answer.REVOKED, Answer.REQUESTED, Answer.TERMINATING, Answer.QUEUED})


def asked_ids(vendor: Vendor, options: Options, by_filter: Callable[[], list[UUID]]) -> list[UUID]:
    """The tasks that were named, or that the filters fit.

    Raises:
        InvalidTask: neither was given, or both.
    """
    filtered = selection.has_filter(options) or bool(options.get("state"))
    if bool(options["ids"]) == filtered:
        raise InvalidTask(
            "Name tasks by their ids, or choose them by a filter, such as --queue or --name."
        )
    return by_filter() if filtered else selection.all_ids(vendor, options["ids"])


def agreed(
    vendor: Vendor, verb: str, ids: Sequence[UUID], options: Options, console: Console
) -> bool:
    """Whether tasks that a filter has chosen are meant: what they are is shown first."""
    if options["ids"] or options["yes"] or not ids:
        return True
    counts: Counter[tuple[str, str]] = Counter()
    for batch in batches(ids):
        rows = TrackedTask.objects.using(vendor.using).many(batch)
        counts.update(rows.values_list("name", "state"))
    listed = ", ".join(
        f"{count:,} {state} {name}" for (name, state), count in counts.most_common(5)
    )
    more = ", ..." if len(counts) > 5 else ""
    return console.confirm(f"{verb} {len(ids):,} tasks ({listed}{more})?")


def batches(ids: Sequence[UUID]) -> Iterable[Sequence[UUID]]:
    return (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))


def tell(answers: Mapping[UUID, Answer], why: Mapping[Answer, str], console: Console) -> int:
    """Show what was done with each; ``NO`` unless something was done with all of them."""
    document = [{"id": task_id, "answer": answer.value} for task_id, answer in answers.items()]
    counts = Counter(answers.values())
    if not answers:
        console.give(document)
    elif len(answers) <= _TOLD:
        absent = [task_id for task_id, answer in answers.items() if answer is Answer.UNKNOWN]
        states = missing_states(absent) if absent else {}
        rows = [
            (
                str(task_id),
                Word(answer.value, _TONES[answer]),
                states.get(str(task_id), "") or why.get(answer, ""),
            )
            for task_id, answer in answers.items()
        ]
        console.give(
            document, Table((Column("id"), Column("answer"), Column("", gives=True)), rows)
        )
    else:
        lines = [
            line(Word(f"{counts[answer]:,} {answer.value}", _TONES[answer]), why.get(answer, ""))
            for answer in Answer
            if counts[answer]
        ]
        console.give(document, *lines)
    return DONE if answers and counts.keys() <= _DONE else NO
