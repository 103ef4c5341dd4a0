"""From a call of a task to its row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol
from uuid import UUID

from django.db import IntegrityError, transaction

from . import checked, routing, transitions
from .changes import NewLink, NewTask
from .conf import config
from .context import current
from .exceptions import DuplicateTaskId, InvalidTask
from .ids import new_id, required_id
from .models import TrackedTask
from .payloads import encode
from .registry import Definition
from .vendors import task_database, vendor_for


@dataclass(frozen=True, slots=True)
class Options:
    """How one enqueue differs from what its task declares. Durations are seconds or ``timedelta``.

    Args:
        countdown: run no earlier than so long after the commit's clock.
        eta: run no earlier than this time; not together with ``countdown``.
        expires: a duration or a time after which it must not start any more.
        queue: where to put it.
        priority: -100 to 100, larger first.
        task_id: a UUID of the caller's.
        owner: a user, or a string that names one.
        actor: who enqueues, for history.
        time_limit, soft_time_limit: durations, instead of the task's own.
        unique_key: what no two unfinished tasks may share, instead of the task's own.
        concurrency: a key, and how many of its tasks run at once, instead of the task's own.
        headers: JSON values that the running task finds in its request.
        ignore_result: drop the value that it returns, instead of what the task says.
    """

    countdown: float | timedelta | None = None
    eta: datetime | None = None
    expires: float | timedelta | datetime | None = None
    queue: str | None = None
    priority: int | None = None
    task_id: UUID | str | None = None
    owner: object = None
    actor: str = ""
    time_limit: float | timedelta | None = None
    soft_time_limit: float | timedelta | None = None
    unique_key: str | None = None
    concurrency: tuple[str, int] | None = None
    headers: Mapping[str, Any] | None = None
    ignore_result: bool | None = None
    goal_id: int | None = None


class Prepare(Protocol):
    """Makes the row to insert of a call's arguments."""

    def __call__(
        self,
        args: Sequence[Any] | None,
        kwargs: Mapping[str, Any] | None,
        /,
        *,
        awaited: int = 0,
    ) -> NewTask:
        """The row.

        Args:
            args, kwargs: of the call.
            awaited: how many more arguments will come before these.
        """
        ...


def preparing(definition: Definition, options: Options) -> Prepare:
    """What makes the rows to insert for calls of a task, all with these options.

    Returns:
        A function of ``args`` and ``kwargs``. It raises TypeError where they do not fit the task's signature,
        or are no list and dict, and PayloadError where one of them cannot be carried.

    Raises:
        InvalidTask: an option has a value that it cannot have.
    """
    shared = _without_arguments(definition, options)
    serialize, place = definition.serialize(), routing.by_arguments(definition, options)
    own_id = None if options.task_id is None else required_id(options.task_id)
    limited = _concurrency(definition, options)

    def of_call(
        args: Sequence[Any] | None,
        kwargs: Mapping[str, Any] | None,
        *,
        awaited: int = 0,
    ) -> NewTask:
        try:
            args, kwargs = checked.call(args, kwargs)
            definition.check_call([*[None] * awaited, *args] if awaited else args, kwargs)
        except TypeError as error:
            raise TypeError(f"{definition.name}: {error}") from None
        new = shared._replace(
            task_id=own_id or new_id(),
            args=serialize(list(args), "args"),
            kwargs=serialize(dict(kwargs), "kwargs") if kwargs else "{}",
            unique_key=_unique_key(definition, args, kwargs, options.unique_key, whole=not awaited),
        )
        if limited is not None:
            given, at_once = limited
            key = _concurrency_key(definition, given, args, kwargs, awaited)
            if key is not None:
                new = new._replace(concurrency_key=key, concurrency_limit=at_once)
        return new if place is None else place(new, args, kwargs)

    return of_call


def prepare(
    definition: Definition,
    args: Sequence[Any] | None,
    kwargs: Mapping[str, Any] | None,
    options: Options,
) -> NewTask:
    """The row to insert for one call of a task; it raises what ``preparing`` and its function do."""
    return preparing(definition, options)(args, kwargs)


def _without_arguments(definition: Definition, options: Options) -> NewTask:
    expires_in, expires_at = _expiry(options.expires)
    max_retries = definition.retry.max_retries
    context = current()
    running = context.claim if context else None
    queue, priority = routing.by_name(definition, options)
    return NewTask(
        task_id=UUID(int=0),
        name=definition.name,
        args="[]",
        kwargs="{}",
        queue=queue,
        priority=priority,
        max_attempts=None if max_retries is None else max_retries + 1,
        delay=_countdown(options),
        run_after=None if options.eta is None else checked.aware(options.eta, "eta"),
        expires_in=expires_in,
        expires_at=expires_at,
        owner=checked.owner_key(options.owner),
        actor=options.actor,
        goal_id=options.goal_id,
        time_limit=_limit(options.time_limit, definition.time_limit, "time_limit"),
        soft_time_limit=_limit(
            options.soft_time_limit, definition.soft_time_limit, "soft_time_limit"
        ),
        rerun_if_lost=definition.rerun_if_lost,
        ignore_result=definition.drops_value(options.ignore_result),
        root_id=running and (running.root_id or running.task_id),
        parent_id=running and running.task_id,
        headers=None if options.headers is None else encode(dict(options.headers), "headers"),
    )


def insert(
    tasks: Sequence[NewTask], links: Sequence[NewLink] = (), *, own_ids: bool = False
) -> dict[UUID, UUID]:
    """Insert prepared tasks in the caller's transaction.

    Where a router keeps them apart from the business data, and the caller's transaction is one of the
    business data's alone, they are inserted right after its commit; rolled back, they never were.

    Args:
        tasks: all or none of them.
        links: what follows the end of which of them.
        own_ids: the caller chose ids, so one of them may exist.

    Returns:
        For tasks that were not inserted because an unfinished one has their unique key, its id. Those
        that wait for a commit of the business data are not among them: nobody knows yet.

    Raises:
        DuplicateTaskId: one does. The caller's transaction stays usable. After a commit of the business
            data it comes from there, when that can no longer be taken back.
        TransactionManagementError: the business data's transaction is one without autocommit, whose commit
            cannot be followed.
    """
    using, business = task_database(), config().BUSINESS_DATABASE
    write = partial(_insert, tasks, links, own_ids=own_ids, using=using)
    if vendor_for(business).in_transaction and not vendor_for(using).in_transaction:
        transaction.on_commit(write, using=business)
        return {}
    return write()


def _insert(
    tasks: Sequence[NewTask], links: Sequence[NewLink], *, own_ids: bool, using: str
) -> dict[UUID, UUID]:
    if not own_ids:
        return transitions.enqueue(tasks, links, using=using)
    try:
        # Inside a transaction it gets a savepoint, because the insert may fail.
        return transitions.whole(
            vendor_for(using), lambda: transitions.enqueue(tasks, links, using=using)
        )
    except IntegrityError:
        raise DuplicateTaskId(
            f"A task with id {_existing(tasks, using)} exists.",
            hint="Choose another task_id, or leave it out.",
        ) from None


def _existing(tasks: Sequence[NewTask], using: str) -> UUID:
    """The first of these that is there."""
    if len(tasks) == 1:
        return tasks[0].task_id
    known = TrackedTask.objects.using(using).many(task.task_id for task in tasks)
    return known.order_by("pk").values_list("pk", flat=True).first() or tasks[0].task_id


def _unique_key(
    definition: Definition,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    given: str | None,
    *,
    whole: bool,
) -> str | None:
    """The key of this call, or else the one that its task makes of its arguments.

    Args:
        definition: of the task.
        args, kwargs: of the call.
        given: with the call.
        whole: whether all arguments are known.
    """
    key = given
    if key is None and whole and definition.unique_key is not None:
        key = definition.unique_key(*args, **kwargs)
    return None if key is None else checked.word(key, f"unique_key of {definition.name}", 255)


def _concurrency(
    definition: Definition, options: Options
) -> tuple[str | Callable[..., str | None], int] | None:
    """The concurrency key of the calls, or what makes it, and how many of its tasks run at once."""
    if options.concurrency is None:
        return definition.concurrency
    return checked.concurrency(options.concurrency)


def _concurrency_key(
    definition: Definition,
    given: str | Callable[..., str | None],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    awaited: int,
) -> str | None:
    """The concurrency key of a call, as it was given or made of its arguments.

    Raises:
        InvalidTask: they are not known yet, or it is no key.
    """
    if isinstance(given, str):
        return given
    what = f"concurrency of {definition.name}"
    if awaited:
        raise InvalidTask(
            f"{what}: its key is made of arguments that are not known yet.",
            hint='Give the step a key of its own: .set(concurrency=("key", 2)).',
        )
    key = given(*args, **kwargs)
    return None if key is None else checked.word(key, what, 255)


def _limit(given: object, own: float | None, what: str) -> float | None:
    return own if given is None else checked.time_limit(given, what)


def _countdown(options: Options) -> float:
    if options.countdown is None:
        return 0.0
    if options.eta is not None:
        raise InvalidTask("countdown and eta are both given.", hint="Give one of them.")
    return max(0.0, checked.seconds(options.countdown, "countdown"))


def _expiry(expires: object) -> tuple[float | None, datetime | None]:
    if expires is None:
        return None, None
    if isinstance(expires, datetime):
        return None, checked.aware(expires, "expires")
    return checked.seconds(expires, "expires"), None
