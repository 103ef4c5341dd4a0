"""A plan run to its end here and now, without rows: ``Signature.apply()``, and all under ``ALWAYS_EAGER``."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from .. import eager, errbacks, outcomes, registry, serializers
from ..changes import NewLink, NewTask
from ..ids import new_id
from ..payloads import decode
from ..request import Request
from ..result import AsyncResult
from ..result_sets import GroupResult
from .plan import Plan


def run(
    plan: Plan, result: AsyncResult | GroupResult, *, throw: bool | None = None
) -> AsyncResult | GroupResult:
    """Run a plan's tasks, in the order in which they were laid.

    Args:
        plan: the tasks and their links.
        result: of the whole, as it would be with rows.
        throw: raise what a task raised; by default as ``TASKTRACK["EAGER_PROPAGATES"]`` says.

    Returns:
        The same with ``EagerResult`` in it.
    """
    ended: dict[UUID, eager.EagerResult] = {}
    before: dict[UUID, list[NewLink]] = defaultdict(list)
    for link in plan.links:
        if link.successor_id:
            before[link.successor_id].append(link)
    for task in plan.tasks():
        ended[task.task_id] = _run(task, before[task.task_id], ended, throw=throw)
        if ended[task.task_id].failed():
            _call_errbacks(plan.links, ended[task.task_id])
    return _ended(plan, result, ended)


def _run(
    task: NewTask,
    waits_for: Sequence[NewLink],
    ended: dict[UUID, eager.EagerResult],
    *,
    throw: bool | None,
) -> eager.EagerResult:
    if any(not ended[link.task_id].successful() for link in waits_for):
        return eager.unrun(task, outcomes.revoked("a task before it has failed"))
    handed = [ended[link.task_id].returned_text for link in waits_for if link.place is not None]
    if any(link.collects for link in waits_for):
        handed = [serializers.listed(handed)]
    return eager.run(task._replace(args=serializers.put_before(handed, task.args)), throw=throw)


def _call_errbacks(links: Sequence[NewLink], failed: eager.EagerResult) -> None:
    for link in links:
        if link.on_error and str(link.task_id) == failed.id:
            task = NewTask(**json.loads(link.on_error), task_id=new_id())
            definition, own = registry.get(task.name), decode(task.args)
            request = Request(id=failed.id, task=failed.name, is_eager=True)
            given = [request, failed.result, failed.traceback]
            if errbacks.count(definition, own) == 1:
                given = [failed.id]
            definition.body(*given, *own, **decode(task.kwargs))


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
