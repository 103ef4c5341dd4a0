"""HTML of single values: states, times, durations, progress. Everything that goes in is escaped."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import Goal, Progress, TrackedTask, Worker
from ..serializers import readable
from ..states import WAITING, Stage, State
from ..words import amount, span

#: Characters of a value that a page shows.
SHOWN = 20_000
_LINE = 72

_CLOCK = '<circle cx="8" cy="8" r="6"/><path d="M8 4.5V8l2.4 1.6"/>'
_PLAY = '<path d="M5 3.5v9l7.5-4.5z" fill="currentColor"/>'
_AGAIN = '<path d="M13 8a5 5 0 1 1-1.5-3.6"/><path d="M13.2 1.8v3.2H10"/>'
_CHECK = '<path d="M3 8.6l3.3 3.3L13 4.6"/>'
_CROSS = '<path d="M4 4l8 8M12 4l-8 8"/>'
_BAN = '<circle cx="8" cy="8" r="6"/><path d="M3.9 12.1l8.2-8.2"/>'
_RING = '<circle cx="8" cy="8" r="6"/>'
_PULSE = '<path d="M1 8.5h3.2L6.3 3.5l3.2 9 2-4H15"/>'
_SQUARE = '<rect x="4" y="4" width="8" height="8" rx="1"/>'
_ALARM = '<path d="M8 2l6.6 11.6H1.4z"/><path d="M8 6.4v3.4M8 11.6v.2"/>'

# Each word has its icon and its tone; the tone alone never tells anything.
_LOOKS = {
    State.PENDING: (_CLOCK, "quiet"),
    State.STARTED: (_PLAY, "active"),
    State.RETRY: (_AGAIN, "warn"),
    State.SUCCESS: (_CHECK, "good"),
    State.FAILURE: (_CROSS, "bad"),
    State.REVOKED: (_BAN, "off"),
    Goal.State.OPEN: (_RING, "quiet"),
    Goal.State.ACTIVE: (_PLAY, "active"),
    Goal.State.ACHIEVED: (_CHECK, "good"),
    Goal.State.MISSED: (_CLOCK, "bad"),
    Goal.State.FAILED: (_CROSS, "bad"),
    Goal.State.ABANDONED: (_BAN, "off"),
    "alive": (_PULSE, "good"),
    "stopped": (_SQUARE, "off"),
    "lost": (_ALARM, "bad"),
    "enabled": (_CHECK, "good"),
    "disabled": (_BAN, "off"),
    "withdrawn": (_SQUARE, "off"),
    "problem": (_ALARM, "bad"),
}


def icon(word: str) -> SafeString:
    """The icon of a state or condition; nothing for a word that has none."""
    shapes = _LOOKS.get(word, ("", ""))[0]
    if not shapes:
        return mark_safe("")
    return format_html(
        '<svg class="tt-icon" viewBox="0 0 16 16" width="14" height="14" fill="none"'
        ' stroke="currentColor" stroke-width="1.8" stroke-linecap="round"'
        ' stroke-linejoin="round" aria-hidden="true" focusable="false">{}</svg>',
        mark_safe(shapes),  # noqa: S308  constants of this file
    )


def badge(word: str, text: Any = "") -> SafeString:
    """A state or condition, by icon and word; ``text`` is shown instead of the word itself."""
    tone = _LOOKS.get(word, ("", "quiet"))[1]
    return format_html(
        '<span class="tt-badge tt-{}">{}<span>{}</span></span>', tone, icon(word), text or word
    )


def state_badge(task: TrackedTask) -> SafeString:
    """A task's state; while it runs, its own word for it."""
    return badge(task.state, task.shown_state)


def condition_badge(worker: Worker) -> SafeString:
    words = {"alive": _("alive"), "stopped": _("stopped"), "lost": _("lost")}
    return badge(worker.condition, words[worker.condition])


# Times


def moment(at: datetime | None, now: datetime | None = None) -> SafeString:
    """A point in time: the clock where it was today, else the day too; in full as its title."""
    if at is None:
        return nothing()
    local, today = _local(at), _local(now or timezone.now())
    shown = "H:i:s" if local.date() == today.date() else "Y-m-d H:i"
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        at.isoformat(),
        date_format(local, "Y-m-d H:i:s ") + (local.tzname() or ""),
        date_format(local, shown),
    )


def _local(at: datetime) -> datetime:
    return timezone.localtime(at) if timezone.is_aware(at) else at


def ago(at: datetime | None, now: datetime | None = None) -> SafeString:
    """How long ago something was, or in how long it will be."""
    if at is None:
        return nothing()
    age = (now or timezone.now()) - at
    text = _("%(span)s ago") if age >= timedelta(0) else _("in %(span)s")
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        at.isoformat(),
        date_format(_local(at), "Y-m-d H:i:s"),
        text % {"span": span(abs(age))},
    )


def duration(length: timedelta | None) -> SafeString:
    """A length of time as an element."""
    if length is None:
        return nothing()
    seconds = max(0.0, length.total_seconds())
    return format_html('<time datetime="PT{}S">{}</time>', f"{seconds:.3f}", span(length))


def nothing() -> SafeString:
    """A missing value, which screen readers pass over."""
    return format_html('<span class="tt-none" aria-hidden="true">{}</span>', "–")


# Tasks


def task_name(task: TrackedTask) -> SafeString:
    """The function's name first to the eye, its module quietly, the end of the id to tell rows apart."""
    module, dot, function = task.name.rpartition(".")
    return format_html(
        '<span class="tt-name" title="{}"><span class="tt-quiet-text">{}</span>{}</span> '
        '<span class="tt-id" title="{}">…{}</span>',
        task.name,
        breakable(module + dot),
        breakable(function),
        task.pk,
        task.pk.hex[-8:],
    )


def breakable(name: str) -> SafeString:
    """A dotted name that a narrow column may break between its words only."""
    text = escape(name).replace(".", ".<wbr>").replace("_", "_<wbr>")
    return mark_safe(text)  # noqa: S308  escaped above


def hint(task: TrackedTask, now: datetime | None = None) -> str:
    """Why a task is where it is, in a few words; empty where its state says it all."""
    if task.revoke_requested_at and not task.is_finished:
        return _("asked to stop")
    if task.stage in _WAITS:
        return str(_WAITS[Stage(task.stage)])
    if task.stage == Stage.SCHEDULED:
        left = task.run_after - (now or timezone.now())
        return _("in %(span)s") % {"span": span(left)} if left > timedelta(0) else _("due")
    if task.stage == Stage.CLAIMED and task.state in WAITING:
        return _("claimed")
    return ""


_WAITS = {
    Stage.HELD: gettext_lazy("no worker knows it"),
    Stage.BLOCKED: gettext_lazy("waits for others"),
    Stage.GATED: gettext_lazy("waits for a limit"),
}


def attempts(task: TrackedTask) -> str:
    """Attempts; while there may be more, of how many allowed ones."""
    if task.max_attempts is None or task.is_finished:
        return str(task.attempt)
    allowed = {"used": task.attempt, "allowed": task.max_attempts}
    return _("%(used)s of %(allowed)s") % allowed


def current_progress(task: TrackedTask) -> Progress | None:
    """The progress of the latest attempt; what an earlier one left behind is not shown."""
    return None if task.state in WAITING else task.shown_progress


def bar(progress: Progress, running: bool = True) -> SafeString:
    """A native progress bar with its number; without a known total it has no value."""
    percent = progress.percent
    if percent is None:
        so_far = "" if progress.current is None else amount(progress.current)
        element = mark_safe("<progress></progress>" if running else "")  # noqa: S308  constants
        return format_html('<span class="tt-bar">{} <span>{}</span></span>', element, so_far)
    whole = f"{int(percent)}%"
    return format_html(
        '<span class="tt-bar"><progress class="tt-{}" max="100" value="{}" aria-label="{}">{}'
        "</progress> <span>{}</span></span>",
        "moving" if running else "halted",
        f"{percent:.1f}",
        _("progress"),
        whole,
        whole,
    )


def list_progress(task: TrackedTask) -> SafeString:
    """Bar and message in a list; a task that succeeded is at neither any more."""
    progress = current_progress(task)
    if progress is None or task.state == State.SUCCESS:
        return nothing()
    shown = bar(progress, running=task.state == State.STARTED)
    return format_html(
        '{}<span class="tt-message" title="{}">{}</span>', shown, progress.message, progress.message
    )


def pretty(value: Any) -> str:
    """JSON for people: on one line where it fits, cut where a page would grow without end."""
    value = readable(value)
    line = json.dumps(value, ensure_ascii=False, default=str)
    return line if len(line) <= _LINE else cut(json.dumps(value, indent=2, ensure_ascii=False))


def cut(text: str, limit: int = SHOWN) -> str:
    if len(text) <= limit:
        return text
    more = _("… %(n)s characters more") % {"n": f"{len(text) - limit:,}"}
    return f"{text[:limit]}\n{more}"
