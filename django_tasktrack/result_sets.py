"""Many results as one: ``ResultSet``, and the ``GroupResult`` of a group."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self
from uuid import UUID

from asgiref.sync import sync_to_async

from . import lineage
from .changes import GROUP_INDEX
from .exceptions import TimeoutError  # noqa: A004  Celery's name for it
from .ids import parse_id
from .models import TrackedTask
from .result import AsyncResult
from .transitions import Answer, forget, revoke
from .vendors import task_database
from .waiting import check_may_wait, pauses

#: Called with the id and the value of each result.
Callback = Callable[[str, Any], object]


class ResultSet:
    """Results that are asked about together: each question is one query for all that have not ended.

    Args:
        results: in the order in which ``join`` gives their values.
    """

    def __init__(self, results: Iterable[AsyncResult] = ()) -> None:
        self.results: list[AsyncResult] = []
        self.update(results)

    def __iter__(self) -> Iterator[AsyncResult]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, index: int | str) -> AsyncResult:
        """By its place, or by its id."""
        if isinstance(index, int):
            return self.results[index]
        return next(result for result in self.results if result.id == index)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ResultSet) and other.results == self.results

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} [{', '.join(result.id for result in self.results)}]>"

    # Which

    def add(self, result: AsyncResult) -> None:
        """Add one, unless it is there."""
        self.update([result])

    def update(self, results: Iterable[AsyncResult]) -> None:
        """Add those that are not there yet."""
        known = set(self.results)
        for result in results:
            if result not in known:
                known.add(result)
                self.results.append(result)

    def remove(self, result: AsyncResult | str) -> None:
        """Take one out.

        Raises:
            KeyError: it is not there.
        """
        wanted = str(result)
        if not any(one.id == wanted for one in self.results):
            raise KeyError(wanted)
        self.discard(result)

    def discard(self, result: AsyncResult | str) -> None:
        """Take one out, if it is there."""
        self.results = [one for one in self.results if one.id != str(result)]

    def clear(self) -> None:
        self.results = []

    # How they are

    def _at_once(self) -> list[AsyncResult]:
        return AsyncResult.at_once(self.results)

    def completed_count(self) -> int:
        """How many have succeeded."""
        return sum(result.successful() for result in self._at_once())

    def ready(self) -> bool:
        """Whether all have ended."""
        return all(result.ready() for result in self._at_once())

    def waiting(self) -> bool:
        """Whether one has not ended."""
        return not self.ready()

    def successful(self) -> bool:
        """Whether all have succeeded."""
        return all(result.successful() for result in self._at_once())

    def failed(self) -> bool:
        """Whether one has failed."""
        return any(result.failed() for result in self._at_once())

    def maybe_throw(self, callback: Callback | None = None, propagate: bool = True) -> None:
        """Raise the exception of the first that has failed; ``callback`` gets the values of the others."""
        for result in self._at_once():
            if result.ready():
                result.maybe_throw(propagate=propagate, callback=callback)

    maybe_reraise = maybe_throw

    # Waiting

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,
        callback: Callback | None = None,
        disable_sync_subtasks: bool = True,
    ) -> list[Any]:
        """Wait for all of them; their values, in order.

        Args:
            timeout: seconds to wait at most, for all of them.
            propagate: raise the exception of the first, in order, that failed; else it is among the values.
            interval: seconds between two looks; by default short ones that grow.
            callback: called with the id and the value of each, in order, instead of returning them.
            disable_sync_subtasks: refuse to wait inside of a task.

        Raises:
            TimeoutError: one of them did not end in time.
            What ``AsyncResult.get`` raises for one of them.
        """
        check_may_wait(disable_sync_subtasks)
        values = []
        for step in self._joining(timeout, propagate, interval):
            if isinstance(step, float):
                time.sleep(step)
            else:
                values.append(step)
        return self._told(values, callback)

    join = join_native = get

    async def aget(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float | None = None,
        callback: Callback | None = None,
    ) -> list[Any]:
        """``get`` for asynchronous code."""
        check_may_wait(True)
        steps, values = self._joining(timeout, propagate, interval), []
        look = sync_to_async(lambda: next(steps, None))
        while (step := await look()) is not None:
            if isinstance(step, float):
                await asyncio.sleep(step)
            else:
                values.append(step)
        return self._told(values, callback)

    ajoin = aget

    def _joining(
        self, timeout: float | None, propagate: bool, interval: float | None
    ) -> Iterator[float | tuple[str, Any]]:
        """Seconds to sleep before the next look, and (id, value) of each result once it is known."""
        waits, known = pauses(timeout, interval), 0
        while True:
            for result in AsyncResult.at_once(self.results[known:]):
                if not result.has_ended():
                    break
                yield result.id, result.value(propagate)
                known += 1
            else:
                return
            pause = next(waits, None)
            if pause is None:
                raise self._timed_out(timeout or 0.0)
            yield pause

    def _timed_out(self, timeout: float) -> TimeoutError:
        left = [result for result in self._at_once() if not result.ready()]
        first = f"; the first that has not is {left[0].id}, {left[0].state}" if left else ""
        done = len(self) - len(left)
        return TimeoutError(f"{done} of {len(self)} tasks have ended after {timeout:g} s{first}.")

    @staticmethod
    def _told(values: list[tuple[str, Any]], callback: Callback | None) -> list[Any]:
        if callback is None:
            return [value for _, value in values]
        for task_id, value in values:
            callback(task_id, value)
        return []

    def iter_native(
        self, timeout: float | None = None, interval: float | None = None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Wait for all of them; (id, what became of it) of each as soon as it has ended."""
        left, waits = self.results, pauses(timeout, interval)
        while left:
            seen = [(result, result.has_ended()) for result in AsyncResult.at_once(left)]
            for result, has_ended in seen:
                if has_ended:
                    yield result.id, {"status": result.state, "result": result.value(False)}
            waiting = [one for one, (_, has_ended) in zip(left, seen, strict=True) if not has_ended]
            if waiting and len(waiting) == len(left):
                pause = next(waits, None)
                if pause is None:
                    raise TimeoutError(
                        f"{len(waiting)} of {len(self)} tasks have not ended in time."
                    )
                time.sleep(pause)
            left = waiting

    # Acting on them

    def revoke(self, terminate: bool = False, signal: str = "SIGTERM") -> dict[str, Answer]:
        """Stop all of them, in one transaction; what could be done with each."""
        answers = revoke(self._ids(), signal=signal if terminate else None)
        for result in self.results:
            result.refresh()
        return {str(task_id): answer for task_id, answer in answers.items()}

    def _ids(self) -> list[UUID]:
        return [task_id for result in self.results if (task_id := parse_id(result.id))]

    def forget(self) -> None:
        """Drop their values, by one statement."""
        forget(self._ids())
        for result in self.results:
            result.refresh()


class GroupResult(ResultSet):
    """The results of a group.

    Args:
        id: of the group.
        results: of its members, in order.
        parent: of what it waited for.
    """

    def __init__(
        self,
        id: UUID | str | None = None,  # noqa: A002  Celery's name for it
        results: Iterable[AsyncResult] = (),
        parent: AsyncResult | GroupResult | None = None,
    ) -> None:
        super().__init__(results)
        self.id = str(id)
        self.parent = parent

    def __str__(self) -> str:
        return self.id

    @property
    def children(self) -> list[AsyncResult]:
        return self.results

    def __bool__(self) -> bool:
        """Always, as with Celery: a group of nothing is a result too."""
        return True

    @property
    def known_parent(self) -> AsyncResult | GroupResult | None:
        """The parent that it was made with."""
        return self.parent

    @property
    def members(self) -> list[AsyncResult]:
        """Its results."""
        return self.results

    def as_tuple(self) -> lineage.Told:
        """Its id with its parent's, and its members': JSON values that ``result_from_tuple`` understands."""
        return lineage.as_tuple(self)

    def save(self) -> None:
        """Nothing has to be done: the tasks know their group."""

    def delete(self) -> None:
        """Drop the values of its members; their states stay."""
        self.forget()

    @classmethod
    def restore(cls, group_id: UUID | str) -> Self | None:
        """The group with this id, as its tasks tell; None where no task is of it (any more)."""
        if (wanted := parse_id(group_id)) is None:
            return None
        members = TrackedTask.objects.using(task_database()).filter(group_id=wanted)
        if not (told := list(members.values_list("pk", "headers"))):
            return None
        # By the ids, unless their order was told.
        ordered = sorted(((one or {}).get(GROUP_INDEX, 0), task_id) for task_id, one in told)
        return cls(group_id, [AsyncResult(task_id) for _, task_id in ordered])


def result_from_tuple(told: Any) -> AsyncResult | GroupResult:
    """What ``as_tuple`` told of: a result with its parents, or a group."""
    return _from_tuple(told, None)


def _from_tuple(told: Any, before: AsyncResult | GroupResult | None) -> AsyncResult | GroupResult:
    """The result of a line that begins behind what is known already."""
    line = []
    while told is not None:
        (task_id, told), members = told
        line.append((task_id, members))
    made = before
    for task_id, members in reversed(line):
        made = (
            AsyncResult(task_id, parent=made)
            if members is None
            else GroupResult(task_id, [_member(each, made) for each in members], parent=made)
        )
    assert made is not None  # noqa: S101  nobody tells of nothing
    return made


def _member(told: Any, before: AsyncResult | GroupResult | None) -> AsyncResult:
    made = _from_tuple(told, before)
    assert isinstance(made, AsyncResult)  # noqa: S101  members are flat
    return made
