"""The tasks that this process knows, by name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import signals
from .conf import config
from .exceptions import InvalidTask, NotRegistered, nearest
from .retries import RetryPolicy
from .serializers import Serialize, serialize_with


@dataclass(frozen=True, slots=True)
class Definition:
    """What enqueueing and running need to know of a task.

    Args:
        name: by which rows call it.
        aliases: names that it had before, by which rows may still call it.
        body: what runs; takes the task's own arguments.
        signature: of those arguments, to check them where they are given.
        origin: where it was declared, for error messages.
        queue: None for the default one.
        priority: -100 to 100, larger first; None for the default one.
        retry: when a failed attempt runs again.
        time_limit: seconds after which its process is killed; None for the worker's default.
        soft_time_limit: seconds after which ``SoftTimeLimitExceeded`` is raised in it.
        rerun_if_lost: whether it runs again when its worker died.
        unique_key: what no two unfinished calls may share, from the arguments of a call; None: nothing.
        schedule: when it is wanted by itself, as it was declared; None: never.
        serializer: what carries its arguments and results; None for the default one.
        ignore_result: whether the value that it returns is dropped; None as the settings say.
        store_errors: whether messages and tracebacks of its errors stay then; None as the settings say.
        rate_limit: starts in a time, over all workers: "10/m"; empty for no limit, None for the default one.
        concurrency: a key, or what makes one of the arguments of a call, and how many of it run at once.
        throws: exceptions that are expected of it, and logged without a traceback.
        task: what users declared; the sender of its signals.
        hooks: which of ``on_success`` and its like it has.
        keeps: how long what is left of it is kept, where it says so itself; see ``retention``.
    """

    name: str
    body: Callable[..., Any]
    signature: inspect.Signature
    origin: str
    queue: str | None
    priority: int | None
    retry: RetryPolicy
    time_limit: float | None = None
    soft_time_limit: float | None = None
    rerun_if_lost: bool = True
    unique_key: Callable[..., str | None] | None = None
    schedule: Any = field(default=None, compare=False)
    aliases: tuple[str, ...] = ()
    serializer: str | None = None
    ignore_result: bool | None = None
    store_errors: bool | None = None
    rate_limit: str | None = None
    concurrency: tuple[str | Callable[..., str | None], int] | None = None
    throws: tuple[type[BaseException], ...] = ()
    task: object = field(default=None, repr=False, compare=False)
    hooks: frozenset[str] = frozenset()
    keeps: Mapping[str, float | None] = field(default_factory=dict, hash=False)
    #: Whether the body is an ``async def``.
    is_async: bool = field(init=False)
    #: How many positional arguments do, if there are no others.
    _counts: range = field(init=False, repr=False)

    def __post_init__(self) -> None:
        is_async = inspect.iscoroutinefunction(inspect.unwrap(_function_of(self.body)))
        # Both are asked for at every call or run, and slow to find out.
        object.__setattr__(self, "is_async", is_async)
        object.__setattr__(self, "_counts", _counts_of(self.signature))

    def takes(self, count: int, kwargs: Mapping[str, Any]) -> bool:
        """Whether the body takes so many positional arguments beside these keyword arguments."""
        try:
            self.signature.bind(*[None] * count, **kwargs)
        except TypeError:
            return False
        return True

    def drops_value(self, asked: bool | None = None) -> bool:
        """Whether the value of a call is dropped: as the call says, else the task, else the settings."""
        said = self.ignore_result if asked is None else asked
        return config().IGNORE_RESULT if said is None else said

    def keeps_errors(self) -> bool:
        """Whether errors stay where the value is dropped."""
        said = self.store_errors
        return config().STORE_ERRORS_EVEN_IF_IGNORED if said is None else said

    def serialize(self) -> Serialize:
        """What carries its arguments."""
        return serialize_with(self.serializer or config().SERIALIZER)

    def serialize_result(self) -> Serialize:
        """What carries its results."""
        settings = config()
        return serialize_with(self.serializer or settings.RESULT_SERIALIZER or settings.SERIALIZER)

    def check_call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Refuse arguments that the body would not take.

        Raises:
            TypeError: as the call itself would.
        """
        if (
            kwargs or len(args) not in self._counts
        ):  # binding takes longer than all the rest of a call
            self.signature.bind(*args, **kwargs)


def _counts_of(signature: inspect.Signature) -> range:
    kinds = inspect.Parameter
    parameters = signature.parameters.values()
    if any(p.kind is kinds.KEYWORD_ONLY and p.default is kinds.empty for p in parameters):
        return range(0)
    positional = [
        p for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)
    ]
    required = sum(p.default is kinds.empty for p in positional)
    return range(required, len(positional) + 1)


def _function_of(body: Callable[..., Any]) -> Callable[..., Any]:
    return body.func if isinstance(body, functools.partial) else body


_definitions: dict[str, Definition] = {}


def register(definition: Definition) -> None:
    """Make a task known.

    Raises:
        InvalidTask: another function has its name, or one of its aliases, already.
    """
    names = (definition.name, *definition.aliases)
    for name in names:
        known = _definitions.get(name)
        if known is not None and known.origin != definition.origin:
            raise InvalidTask(
                f"Two tasks are named {name!r}: {known.origin} and {definition.origin}.",
                hint="Give one of them another name=, or no such alias.",
            )
    _definitions.update(dict.fromkeys(names, definition))
    signals.introduce(
        definition.name, definition.name if definition.task is None else definition.task
    )


def get(name: str) -> Definition:
    """The task of this name.

    Raises:
        NotRegistered: with the nearest name that is known.
    """
    try:
        return _definitions[name]
    except KeyError:
        raise NotRegistered(
            f"No task is named {name!r} here.", hint=nearest(name, _definitions)
        ) from None


def keeping() -> dict[str, Mapping[str, float | None]]:
    """What the tasks say that say for themselves how long they are kept, by name."""
    return {name: known.keeps for name, known in _definitions.items() if known.keeps}


def names() -> list[str]:
    """The names of all tasks that this process knows, their aliases among them, sorted."""
    return sorted(_definitions)
