"""From signatures to rows: which tasks there will be, and which waits for which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from .. import registry
from ..changes import NewLink, NewTask
from ..enqueue import Options, Prepare, insert, preparing
from ..exceptions import InvalidTask
from ..ids import new_id, required_id
from ..payloads import encode
from ..result import AsyncResult
from ..result_sets import GroupResult
from .builtin import accumulate
from .shapes import chain, chord, group
from .signature import Signature, signatures

#: Options of a whole that are meant for what begins it.
_OF_THE_FIRST = ("countdown", "eta")
#: What an errback keeps of the task that it will be.
_OF_ERRBACKS = (
    "name", "args", "kwargs", "queue", "priority", "max_attempts", "delay", "expires_in", "owner",
    "time_limit", "soft_time_limit", "rerun_if_lost",
)  # fmt: skip


def enqueue(whole: Signature) -> AsyncResult | GroupResult:
    """Insert all of a signature's tasks, in the current transaction.

    Raises:
        What ``apply_async`` raises for one of its tasks; then none is enqueued.
    """
    plan = Plan()
    laid = plan.lay(whole, None, {})
    insert(plan.tasks(), plan.links, own_ids=plan.own_ids)
    AsyncResult.follow_commit(plan.results)
    return laid.result


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


@dataclass(slots=True)
class Plan:
    """Tasks and links, laid in the order in which they can run: so ids are in that order too."""

    links: list[NewLink] = field(default_factory=list)
    results: list[AsyncResult] = field(default_factory=list)
    own_ids: bool = False
    _tasks: list[NewTask] = field(default_factory=list)
    _numbers: dict[UUID, int] = field(default_factory=lambda: defaultdict(int))
    _preparing: dict[Any, Prepare] = field(default_factory=dict)

    def tasks(self) -> list[NewTask]:
        """The tasks, which know whether others follow them."""
        return [task._replace(followed=task.task_id in self._numbers) for task in self._tasks]

    def lay(
        self,
        one: Signature,
        before: Laid | None,
        given: Mapping[str, Any],
        errbacks: Sequence[Signature] = (),
        group_id: UUID | None = None,
    ) -> Laid:
        """Lay a signature behind what it has to wait for.

        Args:
            one: the signature.
            before: what it waits for.
            given: options, where it says nothing itself.
            errbacks: called if one of its tasks fails.
            group_id: of the group that it is a member of.
        """
        options = {**given, **one.options}
        callbacks = signatures(options.pop("link", None))
        errbacks = [*errbacks, *signatures(options.pop("link_error", None))]
        if isinstance(one, chain):
            laid = self._lay_steps(one.clone(), one.tasks, before, options, errbacks, group_id)
        elif isinstance(one, chord):
            steps = [group(one.tasks), one.body]
            laid = self._lay_steps(one, steps, before, options, errbacks, group_id)
        elif isinstance(one, group):
            laid = self._lay_members(one, before, options, errbacks)
        else:
            laid = self._lay_task(one, before, options, errbacks, group_id)
        for callback in callbacks:
            self.lay(callback, laid, {})
        return laid

    def _lay_steps(
        self,
        whole: Signature,
        steps: Sequence[Signature],
        before: Laid | None,
        options: dict[str, Any],
        errbacks: Sequence[Signature],
        group_id: UUID | None,
    ) -> Laid:
        if not steps:
            raise InvalidTask("A chain of nothing cannot run.", hint="Give it tasks.")
        first, last = {name: options.pop(name, None) for name in _OF_THE_FIRST}, len(steps) - 1
        task_id = options.pop("task_id", None)
        for number, step in enumerate(steps):
            own = {**options, **(first if number == 0 else {})}
            if number == 0 and whole.args:
                step = step.clone(whole.args)
            if number == last:
                own["task_id"] = task_id
            before = self.lay(step, before, _said(own), errbacks, group_id if number == last else None)
        assert before  # noqa: S101  there is a step
        return before

    def _lay_members(
        self,
        whole: group,
        before: Laid | None,
        options: dict[str, Any],
        errbacks: Sequence[Signature],
    ) -> Laid:
        given_id = options.pop("task_id", None)
        group_id = new_id() if given_id is None else required_id(given_id)
        members = [member.clone(whole.args) for member in whole.tasks] if whole.args else whole.tasks
        if before and len(before.tails) > 1 and len(members) > 1:
            before = self._lay_task(accumulate.s(), before, {}, errbacks, None)
        laid = [self.lay(member, before, options, errbacks, group_id) for member in members]
        results = [result for one in laid for result in _results_of(one.result)]
        whole_result = GroupResult(group_id, results, parent=before.result if before else None)
        return Laid([tail for one in laid for tail in one.tails], collects=True, result=whole_result)

    def _lay_task(
        self,
        one: Signature,
        before: Laid | None,
        options: dict[str, Any],
        errbacks: Sequence[Signature],
        group_id: UUID | None,
    ) -> Laid:
        waits, passes = bool(before and before.tails), bool(before) and not one.immutable
        delay = options.pop("countdown", None) if waits else None
        self.own_ids = self.own_ids or options.get("task_id") is not None
        args = one.args if waits or not passes else [[], *one.args]  # an empty group's values
        task = self._prepared(one.task, options)(args, one.kwargs, awaits_value=waits and passes)
        task = self._related(task, before, group_id)._replace(blocked=waits)
        result = AsyncResult(task.task_id, parent=before.result if before else None)
        self._tasks.append(task)
        self.results.append(result)
        for place, tail in enumerate(before.tails if before else ()):
            self._link(
                tail,
                successor_id=task.task_id,
                place=place if passes else None,
                collects=bool(before and before.collects),
                delay=float(_seconds(delay)),
            )
        for errback in errbacks:
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
        root = task.root_id or (self._tasks[0].root_id or self._tasks[0].task_id if self._tasks else None)
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
        planned = self._prepared(errback.task, errback.options)(errback.args, errback.kwargs)
        values = planned._asdict()
        return encode({name: values[name] for name in _OF_ERRBACKS}, "link_error")


def _said(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _results_of(result: AsyncResult | GroupResult) -> Sequence[AsyncResult]:
    return result.results if isinstance(result, GroupResult) else [result]


def _seconds(delay: Any) -> float:
    return 0.0 if delay is None else getattr(delay, "total_seconds", lambda: delay)()
