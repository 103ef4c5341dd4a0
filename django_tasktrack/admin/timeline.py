"""A task's history as a person reads it: each change with the time since the one before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ..models import StateChange
from ..states import FINAL, State
from ..words import span

#: Rows of history that a page shows; of a longer one the latest.
MOST = 200
_WIDTH, _HEIGHT = 1000.0, 10.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of history."""

    change: StateChange
    since: timedelta | None

    @property
    def word(self) -> str:
        return self.change.label or self.change.state


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time between two changes of state in which the task waited, or ran."""

    runs: bool
    begin: datetime
    end: datetime
    attempt: int
    ended_in: str

    @property
    def length(self) -> timedelta:
        return max(timedelta(0), self.end - self.begin)


def read(task_id: UUID, payload: bool) -> list[Entry]:
    """The latest rows of a task's history, in order; what was raised only with ``payload``."""
    rows = StateChange.objects.filter(task_id=task_id).select_related("worker")
    if not payload:
        rows = rows.defer("error_type", "error_message", "traceback")
    changes = list(rows.order_by("-seq")[: MOST + 1])[::-1]
    entries = [
        Entry(change, change.at - before.at if before else None)
        for before, change in zip([None, *changes], changes, strict=False)
    ]
    return entries[-MOST:]


def stretches(entries: Sequence[Entry], now: datetime) -> list[Stretch]:
    """When it waited and when it ran, over all attempts that are shown."""
    found: list[Stretch] = []
    changes = [entry.change for entry in entries]
    for change, after in zip(changes, [*changes[1:], None], strict=True):
        if change.state in FINAL:
            continue
        end = after.at if after else now
        last = found[-1] if found else None
        if last and last.runs and change.state == State.STARTED:  # a new label, the same attempt
            found[-1] = Stretch(True, last.begin, end, last.attempt, after.state if after else "")
            continue
        runs = change.state == State.STARTED
        found.append(Stretch(runs, change.at, end, change.attempt, after.state if after else ""))
    return found


def total(parts: Sequence[Stretch], runs: bool) -> timedelta:
    """How long it ran, or waited, in all."""
    return sum((part.length for part in parts if part.runs is runs), timedelta(0))


def strip(parts: Sequence[Stretch]) -> SafeString:
    """The stretches as one horizontal strip; every figure in it stands in the table too."""
    whole = sum((part.length.total_seconds() for part in parts), 0.0)
    if whole <= 0 or len(parts) == 1:
        return SafeString("")
    shapes, x = [], 0.0
    for part in parts:
        width = part.length.total_seconds() / whole * _WIDTH
        shapes.append((_look(part), f"{x:.2f}", f"{max(width, 2.0):.2f}", _HEIGHT, _words(part)))
        x += width
    marks = format_html_join(
        "",
        '<rect class="tt-{}" x="{}" y="0" width="{}" height="{}"><title>{}</title></rect>',
        shapes,
    )
    return format_html(
        '<svg class="tt-strip" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img"'
        ' aria-label="{}">{}</svg>',
        _WIDTH,
        _HEIGHT,
        _("waited %(wait)s, ran %(run)s")
        % {"wait": span(total(parts, False)), "run": span(total(parts, True))},
        marks,
    )


def _look(part: Stretch) -> str:
    if not part.runs:
        return "strip-wait"
    failed = part.ended_in in (State.FAILURE, State.RETRY)
    return "strip-bad" if failed else "strip-active"


def _words(part: Stretch) -> str:
    length = span(part.length)
    if part.runs:
        return _("attempt %(n)s: ran %(span)s") % {"n": part.attempt, "span": length}
    return _("waited %(span)s") % {"span": length}
