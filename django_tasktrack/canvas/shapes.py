"""How calls go together: chain, group, chord, and many calls in few tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar, Self

from ..declaration import Task
from ..exceptions import InvalidTask
from .signatures import Signature, listed, signature

Some = Signature | Task[..., Any] | Mapping[str, Any]


class _Shape(Signature):
    """A signature of several. Calling it enqueues it."""

    def __init__(self, parts: Mapping[str, Any], **options: Any) -> None:
        super().__init__(f"tasktrack.{self.kind}", kwargs=parts, **options)

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Enqueue it, with these arguments for what runs first."""
        return self.apply_async(args, **options)

    def clone(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Self:
        """A copy with more arguments for what runs first, and other options."""
        if kwargs:
            raise TypeError(
                f"A {self.kind} takes no keyword arguments: {', '.join(kwargs)}."
                " Hint: give them to the signatures that it is made of."
            )
        return super().clone(args, None, **options)

    def _revive(self) -> None:
        super()._revive()
        parts = {name: _revived(part) for name, part in self["kwargs"].items()}
        self["kwargs"] = parts

    @property
    def tasks(self) -> list[Signature]:
        """What it is made of."""
        tasks: list[Signature] = self["kwargs"]["tasks"]
        return tasks


def _revived(part: Any) -> Any:
    if isinstance(part, Mapping):
        return signature(part)
    return listed(part) if part and isinstance(part[0], Mapping) else part


def _several(given: Sequence[Any]) -> list[Signature]:
    """Signatures, given one by one or as one iterable."""
    if len(given) == 1 and not isinstance(given[0], (Mapping, Task)):
        return listed(given[0])
    return listed(given)


class chain(_Shape):  # noqa: N801  Celery's name
    """One after the other, each with the value of the one before as its first argument.

    A group in it is one step: what follows begins when all of it has succeeded, with the list of its values.
    If a step fails or is revoked, those that wait for it are revoked.
    """

    kind: ClassVar[str] = "chain"

    def __init__(self, *tasks: Some | Iterable[Some], **options: Any) -> None:
        super().__init__({"tasks": _several(tasks)}, **options)

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.tasks))


class group(_Shape):  # noqa: N801
    """All at the same time. It gives a ``GroupResult``."""

    kind: ClassVar[str] = "group"

    def __init__(self, *tasks: Some | Iterable[Some], **options: Any) -> None:
        super().__init__({"tasks": _several(tasks)}, **options)

    def skew(self, start: float = 1.0, stop: float | None = None, step: float = 1.0) -> Self:
        """Let its members begin one after the other, and not all at the same moment.

        Args:
            start: ``countdown`` of the first, in seconds.
            stop: the last ones have no longer one; None for no end.
            step: by so much each waits longer than the one before it.

        Raises:
            InvalidTask: ``step`` is not positive.
        """
        if step <= 0:
            raise InvalidTask(f"a skew of {step} seconds is none.", hint="Give a positive step.")
        countdown, members = start, []
        for member in self.tasks:
            members.append(member.clone(countdown=countdown))
            countdown += step if not stop or countdown + step <= stop else 0
        self["kwargs"] = {**self["kwargs"], "tasks": members}
        return self

    def __repr__(self) -> str:
        return f"group({', '.join(map(repr, self.tasks))})"

    def __len__(self) -> int:
        return len(self.tasks)


class chord(_Shape):  # noqa: N801
    """A body that begins once all of a header have succeeded, with the list of their values.

    Args:
        header: signatures, or a group.
        body: may also be given when it is called: ``chord(header)(body)``.
    """

    kind: ClassVar[str] = "chord"

    def __init__(self, header: Any, body: Some | None = None, **options: Any) -> None:
        is_plain = isinstance(header, group) and not header.options and not header.args
        parts = header.tasks if is_plain else _several([header])
        made = None if body is None else signature(body)
        super().__init__({"header": parts, "body": made}, **options)

    def __call__(self, body: Some | None = None, **options: Any) -> Any:
        """Enqueue it, with this body."""
        if body is None:
            return self.apply_async(**options)
        return chord(self["kwargs"]["header"], body, **{**self.options, **options}).apply_async()

    @property
    def tasks(self) -> list[Signature]:
        """The header."""
        header: list[Signature] = self["kwargs"]["header"]
        return header

    @property
    def body(self) -> Signature:
        """What begins when the header has ended.

        Raises:
            InvalidTask: it has none.
        """
        body: Signature | None = self["kwargs"]["body"]
        if body is None:
            raise InvalidTask("This chord has no body.", hint="Write chord(header)(body.s()).")
        return body

    def __repr__(self) -> str:
        return f"chord([{', '.join(map(repr, self.tasks))}], {self['kwargs']['body']!r})"


class _Calls(Signature):
    """Many calls of one task, in one task."""

    def __init__(self, task: Task[..., Any] | Signature | str, it: Iterable[Any]) -> None:
        name = task if isinstance(task, str) else task.name
        super().__init__(f"tasktrack.{self.kind}", [name, list(it)], immutable=True)


class xmap(_Calls):  # noqa: N801
    """One task that calls another with each of some values, and returns the list of what that returns."""

    kind: ClassVar[str] = "map"


class xstarmap(_Calls):  # noqa: N801
    """As ``xmap``, with a list of arguments for each call."""

    kind: ClassVar[str] = "starmap"

    def __init__(self, task: Task[..., Any] | Signature | str, it: Iterable[Any]) -> None:
        super().__init__(task, map(list, it))


class chunks(group):  # noqa: N801
    """Many calls in tasks of ``n`` calls each, all at the same time: a group, and stored as one.

    Raises:
        InvalidTask: ``n`` is not positive.
    """

    def __init__(
        self, task: Task[..., Any] | Signature | str, it: Iterable[Any], n: int, **options: Any
    ) -> None:
        if n < 1:
            raise InvalidTask(f"chunks of {n} calls cannot be made.", hint="Give 1 or more.")
        super().__init__([xstarmap(task, some) for some in _batched(it, n)], **options)

    def group(self) -> group:
        """The group that they are, as Celery's code asks for it."""
        return group(self.tasks, **self.options)


def _batched(it: Iterable[Any], n: int) -> Iterable[Sequence[Any]]:
    items = iter(it)
    return iter(lambda: list(islice(items, n)), [])


def after(first: Signature, then: Signature) -> chain:
    """The chain that ``first | then`` means."""
    made = chain()
    made["kwargs"]["tasks"] = [*_steps(first), *_steps(then)]  # not looked at again with each step
    return made


def _steps(one: Signature) -> list[Signature]:
    """A chain that says nothing of its own dissolves in another."""
    if isinstance(one, chain) and not one.options and not one.args:
        return one.tasks
    return [one]
