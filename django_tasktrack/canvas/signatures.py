"""A call of a task that is not made yet: it can be stored, completed, combined, and enqueued."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from .. import checked
from ..declaration import CALL_OPTIONS, Task
from ..exceptions import InvalidTask, nearest

if TYPE_CHECKING:
    from .shapes import chain

#: Options of a signature that are no options of one call.
_OF_SIGNATURES = ("link", "link_error")


class Signature(dict[str, Any]):
    """A task's name with arguments and options; a dict of JSON values, so that tasks can be given one.

    Args:
        task: the task, its name, or the dict that another signature was.
        args, kwargs: its arguments, or those that are known already.
        options: as ``apply_async`` takes them, and ``link`` and ``link_error``.
        immutable: whether it takes no value of a task before it.

    Raises:
        TypeError: there is no such option.
    """

    #: What ``from_dict`` makes of the kinds of signatures.
    _kinds: ClassVar[dict[str, type[Signature]]] = {}
    kind: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "kind" in vars(cls):
            Signature._kinds[cls.kind] = cls

    def __init__(
        self,
        task: Task[..., Any] | str | None = None,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        immutable: bool = False,
        **more: Any,
    ) -> None:
        args, kwargs = checked.call(args, kwargs)
        given = {**(options or {}), **more}
        _check_options(given)
        super().__init__(
            task=task.name if isinstance(task, Task) else task,
            args=list(args),
            kwargs=dict(kwargs),
            options=given,
            subtask_type=self.kind or None,
            immutable=immutable,
        )

    @staticmethod
    def from_dict(told: Mapping[str, Any]) -> Signature:
        """The signature that a dict of this shape means.

        Raises:
            InvalidTask: it is no such dict.
        """
        if isinstance(told, Signature):
            return told
        kind = told.get("subtask_type") or ""
        made = Signature._kinds.get(kind, Signature if not kind else None)
        if made is None or not isinstance(told.get("task"), str):
            raise InvalidTask(
                f"{dict(told)!r:.200} is no signature.", hint="Make one with task.s()."
            )
        copy = made.__new__(made)
        dict.__init__(copy, {**told})
        copy._revive()
        return copy

    def _revive(self) -> None:
        """Make signatures again of what JSON has made dicts of."""
        for name in _OF_SIGNATURES:
            if name in self["options"]:
                self["options"] = {**self["options"], name: listed(self["options"][name])}

    # What it says

    @property
    def task(self) -> str:
        return str(self["task"])

    @property
    def name(self) -> str:
        return self.task

    @property
    def args(self) -> list[Any]:
        return list(self["args"])

    @property
    def kwargs(self) -> dict[str, Any]:
        return dict(self["kwargs"])

    @property
    def options(self) -> dict[str, Any]:
        options: dict[str, Any] = self["options"]
        return options

    @property
    def immutable(self) -> bool:
        return bool(self["immutable"])

    @property
    def id(self) -> str | None:
        """That which was chosen for it."""
        given = self.options.get("task_id")
        return None if given is None else str(given)

    def __repr__(self) -> str:
        words = [repr(value) for value in self.args]
        words += [f"{name}={value!r}" for name, value in self.kwargs.items()]
        return f"{self.task}({', '.join(words)})"

    # Another one, made of it

    def clone(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Self:
        """A copy with more arguments, before its own, and other options. An immutable one takes none."""
        args, kwargs = checked.call(args, kwargs)
        _check_options(options)
        copy = type(self).__new__(type(self))
        dict.__init__(copy, self)
        if not self.immutable:
            copy["args"] = [*args, *self.args]
            copy["kwargs"] = {**self.kwargs, **kwargs}
        copy["options"] = {**self.options, **options}
        return copy

    def set(self, immutable: bool | None = None, **options: Any) -> Self:
        """Change options of this one."""
        _check_options(options)
        self["options"] = {**self.options, **options}
        return self if immutable is None else self.set_immutable(immutable)

    def set_immutable(self, immutable: bool) -> Self:
        self["immutable"] = immutable
        return self

    def link(self, callback: Signature | Task[..., Any] | Mapping[str, Any]) -> Signature:
        """Run another one with its value, once it has succeeded; returns that other one."""
        return self._append("link", callback)

    def link_error(self, errback: Signature | Task[..., Any] | Mapping[str, Any]) -> Signature:
        """Run another one if it fails; returns that other one."""
        return self._append("link_error", errback)

    def on_error(self, errback: Signature | Task[..., Any] | Mapping[str, Any]) -> Self:
        """``link_error``, and itself again."""
        self.link_error(errback)
        return self

    def _append(
        self, what: str, follower: Signature | Task[..., Any] | Mapping[str, Any]
    ) -> Signature:
        made = signature(follower)
        known = listed(self.options.get(what))
        if made not in known:
            self["options"] = {**self.options, what: [*known, made]}
        return made

    def __or__(self, other: object) -> chain:  # type: ignore[override]
        """One after the other."""
        from .shapes import after

        if not isinstance(other, (Signature, Task)):
            return NotImplemented
        return after(self, signature(other))

    def __ror__(self, other: object) -> chain:  # type: ignore[override]
        """A task, and then this."""
        return signature(other) | self if isinstance(other, Task) else NotImplemented

    def __ior__(self, other: object) -> chain:  # type: ignore[override]
        return self | other

    def __invert__(self) -> Any:
        """Enqueue it and wait for its value."""
        return self.delay().get()

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    # Enqueue

    def delay(self, *args: Any, **kwargs: Any) -> Any:
        """Enqueue it, with these arguments before its own."""
        return self.apply_async(args, kwargs)

    def apply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Enqueue it in the current transaction, with these arguments before its own.

        Args:
            args, kwargs: more arguments.
            **options: as ``Task.apply_async`` takes them, instead of its own.

        Returns:
            The ``AsyncResult`` of what ends last; of a group a ``GroupResult``.
        """
        from .plan import enqueue

        return enqueue(self.clone(args, kwargs, **options))

    def apply(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        throw: bool | None = None,
        **options: Any,
    ) -> Any:
        """Run it to its end here and now, without rows.

        Args:
            args, kwargs: more arguments.
            throw: raise what a task raised; by default as ``TASKTRACK["EAGER_PROPAGATES"]`` says.
            **options: as ``Task.apply_async`` takes them.
        """
        from .plan import apply

        return apply(self.clone(args, kwargs, **options), throw=throw)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the task's function here and now."""
        from .. import registry

        whole = self.clone(args, kwargs)
        return registry.get(whole.task).body(*whole.args, **whole.kwargs)


Signature._kinds[""] = Signature


def signature(
    task: Signature | Task[..., Any] | Mapping[str, Any] | str,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    **options: Any,
) -> Signature:
    """A signature of a task, of its name, or of the dict that a signature has become.

    Raises:
        InvalidTask: it is none of them.
    """
    if isinstance(task, (Task, str)):
        return Signature(task, args, kwargs, **options)
    if isinstance(task, Mapping):
        found = Signature.from_dict(task)
        return found.clone(args, kwargs, **options) if args or kwargs or options else found
    raise InvalidTask(f"{task!r} is no signature and no task.", hint="Write task.s(...).")


def maybe_signature(value: Any) -> Signature | None:
    """As ``signature``, and None for None."""
    return None if value is None else signature(value)


def listed(given: Any) -> list[Signature]:
    """One, several or none, as a list."""
    if given is None:
        return []
    if isinstance(given, (Task, Mapping)):
        given = [given]
    if isinstance(given, Iterable) and not isinstance(given, str):
        return [signature(one) for one in given]
    raise InvalidTask(f"{given!r} is no signature.", hint="Write task.s(...), or a list of them.")


_ALLOWED = (*CALL_OPTIONS, *_OF_SIGNATURES)


def _check_options(options: Mapping[str, Any]) -> None:
    for name in options:
        if name not in _ALLOWED:
            raise TypeError(f"A signature has no option {name!r}. Hint: {nearest(name, _ALLOWED)}")
