"""Why a task that nobody has claimed waits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from ..conf import config
from ..exceptions import nearest
from ..models import Link, TrackedTask
from ..overview.fleet import Member, known_names, served_queues
from ..overview.queues import ahead_in_queue
from ..states import Stage, State
from ..vendors import Vendor
from ..words import clock, span
from .findings import Finding, good, listed, note, problem

#: A worker looks about once a second: what it has not done for so long, it will hardly do.
PATIENCE = timedelta(seconds=15)
#: So many tasks that one waits for are named.
_SHOWN = 3


def of_scheduled(task: TrackedTask, fleet: Sequence[Member], now: datetime) -> Iterator[Finding]:
    """Its time has not come, or nobody has noticed that it has."""
    left = task.run_after - now
    if left > timedelta(0):
        what = "Its next attempt" if task.state == State.RETRY else "It"
        yield good(
            "scheduled", f"{what} runs no earlier than in {span(left)}, at {clock(task.run_after)}."
        )
        yield from of_nobody(task, fleet)
        return
    found = list(of_nobody(task, fleet))
    yield from found
    if not found:
        since = f"Its time came {span(-left)} ago; a worker makes it due within a second or so."
        late = -left > PATIENCE
        yield problem("not_promoted", since, _SEE_LOG) if late else good("becoming_due", since)


def of_held(task: TrackedTask, fleet: Sequence[Member]) -> Iterator[Finding]:
    """No worker knew its name when it was looked at."""
    if task.name in known_names(fleet):
        within = span(timedelta(seconds=config().MAINTENANCE))
        yield good(
            "released_soon",
            f"It was held because no worker knew {task.name!r}; one does now, and releases it within "
            f"{within} or so.",
        )
        return
    yield unknown_name(task.name, fleet) if _takers(fleet) else _nobody(fleet)


def of_blocked(vendor: Vendor, task: TrackedTask) -> Iterator[Finding]:
    """It is a step of a canvas."""
    links = Link.objects.using(vendor.using).filter(successor=task, state=Link.State.OPEN)
    waited_for = [
        link.task for link in links.select_related("task").order_by("place")[: _SHOWN + 1]
    ]
    if not waited_for:
        yield problem(
            "not_released", "It waits for no task any more, and was not released.", _SEE_LOG
        )
        return
    shown = [f"{other.pk} ({other.name}, {other.shown_state})" for other in waited_for[:_SHOWN]]
    more = " and others" if len(waited_for) > _SHOWN else ""
    yield good("blocked", f"It runs when these have succeeded: {listed(shown)}{more}.")
    if any(other.stage == Stage.DONE for other in waited_for):
        yield note(
            "followed_up_soon",
            "One of them has ended, and its end has not been followed up yet.",
            "Upkeep does so within half a minute or so.",
        )


def of_due(
    vendor: Vendor, task: TrackedTask, fleet: Sequence[Member], now: datetime
) -> Iterator[Finding]:
    """It could run now."""
    waited = f"It has been due for {span(max(timedelta(0), now - task.run_after))}"
    found = list(of_nobody(task, fleet))
    if found:
        yield from found
        yield note("due", f"{waited}.")
        return
    able = [m for m in fleet if m.takes_more and m.serves(task.queue) and m.knows(task.name)]
    ahead, more = ahead_in_queue(vendor, task)
    if ahead:
        count = f"{'more than ' if more else ''}{ahead:,} other{'s' if ahead > 1 else ''}"
        hint = "Raise its priority, or give the queue more workers." if ahead > _MANY else ""
        where = f"{waited}, behind {count} in queue {task.queue!r} that came earlier or have more priority."
        yield note("behind_others", where, hint)
    else:
        yield note("next", f"{waited}; it is the next one of queue {task.queue!r}.")
    yield _of_capacity(able)
    if not ahead and now - task.run_after > PATIENCE and not _are_full(able):
        yield problem(
            "not_claimed",
            f"{listed(m.row.name for m in able)} could take it and did not for {span(now - task.run_after)}.",
            _SEE_LOG,
        )


_MANY = 100
_SEE_LOG = "See the log of the workers: they may have lost the database, or be stuck."


def _of_capacity(able: Sequence[Member]) -> Finding:
    busy, places = sum(m.busy for m in able), sum(m.row.concurrency for m in able)
    who = listed(m.row.name for m in able)
    if _are_full(able):
        return note(
            "workers_busy",
            f"All {places} places of the workers that can take it are taken ({who}).",
            "Run another worker for its queue, or raise -c.",
        )
    return good("workers_free", f"{who} can take it: {busy} of {places} places are taken.")


def _are_full(able: Sequence[Member]) -> bool:
    return all(member.busy == member.row.concurrency for member in able)


def of_nobody(task: TrackedTask, fleet: Sequence[Member]) -> Iterator[Finding]:
    """That no worker could run it, for the first reason of all."""
    takers = _takers(fleet)
    serving = [member for member in takers if member.serves(task.queue)]
    if not takers:
        yield _nobody(fleet)
    elif not serving:
        yield unserved_queue(task.queue, fleet)
    elif not any(member.knows(task.name) for member in serving):
        yield unknown_name(task.name, serving)


def _takers(fleet: Sequence[Member]) -> list[Member]:
    return [member for member in fleet if member.takes_more]


def _nobody(fleet: Sequence[Member]) -> Finding:
    if any(member.lives for member in fleet):
        text = "Every worker that lives was asked to end, and takes no more tasks."
        return problem("workers_ending", text, "Start another one: manage.py worker")
    return problem("no_worker", "No worker lives.", "Start one: manage.py worker")


def unserved_queue(queue: str, fleet: Sequence[Member]) -> Finding:
    """No living worker takes tasks from a queue."""
    served = served_queues(fleet)
    return problem(
        "queue_unserved",
        f"No living worker serves queue {queue!r}. Served: {listed(map(str, served), 10)}.",
        f"manage.py worker -Q {queue}, or a worker without -Q and -X, which takes all queues; a worker that "
        f"runs can be given it: manage.py tasktrack queues WORKER add {queue}",
    )


def unknown_name(name: str, serving: Sequence[Member]) -> Finding:
    """Of the workers that serve its queue, none knows a task of this name."""
    living = [member for member in serving if member.lives]
    versions = sorted({member.row.version or "unknown" for member in living})
    since = min((member.row.started_at for member in living), default=None)
    started = f"; the oldest was started at {clock(since)}" if since else ""
    running = f"They run version {listed(versions)} of django-tasktrack{started}."
    return problem(
        "name_unknown",
        f"No living worker of its queue knows a task named {name!r}. {running}",
        f"{nearest(name, known_names(living))} Restart workers that were started before it was "
        "written; a task that was renamed is not found under its old name.",
    )
