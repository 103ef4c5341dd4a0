"""From signatures to rows: which tasks there will be, and which waits for which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from .. import checked, errbacks, registry
from ..changes import GROUP_INDEX, NewLink, NewTask
from ..conf import config
from ..enqueue import Options, Prepare, insert, preparing
from ..exceptions import InvalidTask
from ..ids import new_id, required_id
from ..payloads import decode, encode
from ..planned import as_plan
from ..result import AsyncResult
from ..result_sets import GroupResult
from .builtin import accumulate
from .shapes import chain, chord, group, xmap, xstarmap
from .signatures import Signature, listed

#: Options of a whole that are meant for what begins it.
_OF_THE_FIRST = ("countdown", "eta")
#: And what ends it.
_OF_THE_LAST = ("task_id",)
#: What no errback can have: it is enqueued with each failure.
_NOT_OF_ERRBACKS = ("task_id", "unique_key", "link", "link_error")


def enqueue(whole: Signature) -> AsyncResult | GroupResult:
    """Insert all of a signature's tasks, in the current transaction.

    Raises:
        What ``apply_async`` raises for one of its tasks; then none is enqueued.
    """
    if config().ALWAYS_EAGER:
        return apply(whole)
    plan = Plan()
    laid = plan.lay(whole)
    insert(plan.tasks(), plan.links, own_ids=plan.own_ids)
    AsyncResult.follow_commit(plan.results)
    return laid.result


def apply(whole: Signature, *, throw: bool | None = None) -> AsyncResult | GroupResult:
    """Run all of a signature's tasks here and now.

    Raises:
        What ``apply_async`` raises; with ``throw`` what a task raised.
    """
    from . import eagerly  # it needs this module

    plan = Plan()
    laid = plan.lay(whole)
    return eagerly.run(plan, laid.result, throw=throw)


@dataclass(frozen=True, slots=True)
class Laid:
    """What a signature has become.

    Args:
        tails: the tasks that end it.
        collects: whether what follows gets a list of their values.
        result: what tells of it.
    """

    tails: Sequence[UUID]
    collects: bool
    result: AsyncResult | GroupResult


@dataclass(frozen=True, slots=True)
class Inherited:
    """What the parts of a whole have from it.

    Args:
        options: where they say nothing themselves.
        on_error: called if one of their tasks fails.
        group_id: of the group that they are a member of.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    on_error: Sequence[Signature] = ()
    group_id: UUID | None = None

    def by(self, one: Signature) -> tuple[Inherited, Sequence[Signature]]:
        """What a part hands on in its turn, and what is called with its value."""
        options = {**self.options, **one.options}
        callbacks = listed(options.pop("link", None))
        on_error = [*self.on_error, *listed(options.pop("link_error", None))]
        return Inherited(options, on_error, self.group_id), callbacks


@dataclass(slots=True)
class Plan:
    """Tasks and links, laid in the order in which they can run: so ids are in that order too."""

    links: list[NewLink] = field(default_factory=list)
    results: list[AsyncResult] = field(default_factory=list)
    own_ids: bool = False
    _tasks: list[NewTask] = field(default_factory=list)
    _numbers: dict[UUID, int] = field(default_factory=lambda: defaultdict(int))
    _places: dict[str, int] = field(default_factory=dict)
    _preparing: dict[Any, Prepare] = field(default_factory=dict)

    def tasks(self) -> list[NewTask]:
        """The tasks, which know whether others follow them."""
        handed_on = {link.task_id for link in self.links if link.place is not None}
        return [
            task._replace(
                followed=task.task_id in self._numbers,
                ignore_result=task.ignore_result and task.task_id not in handed_on,
                headers=self._headers_of(task),
            )
            for task in self._tasks
        ]

    def _headers_of(self, task: NewTask) -> str | None:
        place = self._places.get(str(task.task_id))
        if place is None:
            return task.headers
        return encode({**(decode(task.headers) or {}), GROUP_INDEX: place}, "headers")

    def lay(
        self, one: Signature, before: Laid | None = None, inherited: Inherited | None = None
    ) -> Laid:
        """Lay a signature behind what it has to wait for.

        Args:
            one: the signature.
            before: what it waits for.
            inherited: from the whole that it is a part of.
        """
        own, callbacks = (inherited or Inherited()).by(one)
        if isinstance(one, chain):
            laid = self._lay_steps(one.tasks, one.args, before, own)
        elif isinstance(one, chord):
            laid = self._lay_steps([group(one.tasks), one.body], one.args, before, own)
        elif isinstance(one, group):
            laid = self._lay_members(one, before, own)
        else:
            laid = self._lay_task(one, before, own)
        for callback in callbacks:
            self.lay(callback, laid)
        return laid

    def _lay_steps(
        self, steps: Sequence[Signature], args: list[Any], before: Laid | None, own: Inherited
    ) -> Laid:
        """One after the other: the whole's time is the first one's, its id and group are the last one's."""
        if not steps:
            raise InvalidTask("A chain of nothing cannot run.", hint="Give it tasks.")
        of_first = {name: own.options[name] for name in _OF_THE_FIRST if name in own.options}
        of_last = {name: own.options[name] for name in _OF_THE_LAST if name in own.options}
        of_all = {
            name: value
            for name, value in own.options.items()
            if name not in of_first and name not in of_last
        }
        laid, last = before, len(steps) - 1
        for number, step in enumerate(steps):
            options = {**of_all, **(of_first if number == 0 else {})}
            options |= of_last if number == last else {}
            group_id = own.group_id if number == last else None
            whole = step.clone(args) if number == 0 and args else step
            laid = self.lay(whole, laid, Inherited(options, own.on_error, group_id))
        assert laid  # noqa: S101  there is a step
        return laid

    def _lay_members(self, whole: group, before: Laid | None, own: Inherited) -> Laid:
        options = dict(own.options)
        group_id = _group_id(options.pop("task_id", None), own.group_id)
        members = [one.clone(whole.args) for one in whole.tasks] if whole.args else whole.tasks
        if before and len(before.tails) > 1 and len(members) > 1:
            before = self._lay_task(accumulate.s(), before, _where(own))
        if before and not members:  # what follows waits all the same, and gets the list of nothing
            return self._lay_task(accumulate.si([]), before, _where(own))
        of_members = Inherited(options, own.on_error, group_id)
        laid = [self.lay(member, before, of_members) for member in members]
        results = [result for one in laid for result in _results_of(one.result)]
        if self.own_ids:
            self._places.update({result.id: place for place, result in enumerate(results)})
        parent = before.result if before else None
        tails = [tail for one in laid for tail in one.tails]
        return Laid(tails, collects=True, result=GroupResult(group_id, results, parent=parent))

    def _lay_task(self, one: Signature, before: Laid | None, own: Inherited) -> Laid:
        options = {**_of_mapped(one), **own.options}
        waits, passes = bool(before and before.tails), bool(before) and not one.immutable
        delay = options.pop("countdown", None) if waits else None
        self.own_ids = self.own_ids or options.get("task_id") is not None
        args = one.args if waits or not passes else [[], *one.args]  # an empty group's values
        task = self._prepared(one.task, options)(args, one.kwargs, awaited=int(waits and passes))
        task = self._related(task, before, own.group_id)._replace(blocked=waits)
        result = AsyncResult(task.task_id, parent=before.result if before else None)
        self._tasks.append(task)
        self.results.append(result)
        for place, tail in enumerate(before.tails if before else ()):
            self._link(
                tail,
                successor_id=task.task_id,
                place=place if passes else None,
                collects=bool(before and before.collects),
                delay=0.0 if delay is None else checked.seconds(delay, "countdown"),
            )
        for errback in own.on_error:
            self._link(task.task_id, on_error=self._as_text(errback))
        return Laid([task.task_id], collects=False, result=result)

    def _prepared(self, name: str, options: Mapping[str, Any]) -> Prepare:
        """What makes rows of a task with these options; many members of a group share it."""
        key = name if not options else None
        if key is None or key not in self._preparing:
            made = preparing(registry.get(name), Options(**options))
            if key is None:
                return made
            self._preparing[key] = made
        return self._preparing[key]

    def _related(self, task: NewTask, before: Laid | None, group_id: UUID | None) -> NewTask:
        first = self._tasks[0] if self._tasks else None
        root = task.root_id or (first and (first.root_id or first.task_id))
        parent = before.tails[0] if before and before.tails else task.parent_id
        return task._replace(root_id=root, parent_id=parent, group_id=group_id)

    def _link(self, task_id: UUID, **values: Any) -> None:
        self.links.append(NewLink(task_id, self._numbers[task_id], **values))
        self._numbers[task_id] += 1

    def _as_text(self, errback: Signature) -> str:
        """A task that is enqueued only if another one fails."""
        if isinstance(errback, (chain, group, chord)):
            raise InvalidTask(
                f"link_error={errback!r} is no single task.",
                hint="Give a task that enqueues the others.",
            )
        for name in _NOT_OF_ERRBACKS:
            if errback.options.get(name):
                raise InvalidTask(
                    f"link_error={errback!r} has the option {name!r}, which a task that may be enqueued"
                    " with more than one failure cannot have.",
                    hint="Give a task that enqueues another one with it.",
                )
        definition, own, kwargs = registry.get(errback.task), errback.args, errback.kwargs
        awaited = 0 if errback.immutable else errbacks.count(definition, own, kwargs)
        planned = self._prepared(errback.task, errback.options)(own, kwargs, awaited=awaited)
        return as_plan(planned, immutable=errback.immutable)


def _group_id(given: object, around: UUID | None) -> UUID:
    """The id of a group: one that is a member of another one dissolves in it, as with Celery.

    Raises:
        InvalidTask: it is to have an id of its own all the same.
    """
    if given is not None and around is not None:
        raise InvalidTask(
            f"task_id={str(given)!r} is for a group that is one with the group that it is in.",
            hint="Give it to the group around, or make what is in it a chord.",
        )
    return around or (new_id() if given is None else required_id(given))


def _where(own: Inherited) -> Inherited:
    """What the package's own task between others has from the whole."""
    kept = ("queue", "priority", "expires", "owner")
    return Inherited({name: own.options[name] for name in kept if name in own.options})


def _of_mapped(one: Signature) -> dict[str, Any]:
    """Where calls of a task go that are made by one of the package's own."""
    if not isinstance(one, (xmap, xstarmap)):
        return {}
    mapped = registry.get(one.args[0])
    said = {"queue": mapped.queue, "priority": mapped.priority}
    return {name: value for name, value in said.items() if value is not None}


def _results_of(result: AsyncResult | GroupResult) -> Sequence[AsyncResult]:
    return result.results if isinstance(result, GroupResult) else [result]
