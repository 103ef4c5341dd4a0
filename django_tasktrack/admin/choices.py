"""Which queues and task names a filter offers, without a DISTINCT over the table of tasks."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest

from .. import registry
from ..conf import config
from ..models import Goal, TrackedTask, Worker

#: Newest rows that are looked at: a name that neither worker nor process knows is seen here.
SAMPLE = 1_000
_WORKERS = 200


@dataclass(frozen=True, slots=True)
class Known:
    """What can be chosen, sorted."""

    queues: list[str]
    names: list[str]
    workers: list[tuple[int, str]]


def known(request: HttpRequest) -> Known:
    """The choices, read once a request."""
    cached: Known | None = getattr(request, "_tasktrack_known", None)
    if cached is None:
        cached = _read()
        request._tasktrack_known = cached  # type: ignore[attr-defined]
    return cached


def _read() -> Known:
    names, queues = set(registry.names()), {config().DEFAULT_QUEUE}
    queues |= {queue for name in names if (queue := registry.get(name).queue)}
    workers = []
    rows = Worker.objects.order_by("-heartbeat_at")
    for pk, name, serves, knows in rows.values_list("pk", "name", "queues", "known_tasks")[
        :_WORKERS
    ]:
        workers.append((pk, name))
        queues.update(serves)
        names.update(knows)
    newest = TrackedTask.objects.order_by("-pk").values_list("queue", "name")
    for queue, name in newest[:SAMPLE]:
        queues.add(queue)
        names.add(name)
    return Known(sorted(queues), sorted(names), workers)


def goal_kinds() -> list[str]:
    """Kinds of the newest goals."""
    return sorted(set(Goal.objects.order_by("-pk").values_list("kind", flat=True)[:SAMPLE]))
