"""What users write: ``@task``, and what the decorated function can do."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from functools import partial, update_wrapper
from typing import TYPE_CHECKING, Any, Generic, Literal, Never, ParamSpec, TypeVar, overload
from uuid import UUID

from . import checked, eager, hooks, registry
from .bound import Bound
from .conf import config
from .eager import EagerResult
from .enqueue import Options, insert, prepare, preparing
from .exceptions import InvalidTask
from .hooks import Hooks
from .registry import Definition
from .result import AsyncResult
from .task_options import OPTION_NAMES, UNSET, TaskOptions
from .taskclass import TaskType, on_class

if TYPE_CHECKING:
    from .canvas import Signature, chunks

P = ParamSpec("P")
R = TypeVar("R")

Call = tuple[Sequence[Any], Mapping[str, Any]]


class Task(Bound, Hooks, Generic[P, R], metaclass=TaskType):
    """What workers can run. Calling it runs it here and now, as a plain function.

    Made by ``@task``, or by deriving a class with ``run()``; inside of it, it is ``self``. Options are
    attributes of the class then, under the names that ``@task`` gives them.

    Attributes:
        name: by which rows call it.
        run: the body.
    """

    run: Callable[..., R]

    def _declare_class(self) -> None:
        """Be the task that this instance's class is."""
        kind = type(self)
        path = f"{kind.__module__}.{kind.__qualname__}"
        _check_body(kind.run)
        own = {"name": vars(kind)["name"]} if "name" in vars(kind) else {}
        vars(self).setdefault("__name__", kind.__name__)
        self._declare(path, TaskOptions(**{**_options_on(self), **own}))

    @classmethod
    def _of_function(cls, function: Callable[..., R], options: dict[str, Any]) -> Task[..., R]:
        """The task that a decorated function is: an instance of its own of this class."""
        _check_body(function)
        one: Task[..., R] = cls.make()
        given = TaskOptions(**{**_options_on(one), **options})
        update_wrapper(one, function)
        one.run = partial(function, one) if given.bind else function
        one._declare(f"{function.__module__}.{function.__qualname__}", given)
        return one

    def _declare(self, path: str, options: TaskOptions) -> None:
        self.name = checked.task_name(path if options.name is None else options.name)
        options = options.annotated(self.name)
        retry = options.retry_policy()
        self._definition = Definition(
            name=self.name,
            aliases=options.other_names(),
            # A ``__call__`` of its own goes around the body.
            body=self.run if type(self).__call__ is Task.__call__ else self.__call__,
            signature=_signature(self.run, path),
            origin=path,
            queue=options.queue if options.queue is None else checked.queue_name(options.queue),
            priority=options.priority
            if options.priority is None
            else checked.priority(options.priority),
            retry=retry,
            time_limit=checked.time_limit(options.time_limit, "time_limit"),
            soft_time_limit=checked.time_limit(options.soft_time_limit, "soft_time_limit"),
            rerun_if_lost=options.rerun_if_lost,
            unique_key=options.key_of_call(),
            schedule=options.schedule,
            serializer=options.serializer,
            ignore_result=options.ignore_result,
            store_errors=options.store_errors_even_if_ignored,
            rate_limit=options.rate(),
            concurrency=options.limit_of_calls(),
            throws=options.thrown(),
            task=self,
            hooks=hooks.overridden(self),
            keeps=options.keeps(),
        )
        # What code that was written for Celery reads of a task.
        said = {name: getattr(options, name) for name in OPTION_NAMES if name not in _DECORATOR_S}
        read = {name: value for name, value in said.items() if value is not UNSET}
        read |= {"max_retries": retry.max_retries, "default_retry_delay": retry.delay}
        vars(self).update(read, name=self.name)
        registry.register(self._definition)

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.run(*args, **kwargs)

    # Enqueue

    @on_class
    def delay(self, /, *args: P.args, **kwargs: P.kwargs) -> AsyncResult:
        """Enqueue a call in the current transaction: rolled back, it never was."""
        return self.apply_async(args, kwargs)

    @on_class
    def apply_async(
        self,
        /,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        countdown: float | timedelta | None = None,
        eta: datetime | None = None,
        expires: float | timedelta | datetime | None = None,
        queue: str | None = None,
        priority: int | None = None,
        task_id: UUID | str | None = None,
        owner: object = None,
        time_limit: float | timedelta | None = None,
        soft_time_limit: float | timedelta | None = None,
        unique_key: str | None = None,
        concurrency: tuple[str, int] | None = None,
        headers: Mapping[str, Any] | None = None,
        ignore_result: bool | None = None,
        link: Any = None,
        link_error: Any = None,
        **unknown: Never,
    ) -> AsyncResult:
        """Enqueue a call with options.

        Args:
            args, kwargs: the task's arguments; JSON values.
            countdown: run no earlier than so many seconds from now.
            eta: run no earlier than this time.
            expires: seconds from now, or a time, after which it must not start any more.
            queue: instead of the task's own.
            priority: -100 to 100, larger first.
            task_id: a UUID, instead of a fresh one.
            owner: a user, who may see the task over REST; or a string that names one.
            time_limit: seconds after which its process is killed, instead of the task's own.
            soft_time_limit: seconds after which ``SoftTimeLimitExceeded`` is raised in it.
            unique_key: while a task with this key waits or runs, nothing is enqueued: the result is that
                task's. Instead of the task's own.
            concurrency: a key and a number: of the tasks with this key so many run at once. Instead of the
                task's own.
            headers: JSON values that the running task finds in ``self.request.headers``.
            ignore_result: drop the value that it returns, instead of what the task says.
            link: signatures that run with its value once it has succeeded.
            link_error: signatures that run if it fails.

        Raises:
            TypeError: the arguments do not fit the task's signature, or there is no such option.
            PayloadError: one of them cannot be carried as JSON.
            InvalidTask: an option has a value that it cannot have.
            DuplicateTaskId: a task has this ``task_id``.
        """
        checked.option_names(unknown, (), CALL_OPTIONS, "apply_async()")
        given: dict[str, Any] = {
            "countdown": countdown,
            "eta": eta,
            "expires": expires,
            "queue": queue,
            "priority": priority,
            "task_id": task_id,
            "owner": owner,
            "time_limit": time_limit,
            "soft_time_limit": soft_time_limit,
            "unique_key": unique_key,
            "concurrency": concurrency,
            "headers": headers,
            "ignore_result": ignore_result,
        }
        if link is not None or link_error is not None:
            given |= {"link": link, "link_error": link_error}
            said = {name: value for name, value in given.items() if value is not None}
            result: AsyncResult = self.signature(args, kwargs, **said).apply_async()
            return result
        options = Options(**given)
        new = prepare(self._definition, args, kwargs, options)
        if config().ALWAYS_EAGER:
            return eager.run(new)
        holders = insert([new], own_ids=task_id is not None)
        return AsyncResult.enqueued(holders.get(new.task_id, new.task_id))

    @on_class
    def apply(
        self,
        /,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        throw: bool | None = None,
        retries: int = 0,
        **options: Any,
    ) -> EagerResult:
        """Run a call to its end here and now, as a worker would, but without a row.

        Retries come at once, one after the other; ``countdown``, ``eta`` and ``expires`` do not count.

        Args:
            args, kwargs: the task's arguments; JSON values.
            throw: raise what it raised in the end; by default as ``TASKTRACK["EAGER_PROPAGATES"]`` says.
            retries: as if so many had come before.
            **options: as ``apply_async`` takes them.

        Raises:
            As ``apply_async`` does for a call that could not be enqueued.
        """
        checked.option_names(options, CALL_OPTIONS, CALL_OPTIONS, "apply()")
        new = prepare(self._definition, args, kwargs, Options(**options))
        return eager.run(new, throw=throw, retries=retries)

    # Signatures

    @on_class
    def s(self, /, *args: Any, **kwargs: Any) -> Signature:
        """A signature: this task with these arguments, to be completed, combined or stored."""
        return self.signature(args, kwargs)

    @on_class
    def si(self, /, *args: Any, **kwargs: Any) -> Signature:
        """A signature that takes no value of a task before it."""
        return self.signature(args, kwargs, immutable=True)

    @on_class
    def signature(
        self,
        /,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        immutable: bool = False,
        **options: Any,
    ) -> Signature:
        """A signature with options, as ``apply_async`` takes them."""
        from .canvas import Signature  # it needs this module

        return Signature(self, args, kwargs, options, immutable=immutable)

    subtask = signature

    @on_class
    def map(self, /, it: Iterable[Any]) -> Signature:
        """One task that calls this one with each of these values."""
        from .canvas import xmap

        return xmap(self, it)

    @on_class
    def starmap(self, /, it: Iterable[Sequence[Any]]) -> Signature:
        """One task that calls this one with each of these lists of arguments."""
        from .canvas import xstarmap

        return xstarmap(self, it)

    @on_class
    def chunks(self, /, it: Iterable[Sequence[Any]], n: int) -> chunks:
        """Tasks of ``n`` calls each, all at the same time."""
        from .canvas import chunks

        return chunks(self, it, n)


#: Of calls; the other fields of ``Options`` are this package's own.
CALL_OPTIONS = tuple(
    field.name for field in fields(Options) if field.name not in ("actor", "goal_id")
)


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...


@overload
def task(
    *,
    name: str | None = ...,
    bind: bool = ...,
    queue: str | None = ...,
    priority: int = ...,
    max_retries: int | None = ...,
    default_retry_delay: float | timedelta | None = ...,
    autoretry_for: Sequence[type[BaseException]] = ...,
    dont_autoretry_for: Sequence[type[BaseException]] = ...,
    retry_backoff: bool | float = ...,
    retry_backoff_max: float = ...,
    retry_jitter: bool = ...,
    track_started: bool = ...,
    time_limit: float | timedelta | None = ...,
    soft_time_limit: float | timedelta | None = ...,
    on_lost: Literal["retry", "fail"] = ...,
    unique_key: str | Callable[..., str | None] | None = ...,
    rate_limit: str | float | None = ...,
    concurrency: tuple[str | Callable[..., str | None], int] | None = ...,
    schedule: Any = ...,
    serializer: Literal["json", "tagged"] | None = ...,
    ignore_result: bool | None = ...,
    store_errors_even_if_ignored: bool | None = ...,
    aliases: Sequence[str] = ...,
    base: type[Task[..., Any]] | None = ...,
    retry_kwargs: Mapping[str, Any] | None = ...,
    throws: Sequence[type[BaseException]] = ...,
    acks_late: bool | None = ...,
    reject_on_worker_lost: bool | None = ...,
    result_expires: float | timedelta | None = ...,
    retention: float | timedelta | None = ...,
    failure_retention: float | timedelta | None = ...,
    revoked_retention: float | timedelta | None = ...,
) -> Callable[[Callable[..., R]], Task[..., R]]: ...


def task(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a task that workers can run. Usable with and without parentheses.

    Args:
        function: what to run.
        name: by which rows call it; by default its module and name.
        aliases: names that it had before; rows that call it so are run.
        bind: pass the task itself as first argument, ``self``.
        queue: where calls go that name no queue.
        priority: -100 to 100, larger first.
        max_retries: retries after the first attempt; None for no limit. By default
            ``TASKTRACK["DEFAULT_MAX_RETRIES"]``.
        default_retry_delay: seconds before a retry that names no delay.
        autoretry_for: exception classes that are retried without ``self.retry()``.
        dont_autoretry_for: classes among them that are not.
        retry_backoff: exponential backoff; True starts at 1 second, a number at so many.
        retry_backoff_max: its longest delay in seconds.
        retry_jitter: choose each delay at random between zero and the backoff.
        track_started: accepted as Celery's; every start is tracked anyway.
        time_limit: seconds after which the process that runs it is killed, and it ends in FAILURE.
        soft_time_limit: seconds after which ``SoftTimeLimitExceeded`` is raised in it.
        on_lost: what becomes of it when its worker dies: "retry" runs it again (at least once), "fail"
            ends it in FAILURE (at most once).
        unique_key: what no two unfinished calls may share: a text, or a function of the call's arguments
            that returns one, or None for a call that need not be unique. See ``apply_async``.
        rate_limit: how many may start in a time, over all workers: "10/m", "100/s", "2/h"; by default
            ``TASKTRACK["DEFAULT_RATE_LIMIT"]``. 0 for no limit.
        concurrency: a key and a number: of the tasks with this key, whatever their names, so many run at once.
            The key is a text, or a function of a call's arguments that returns one, or None for no limit.
        schedule: when workers enqueue it by themselves: ``crontab(...)``, ``every(...)``, ``once(...)``, a
            ``timedelta`` or a text; or a dict with more, as in ``TASKTRACK["SCHEDULES"]``. What is wrong with
            it is told by ``manage.py check``.
        serializer: "json", or "tagged", which carries more types; by default ``TASKTRACK["SERIALIZER"]``.
        ignore_result: drop the value that it returns; by default ``TASKTRACK["IGNORE_RESULT"]``.
        store_errors_even_if_ignored: keep messages and tracebacks of its errors then; by default
            ``TASKTRACK["STORE_ERRORS_EVEN_IF_IGNORED"]``.
        base: the class of the task, with options as attributes, hooks and methods of its own.
        retry_kwargs: ``max_retries`` and ``countdown`` of the retries of ``autoretry_for``.
        throws: exception classes that are expected of it: logged in a line at INFO, without a traceback.
        acks_late: Celery's word: True is ``on_lost="retry"``, False is ``on_lost="fail"``.
        reject_on_worker_lost: Celery's word: True is ``on_lost="retry"``.
        result_expires: seconds after its end that the value which it returned is kept; None for ever. By
            default ``TASKTRACK["RESULT_EXPIRES"]``.
        retention: seconds that its row and its history are kept after a success: an hour or more, None for
            ever. By default ``TASKTRACK["RETENTION"]``, or as long as ``result_expires``.
        failure_retention, revoked_retention: the same after a failure, and after it was revoked.

    Raises:
        InvalidTask: an option has a value that it cannot have, or this is no function for a task.
        TypeError: there is no such option.
    """
    checked.option_names(options, OPTION_NAMES, OPTION_NAMES, "@task")
    kind: Any = options.pop("base", None) or Task
    if not issubclass(type(kind), TaskType):
        raise InvalidTask(f"base={kind!r} is no class of tasks.", hint="Derive it from Task.")
    TaskOptions(**options)  # what cannot be is told where it is given
    declare: Callable[[Callable[..., Any]], Any] = partial(kind._of_function, options=options)
    return declare if function is None else declare(function)


#: Celery's word for the same thing.
shared_task = task


def register_task(task: Task[..., Any] | type[Task[..., Any]]) -> Task[..., Any]:
    """The task that a class is; its instance is that task already, and registered since the class exists.

    Raises:
        InvalidTask: the class is a base of tasks, or this is no task at all.
    """
    return definition_of(task).task  # type: ignore[return-value]  # of the face


#: What is said where a task is declared, and not of the task itself.
_DECORATOR_S = frozenset({"base", "bind", "name"})


def _options_on(one: Task[..., Any]) -> dict[str, Any]:
    """The options that a class has as attributes."""
    names = (name for name in OPTION_NAMES if name not in _DECORATOR_S)
    return {name: getattr(one, name) for name in names if hasattr(one, name)}


def _check_body(function: object) -> None:
    """Refuse what looks like a task's body, and would never run as one."""
    if isinstance(function, str):
        hint = f"Write @task(name={function!r})."
    elif inspect.isclass(function):
        hint = "It is a class: derive it from Task and name its body run(), without @task."
    elif not callable(function) or isinstance(function, Task):
        hint = ""
    elif inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        hint = "It is a generator, so that calling it runs nothing: return a list instead."
    elif not hasattr(function, "__qualname__"):
        hint = "It has no name of its own: write a def that calls it."
    else:
        return
    raise InvalidTask(f"@task decorates functions, not {function!r}.", hint=hint)


def _signature(body: Callable[..., Any], path: str) -> inspect.Signature:
    try:
        return inspect.signature(body)
    except ValueError:
        raise InvalidTask(
            f"{path} takes no argument, and is passed the task itself.",
            hint="Write self as its first parameter, or leave bind=True out.",
        ) from None


def definition_of(task: Task[..., Any] | type[Task[..., Any]] | str) -> Definition:
    """What is known of a task, given itself or by its name.

    Raises:
        NotRegistered: nothing has this name.
        InvalidTask: it is no task.
    """
    if isinstance(task, str):
        return registry.get(task)
    if isinstance(task, TaskType):
        task = task.one()
    if isinstance(task, Task):
        return task._definition
    raise InvalidTask(f"task={task!r} is no task.", hint="Decorate the function with @task.")


def enqueue_many(
    task: Task[..., Any] | str, calls: Iterable[Call], **options: Any
) -> list[AsyncResult]:
    """Enqueue many calls of one task in few statements: all of them, or none.

    Args:
        task: the task, or its name.
        calls: ``(args, kwargs)`` pairs.
        **options: as ``apply_async`` takes them, for all of the calls; not ``task_id``.

    Returns:
        One result for each call, in their order. Calls that share a unique key share a result.

    Raises:
        As ``apply_async`` does, naming the call by its number; then none is enqueued.
    """
    definition = definition_of(task)
    if "task_id" in options:
        raise InvalidTask("enqueue_many cannot give many tasks one task_id.")
    checked.option_names(options, CALL_OPTIONS, CALL_OPTIONS, "enqueue_many()")
    of_call = preparing(definition, Options(**options))
    prepared = []
    for number, call in enumerate(calls):
        try:
            args, kwargs = call
            prepared.append(of_call(args, kwargs))
        except (TypeError, ValueError) as error:
            error.add_note(f"In call {number} of enqueue_many; none was enqueued.")
            raise
    if config().ALWAYS_EAGER:
        return [eager.run(new) for new in prepared]
    holders = insert(prepared) if prepared else {}
    return AsyncResult.all_enqueued([holders.get(new.task_id, new.task_id) for new in prepared])
