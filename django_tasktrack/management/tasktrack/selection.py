"""Which tasks a verb is about: ids, or what they have in common."""

from __future__ import annotations

import heapq
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from ... import ids, registry
from ...exceptions import InvalidTask, nearest
from ...models import TrackedTask, Worker
from ...querysets import TaskQuerySet
from ...states import FINAL, Stage, State
from ...vendors import Vendor
from . import arguments
from .verb import Nothing, Options

#: Stages of what has not ended; each has an index of its own.
_UNFINISHED = (Stage.CLAIMED, Stage.DUE, Stage.GATED, Stage.SCHEDULED, Stage.HELD)
#: Incarnations of one worker that are looked for.
_INCARNATIONS = 500
_FILTERS = ("name", "queue", "owner", "worker", "since")


def add_filters(parser: ArgumentParser, *, states: bool = False) -> None:
    """What tasks may have in common."""
    if states:
        parser.add_argument(
            "--state",
            action="append",
            type=arguments.state,
            metavar="STATE",
            help="may be repeated; any of them",
        )
    parser.add_argument("--queue", metavar="QUEUE")
    parser.add_argument("--name", metavar="TASK", help="of the task; its last part will do")
    parser.add_argument("--owner", metavar="OWNER")
    parser.add_argument("--worker", metavar="WORKER", help="name or number")
    parser.add_argument(
        "--since",
        type=arguments.moment,
        metavar="WHEN",
        help="enqueued since: 90m, 12h, 7d, or a time such as 2026-05-01T12:00",
    )


def add_ids(parser: ArgumentParser, many: str = "+") -> None:
    parser.add_argument(
        "ids", nargs=many, metavar="ID", help="of a task; its first eight digits or more will do"
    )


def has_filter(options: Options) -> bool:
    return any(options[name] is not None for name in _FILTERS)


def chosen(vendor: Vendor, options: Options) -> TaskQuerySet:
    """The tasks that every filter fits, of any state."""
    tasks: TaskQuerySet = TrackedTask.objects.using(vendor.using).all()
    if options["queue"] is not None:
        tasks = tasks.for_queue(options["queue"])
    if options["name"] is not None:
        tasks = tasks.named([full_name(vendor, options["name"])])
    if options["owner"] is not None:
        tasks = tasks.owned_by(options["owner"])
    if options["worker"] is not None:
        tasks = tasks.filter(worker_id__in=worker_ids(vendor, options["worker"]))
    if options["since"] is not None:
        tasks = tasks.created_since(_moment(vendor, options["since"]))
    return tasks


def newest(tasks: TaskQuerySet, states: Sequence[str] | None, limit: int) -> list[TrackedTask]:
    """The newest of these tasks; of rare states each is asked for by an index of its own."""
    found = [part.order_by("-pk")[:limit] for part in _parts(tasks, states)]
    merged = heapq.merge(*found, key=lambda task: task.pk, reverse=True)
    return list(islice(merged, limit))


def _parts(tasks: TaskQuerySet, states: Sequence[str] | None) -> Iterator[TaskQuerySet]:
    for state in dict.fromkeys(states or ()):
        if state in FINAL or state == State.STARTED:
            yield tasks.in_state(state)
        else:
            yield from (tasks.filter(stage=stage, state=state) for stage in _UNFINISHED)
    if not states:
        yield tasks


def unfinished_ids(tasks: TaskQuerySet) -> list[UUID]:
    """The tasks that have not ended, stage by stage, by the indexes of the stages."""
    return [
        pk for stage in _UNFINISHED for pk in tasks.filter(stage=stage).values_list("pk", flat=True)
    ]


# Ids


def one_id(vendor: Vendor, text: str) -> UUID:
    """The id that a text means, be there such a task or not.

    Raises:
        InvalidTask: it is no id, or the beginning of several.
        Nothing: it is the beginning of none.
    """
    bounds = ids.bounds(text)
    if bounds is None:
        raise InvalidTask(
            f"{text!r} is no id.", hint="32 hexadecimal digits; the first eight or more will do."
        )
    first, last = bounds
    if first == last:
        return first
    tasks = TrackedTask.objects.using(vendor.using).filter(pk__range=bounds)
    found = list(tasks.order_by("pk").values_list("pk", flat=True)[:6])
    if len(found) == 1:
        return found[0]
    if not found:
        raise Nothing(f"No task's id begins with {text!r}.", hint="manage.py tasktrack ls")
    listed = ", ".join(str(pk) for pk in found[:5]) + (", ..." if len(found) > 5 else "")
    raise InvalidTask(f"{text!r} begins more than one id: {listed}", hint="Give more digits.")


def all_ids(vendor: Vendor, texts: Iterable[str]) -> list[UUID]:
    """As ``one_id``, each once."""
    return list(dict.fromkeys(one_id(vendor, text) for text in texts))


def with_relations(vendor: Vendor, task_id: UUID, *without: str) -> TrackedTask | None:
    """A task with its worker, progress and goal; ``without`` some of its columns."""
    tasks = TrackedTask.objects.using(vendor.using).select_related("worker", "progress", "goal")
    return tasks.defer(*without).filter(pk=task_id).first()


# Names


def full_name(vendor: Vendor, text: str) -> str:
    """The task's name that a text means: itself, or the one known name that ends with it.

    Raises:
        InvalidTask: several do.
    """
    known = known_names(vendor)
    if text in known:
        return text
    ending = sorted(name for name in known if name.endswith(f".{text}"))
    if len(ending) > 1:
        raise InvalidTask(
            f"{text!r} may be {' or '.join(ending[:5])}.", hint="Write the whole name."
        )
    return ending[0] if ending else text


def known_names(vendor: Vendor) -> set[str]:
    """The tasks that this process or a living worker knows."""
    alive = Worker.objects.using(vendor.using).alive()
    return set(registry.names()).union(*alive.values_list("known_tasks", flat=True))


def why_nothing(vendor: Vendor, options: Options) -> str:
    """Why the filters may fit no task: a name that nobody knows."""
    name = options["name"]
    if name is None or full_name(vendor, name) in (known := known_names(vendor)):
        return ""
    return f"No task is known as {name!r} here. {nearest(name, known)}"


def worker_ids(vendor: Vendor, text: str) -> list[int]:
    """The rows of the workers with this name, or the one with this number.

    Raises:
        Nothing: there is none.
    """
    workers: Any = Worker.objects.using(vendor.using)
    if text.isascii() and text.isdigit() and len(text) < 19:
        found = workers.filter(pk=int(text))
    else:
        found = workers.filter(name=text)
    numbers = list(found.order_by("-pk").values_list("pk", flat=True)[:_INCARNATIONS])
    if not numbers:
        names = set(workers.order_by("-pk").values_list("name", flat=True)[:_INCARNATIONS])
        raise Nothing(f"No worker is called {text!r}.", hint=nearest(text, names))
    return numbers


def _moment(vendor: Vendor, given: timedelta | datetime) -> datetime:
    return vendor.now() - given if isinstance(given, timedelta) else given
