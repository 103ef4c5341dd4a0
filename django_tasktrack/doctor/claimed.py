"""What becomes of a task that a worker has claimed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from ..conf import config
from ..models import TaskLimits, TrackedTask
from ..overview.fleet import Member, members
from ..states import State
from ..vendors import Vendor
from ..words import amount, period, span
from .findings import Finding, good, note, problem, warning

#: A claim that did not begin for so long waits behind long bodies, or its worker is in trouble.
_SOON = timedelta(seconds=5)


def of_claimed(
    vendor: Vendor, task: TrackedTask, fleet: Sequence[Member], now: datetime
) -> Iterator[Finding]:
    """It runs, is about to, or its worker is gone."""
    found = task.worker if task.worker_id else None
    holder = members(vendor, now, [found])[0] if found else None
    if holder is None or not holder.lives:
        yield _of_gone(task, holder, fleet)
    elif holder.condition == "silent":
        yield _of_silent(holder)
    if holder is not None and holder.lives:
        yield _of_body(task, holder, now)
        yield from _of_progress(task, now)
        yield from _of_limit(vendor, task, now)
    yield from _of_wish(task, now, holder)


def _of_gone(task: TrackedTask, holder: Member | None, fleet: Sequence[Member]) -> Finding:
    name = holder.row.name if holder else f"number {task.worker_id}, whose row is gone,"
    how = holder.condition if holder else "unknown"
    if holder and holder.row.is_alive:
        how = f"silent for {span(holder.silence)}"
    if not any(member.lives for member in fleet):
        return problem(
            "worker_gone",
            f"Its worker {name} is gone ({how}), and no other one lives to give it back.",
            "Start one: manage.py worker",
        )
    within = span(timedelta(seconds=config().MAINTENANCE))
    return warning(
        "rescue_due",
        f"Its worker {name} is gone ({how}); another one gives it back within {within} or so.",
    )


def _of_silent(holder: Member) -> Finding:
    return warning(
        "worker_silent",
        f"Its worker {holder.row.name} has given no sign of life for {span(holder.silence)}; unless it "
        f"does, the task is rescued in {span(holder.lost_in)}.",
    )


def _of_body(task: TrackedTask, holder: Member, now: datetime) -> Finding:
    where = f"{holder.row.name} (process {holder.row.pid} on {holder.row.host})"
    if task.state == State.STARTED and task.started_at:
        label = f" as {task.label}" if task.label else ""
        ran = span(max(timedelta(0), now - task.started_at))
        return good(
            "runs", f"It has been running{label} for {ran} on {where}, attempt {task.attempt}."
        )
    since = max(timedelta(0), now - max(task.run_after, task.changed_at))
    text = f"{where} has claimed it; it has not begun for {span(since)}."
    if since < _SOON:
        return good("claimed", text)
    return warning(
        "claimed_not_begun",
        text,
        "Its worker may be busy or stuck; what waits behind long bodies goes back.",
    )


def _of_progress(task: TrackedTask, now: datetime) -> Iterator[Finding]:
    progress = task.shown_progress if task.state == State.STARTED else None
    if progress is None:
        return
    told = span(max(timedelta(0), now - progress.updated_at))
    done = "" if progress.current is None else amount(progress.current)
    total = "" if progress.total is None else f" of {amount(progress.total)}"
    left = progress.eta(now)
    eta = f", {span(left)} left at this speed" if left else ""
    message = f" “{progress.message}”" if progress.message else ""
    yield note("progress", f"Last progress {told} ago: {done}{total}{message}{eta}.")


def _of_limit(vendor: Vendor, task: TrackedTask, now: datetime) -> Iterator[Finding]:
    if task.started_at is None or task.state != State.STARTED:
        return
    set_since = TaskLimits.objects.using(vendor.using).filter(name=task.name, timed=True).first()
    seconds = task.time_limit if set_since is None else set_since.time_limit
    if seconds is None:
        return
    left = task.started_at + timedelta(seconds=seconds) - now
    limit = period(timedelta(seconds=seconds))
    if left > timedelta(0):
        yield note("time_limit", f"Its time limit of {limit} is reached in {span(left)}.")
    else:
        yield warning("over_time_limit", f"It runs {span(-left)} beyond its time limit of {limit}.")


def _of_wish(task: TrackedTask, now: datetime, holder: Member | None) -> Iterator[Finding]:
    if task.revoke_requested_at is None:
        return
    wish = task.revoke_request or {}
    who, reason = wish.get("actor") or "Somebody", wish.get("reason")
    text = f"{who} asked {span(max(timedelta(0), now - task.revoke_requested_at))} ago that it ends"
    text += f" ({reason})." if reason else "."
    kills = wish.get("signal") and holder is not None and holder.row.can_terminate
    hint = (
        f"Its process is being ended by {wish['signal']}."
        if kills
        else "It ends at its next checkpoint or progress report, if it has one; "
        "revoke --terminate kills its process, where its worker's pool can."
    )
    yield note("revoke_requested", text, hint)
