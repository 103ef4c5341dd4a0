"""A worker is asked, through its row, to run more or fewer tasks at once, or to serve other queues."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from django.db import transaction
from django.db.models import F

from .exceptions import InvalidTask
from .models import Worker
from .pools import POOLS
from .served import Served
from .vendors import Vendor


class Wish(NamedTuple):
    """What a worker is to become.

    Attributes:
        concurrency: tasks that it runs at once.
        served: the queues that it takes tasks from.
        number: of the request, counted on its row; 0 for what was never asked for.
    """

    concurrency: int
    served: Served
    number: int = 0


def wish_of(row: Worker) -> Wish:
    """What was asked of a worker last; what it is, where nothing is open."""
    if not row.is_asked_to_change:
        return Wish(row.concurrency, row.served, row.requests_met)
    concurrency = row.concurrency if row.wanted_concurrency is None else row.wanted_concurrency
    asked = row.wanted_queues
    served = row.served if asked is None else Served(tuple(asked["only"]), tuple(asked["excluded"]))
    return Wish(concurrency, served, row.requests_made)


def columns_of(wish: Wish) -> dict[str, object]:
    """The columns that hold an open request."""
    return {
        "wanted_concurrency": wish.concurrency,
        "wanted_queues": {"only": wish.served.only, "excluded": wish.served.excluded},
    }


def ask_to_change(
    vendor: Vendor, worker_id: int, decide: Callable[[Wish], Wish]
) -> tuple[Wish, Wish] | None:
    """Ask a worker to change; it hears of it at its next sign of life.

    Requests add up: each begins with what the one before has asked for, heard of or not. One that asks for
    nothing new is not written.

    Args:
        vendor: of the database that holds the worker.
        worker_id: which one.
        decide: from what it is, or is to become, what it shall become; may refuse by raising.

    Returns:
        What was given to ``decide``, and what is asked for now. None: the worker does not count as alive.
    """
    with transaction.atomic(using=vendor.using):
        living = Worker.objects.using(vendor.using).filter(pk=worker_id).alive()
        row = vendor.locked(living).first()
        if row is None:
            return None
        before = wish_of(row)
        wanted = decide(before)
        if wanted != before:
            wanted = wanted._replace(number=row.requests_made + 1)
            living.update(requests_made=F("requests_made") + 1, **columns_of(wanted))
        return before, wanted


def resized(row: Worker, before: Wish, concurrency: int) -> Wish:
    """To run so many tasks at once.

    Raises:
        InvalidTask: its pool cannot, or nothing could run.
    """
    pool = POOLS.get(row.pool)
    if pool is None or not pool.can_resize:
        raise InvalidTask(
            f"{row.name} has the pool {row.pool!r}, which cannot grow or shrink.",
            hint="Start another worker, or one with another pool (-P).",
        )
    if concurrency < 1:
        raise InvalidTask(
            f"{row.name} would run {concurrency} tasks at once; one is the least.",
            hint="To have it take no more: manage.py tasktrack shutdown",
        )
    return before._replace(concurrency=concurrency)


def adding(before: Wish, queues: Iterable[str]) -> Wish:
    """To serve these queues as well."""
    return before._replace(served=before.served.adding(queues))


def dropping(row: Worker, before: Wish, queues: Iterable[str]) -> Wish:
    """To serve these queues no more.

    Raises:
        InvalidTask: it would serve none.
    """
    try:
        return before._replace(served=before.served.dropping(queues))
    except InvalidTask:
        raise InvalidTask(
            f"{row.name} serves {before.served}: no queue would be left.",
            hint="Add another one first, or end it: manage.py tasktrack shutdown",
        ) from None
