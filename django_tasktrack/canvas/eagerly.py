"""A plan run to its end here and now, without rows: ``Signature.apply()``, and all under ``ALWAYS_EAGER``."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from uuid import UUID

from .. import eager, errbacks, outcomes, serializers
from ..changes import NewLink, NewTask
from ..conf import config
from ..planned import from_plan
from ..result import AsyncResult
from ..result_sets import GroupResult
from .plan import Plan


def run(
    plan: Plan, result: AsyncResult | GroupResult, *, throw: bool | None = None
) -> AsyncResult | GroupResult:
    """Run a plan's tasks, in the order in which they were laid, and what their failures call.

    Args:
        plan: the tasks and their links.
        result: of the whole, as it would be with rows.
        throw: raise what the first that failed has raised, once all have ended; by default as
            ``TASKTRACK["EAGER_PROPAGATES"]`` says.

    Returns:
        The same with ``EagerResult`` in it.
    """
    ended = _Run(plan).to_the_end()
    if config().EAGER_PROPAGATES if throw is None else throw:
        for one in ended.values():
            if one.failed():
                one.value()
    return _ended(plan, result, ended)


class _Run:
    """Tasks that have ended, and what their ends mean for the others, as ``transitions.links`` has it for rows."""

    def __init__(self, plan: Plan) -> None:
        self._tasks = {task.task_id: task for task in plan.tasks()}
        self._before: dict[UUID, list[NewLink]] = defaultdict(list)
        self._behind: dict[UUID, list[NewLink]] = defaultdict(list)
        for link in plan.links:
            self._behind[link.task_id].append(link)
            if link.successor_id:
                self._before[link.successor_id].append(link)
        self._ended: dict[UUID, eager.EagerResult] = {}

    def to_the_end(self) -> dict[UUID, eager.EagerResult]:
        """Run what is not doomed; what became of each, in the order in which they were laid."""
        for task in self._tasks.values():
            if task.task_id not in self._ended:
                self._ended[task.task_id] = eager.run(self._with_values(task), throw=False)
                if not self._ended[task.task_id].successful():
                    self._break(task)
        return {task_id: self._ended[task_id] for task_id in self._tasks}

    def _with_values(self, task: NewTask) -> NewTask:
        """The task with the values that it has waited for, before its own arguments."""
        links = self._before[task.task_id]
        handed = [self._ended[one.task_id].returned_text for one in links if one.place is not None]
        if any(link.collects for link in links):
            handed = [serializers.listed(handed)]
        return task._replace(args=serializers.put_before(handed, task.args))

    def _break(self, task: NewTask) -> None:
        """Nothing that waits for this task can run; call what is to be called because of that."""
        broken = self._ended[task.task_id]
        called = self._errbacks_of(task.task_id) if broken.failed() else []
        for doomed in self._doomed(task.task_id):
            if any(link.collects for link in self._before[doomed]):
                called += self._errbacks_of(doomed)
            why = outcomes.revoked(f"task {broken.id} ended in {broken.state}")
            self._ended[doomed] = eager.unrun(self._tasks[doomed], why, broken.failure)
        with errbacks.without_row(broken.as_failed()):
            for plan in dict.fromkeys(called):
                errback = from_plan(json.loads(plan), task.task_id, task.root_id)
                eager.run(errback, throw=False)

    def _doomed(self, task_id: UUID) -> Iterator[UUID]:
        """What waits for it, directly or not, and is not doomed already."""
        left = [task_id]
        while left:
            for link in self._behind[left.pop()]:
                waits = link.successor_id
                if waits and waits not in self._ended:
                    yield waits  # and so it has ended when this goes on
                    left.append(waits)

    def _errbacks_of(self, task_id: UUID) -> list[str]:
        return [link.on_error for link in self._behind[task_id] if link.on_error]


def _ended(
    plan: Plan, whole: AsyncResult | GroupResult, ended: dict[UUID, eager.EagerResult]
) -> AsyncResult | GroupResult:
    """The result of the whole with those of its parts that have ended, each with its relations."""
    groups: dict[str, GroupResult] = {}

    def of(result: AsyncResult | GroupResult) -> AsyncResult | GroupResult:
        if not isinstance(result, GroupResult):
            return ended[UUID(result.id)]
        if result.id not in groups:
            members = [ended[UUID(member.id)] for member in result.results]
            parent = result.parent and of(result.parent)
            groups[result.id] = GroupResult(result.id, members, parent=parent)
        return groups[result.id]

    # In the order in which they were laid: what came before is there already, however long the chain is.
    for result, task in zip(plan.results, plan.tasks(), strict=True):
        told = ended[task.task_id]
        told.parent = result.known_parent and of(result.known_parent)
        if task.parent_id in ended:
            ended[task.parent_id]._children.append(told)
    return of(whole)
