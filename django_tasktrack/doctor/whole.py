"""What is wrong with the whole: its database, its workers, its queues, what failed lately."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from ..models import Goal, TrackedTask
from ..overview.fleet import Member, fleet, served_queues
from ..overview.lately import failure_kinds, lately
from ..overview.queues import QueueFigures, queue_figures
from ..purge import book_of, ended, going
from ..states import FINAL, Stage, State
from ..sweeping import place_of
from ..vendors import Vendor
from ..words import period, span
from .database import of_database
from .findings import Finding, Level, good, listed, note, problem, warning
from .limited import paused
from .waiting import PATIENCE, unknown_name, unserved_queue

#: What failed in so long a time is told.
WINDOW = timedelta(hours=1)
_DAY = timedelta(days=1)
#: Of what ended by itself, so large a share of failures is worth a warning, where there are as many ends.
_SHARE, _ENDS = 0.25, 20
#: What should have gone before is told of: much longer than workers take to come round.
LATE = timedelta(days=2)
#: Rows that a look for odd ones reads.
_LOOK = 1_000
_TOLD = 5


def examine(vendor: Vendor) -> list[Finding]:
    """All that is worth telling of the whole, part by part.

    A database that lacks migrations is told of first and alone: nothing else can be asked then.
    """
    found = list(of_database(vendor))
    if any(finding.code == "migrations_lacking" for finding in found):
        return found
    now = vendor.now()
    workers, queues = fleet(vendor, now, gone=True), queue_figures(vendor, now)
    return [
        *found,
        *_of_workers(workers, queues, now),
        *_of_queues(workers, queues),
        *_of_held(vendor, workers),
        *_of_overdue(vendor, workers, now),
        *_of_gone_claims(vendor, workers),
        *_of_wishes(vendor, now),
        *_of_goals(vendor, now),
        *_of_failures(vendor, now),
        *_of_retention(vendor, now),
    ]


# Workers


def _of_workers(
    workers: Sequence[Member], queues: Sequence[QueueFigures], now: datetime
) -> Iterator[Finding]:
    living = [member for member in workers if member.lives]
    if not living:
        waiting = sum(queue.due + queue.held + queue.claimed for queue in queues)
        text = f"No worker lives, and {waiting:,} tasks wait." if waiting else "No worker lives."
        made = problem if waiting else warning
        yield made("no_worker", text, "Start one: manage.py worker")
    else:
        places = sum(member.row.concurrency for member in living)
        busy = sum(member.busy for member in living)
        s = "s" if len(living) > 1 else ""
        yield good(
            "workers",
            f"{len(living)} worker{s} live{'' if s else 's'}: {busy} of {places} places are taken.",
        )
    yield from _of_silent(workers)
    yield from _of_versions(living)
    recently = [m.row.name for m in workers if m.row.lost_at and now - m.row.lost_at < _DAY]
    if recently:
        yield warning(
            "workers_lost",
            f"Workers that were lost in the last day, {len(recently)} of the latest: {listed(recently)}.",
            "They were killed, or silent for a lease: out of memory, frozen, or far from the database.",
        )


def _of_silent(workers: Sequence[Member]) -> Iterator[Finding]:
    for member in workers:
        if member.condition != "silent":
            continue
        silent = f"{member.row.name} has given no sign of life for {span(member.silence)}"
        if member.lives:
            yield warning(
                "worker_silent", f"{silent}; its tasks are rescued in {span(member.lost_in)}."
            )
        else:
            hint = "A living worker does that within a second or so."
            yield warning("worker_gone", f"{silent}, and nobody has marked it lost yet.", hint)


def _of_versions(living: Sequence[Member]) -> Iterator[Finding]:
    versions = {member.row.version for member in living}
    if len(versions) > 1:
        yield warning(
            "versions_differ",
            f"Living workers run different versions of django-tasktrack: {listed(sorted(versions))}.",
            "Restart those that were left out of the last deploy.",
        )
    known = {frozenset(member.row.known_tasks) for member in living}
    if len(known) > 1:
        odd = sorted(frozenset.union(*known) - frozenset.intersection(*known))
        yield note(
            "known_tasks_differ",
            f"Not every living worker knows the same tasks: {listed(odd)}.",
            "Fine during a deploy, or where workers have settings of their own; else restart the older ones.",
        )


# Queues


def _of_queues(workers: Sequence[Member], queues: Sequence[QueueFigures]) -> Iterator[Finding]:
    served, anybody = served_queues(workers), any(member.lives for member in workers)
    for queue in queues:
        if queue.paused_at is not None:
            yield paused(queue.paused_at, queue.paused_by, queue.name, _depth(queue))
            continue
        if not queue.due:
            continue
        if anybody and not any(queue.name in some for some in served):
            found = unserved_queue(queue.name, workers)
            yield problem(found.code, f"{found.text} Waiting there: {_depth(queue)}.", found.hint)
        elif queue.waited and queue.waited > timedelta(minutes=5):
            yield warning(
                "queue_late",
                f"Queue {queue.name!r} is late: {_depth(queue)} due, the oldest for {span(queue.waited)}.",
                "More workers for it, or a larger -c; `stats` shows whether it grows.",
            )
        else:
            waited = span(queue.waited or timedelta(0))
            yield good(
                "queue", f"Queue {queue.name!r}: {_depth(queue)} due, the oldest for {waited}."
            )


def _depth(queue: QueueFigures) -> str:
    more = " or more" if "due" in queue.at_least else ""
    return f"{queue.due:,}{more} task{'' if queue.due == 1 else 's'}"


def _of_held(vendor: Vendor, workers: Sequence[Member]) -> Iterator[Finding]:
    """Names that no worker knows, skipping through the index of held tasks."""
    held = TrackedTask.objects.using(vendor.using).filter(stage=Stage.HELD)
    last = ""
    for _ in range(_TOLD):
        names = held.filter(name__gt=last).order_by("name").values_list("name", flat=True)
        found = names.first()
        if found is None:
            return
        last = found
        count = held.filter(name=found).order_by("name")[: _LOOK + 1].count()
        told = unknown_name(found, [m for m in workers if m.lives])
        many = f"{min(count, _LOOK):,}{' or more' if count > _LOOK else ''}"
        yield problem(told.code, f"{told.text} Held: {many}.", told.hint)


def _of_overdue(vendor: Vendor, workers: Sequence[Member], now: datetime) -> Iterator[Finding]:
    if not any(member.lives for member in workers):
        return
    scheduled = TrackedTask.objects.using(vendor.using).filter(stage=Stage.SCHEDULED)
    first = scheduled.order_by("run_after").values_list("run_after", flat=True).first()
    if first is not None and now - first > PATIENCE:
        yield problem(
            "not_promoted",
            f"A task's time came {span(now - first)} ago, and no worker has made it due.",
            "See the log of the workers: they may have lost the database, or be stuck.",
        )


def _of_gone_claims(vendor: Vendor, workers: Sequence[Member]) -> Iterator[Finding]:
    living = [member.row.pk for member in workers if member.row.is_alive]
    claimed = TrackedTask.objects.using(vendor.using).filter(stage=Stage.CLAIMED)
    count = claimed.exclude(worker_id__in=living).order_by("worker_id")[: _LOOK + 1].count()
    if count:
        made = warning if any(member.lives for member in workers) else problem
        yield made(
            "claims_of_gone_workers",
            f"{count:,} tasks are claimed by workers that are gone; a living one gives them back.",
        )


def _of_wishes(vendor: Vendor, now: datetime) -> Iterator[Finding]:
    claimed = TrackedTask.objects.using(vendor.using).filter(stage=Stage.CLAIMED)
    asked = claimed.filter(revoke_requested_at__lt=now - timedelta(minutes=1))
    count = asked.order_by("worker_id")[: _LOOK + 1].count()
    if count:
        yield warning(
            "revokes_unanswered",
            f"{count:,} tasks run on although somebody asked them to end more than a minute ago.",
            "Their bodies have no checkpoint: revoke --terminate, on workers of the prefork pool.",
        )


# The rest


def _of_goals(vendor: Vendor, now: datetime) -> Iterator[Finding]:
    late = Goal.objects.using(vendor.using).unmet().filter(deadline__lt=now - PATIENCE)
    count = late[: _LOOK + 1].count()
    if count:
        yield problem(
            "goals_not_settled",
            f"{count:,} goals are past their deadline and still open: no worker's upkeep has come round.",
            "It runs in every worker.",
        )


def _of_failures(vendor: Vendor, now: datetime) -> Iterator[Finding]:
    ended = lately(vendor, now - WINDOW)
    failed = ended.ended[State.FAILURE]
    if not failed:
        yield good("failures", f"Nothing failed in the last {period(WINDOW)}.")
        return
    share, total = ended.failed_share or 0.0, sum(ended.ended[state] for state in FINAL)
    kinds = [
        f"{kind.count:,} × {kind.name} ({kind.error_type.rpartition('.')[2] or 'no error is told'})"
        for kind in failure_kinds(vendor, now - WINDOW)
    ]
    level = Level.WARNING if share >= _SHARE and total >= _ENDS else Level.NOTE
    yield Finding(
        "failures",
        level,
        f"{failed:,} tasks failed in the last {period(WINDOW)}, {100 * share:.0f}% of what ended: "
        f"{listed(kinds)}.",
        "manage.py tasktrack ls --state FAILURE",
    )


def _of_retention(vendor: Vendor, now: datetime) -> Iterator[Finding]:
    """Whether finished tasks pile up although their time is over."""
    book = book_of(vendor)
    for rule in book.rules():
        late = rule._replace(after=rule.after + LATE.total_seconds())
        rows = ended(vendor, late, now, place_of(vendor, book, rule)).values_list("pk", "name")
        ids = [pk for pk, name in rows[:_LOOK] if book.applies(rule, name)]
        first = going(vendor, late, now, ids).order_by("finished_at").first() if ids else None
        if first is not None and first.finished_at is not None:
            what = "values" if rule.values else "tasks"
            yield warning(
                "retention_late",
                f"Retention falls behind: a {rule.state} ended {span(now - first.finished_at)} ago, and such "
                f"{what} are kept for {period(timedelta(seconds=rule.after))}.",
                "Workers see to it while they run; at once: manage.py tasktrack purge",
            )
