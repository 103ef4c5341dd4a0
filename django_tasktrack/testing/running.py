"""``run_due()`` and ``run_all()``: do in a test what workers would do meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async

from .. import registry, states
from ..declaration import Task, definition_of
from ..eager import is_about_the_process
from ..exceptions import TasktrackError
from ..result import AsyncResult
from .inline import InlineWorker, Ran
from .modes import travel

Tasks = Iterable[Task[..., Any] | str]

#: Without a limit, so many attempts are run, and so many waits cut short, before that is an error.
ENDLESS = 1000


def run_due(
    *,
    queues: str | Sequence[str] = (),
    tasks: Tasks | None = None,
    limit: int | None = None,
    propagate: bool = True,
) -> list[AsyncResult]:
    """Run the tasks that are due, and those that become due by that, as a worker would.

    They are claimed, run and settled on the test's own connection, inside of its transaction if it has one,
    larger priority first. What is scheduled for later stays: see ``travel`` and ``run_all``.

    Args:
        queues: those to look at; by default all.
        tasks: those to run, by themselves or by name; by default all.
        limit: attempts at the most; then the rest stays due.
        propagate: raise what a task has failed with, once its end is written; the rest stays due. A retry
            is no failure.

    Returns:
        A result for each task that ran, in the order of their first attempts.

    Raises:
        Exception: the failed task's own one.
        TasktrackError: there is no limit, and after 1,000 attempts tasks are still due.
    """
    with InlineWorker(_several(queues), _names(tasks)) as worker:
        round_ = _Round(worker, limit, propagate)
        round_.run_due()
        return round_.results()


def run_all(
    *,
    queues: str | Sequence[str] = (),
    tasks: Tasks | None = None,
    limit: int | None = None,
    propagate: bool = True,
) -> list[AsyncResult]:
    """``run_due``, and then what is scheduled, until nothing waits: countdowns, retries, next tasks of goals.

    The clock of the tasks is moved to each of these moments in turn, and back in the end.
    """
    with InlineWorker(_several(queues), _names(tasks)) as worker, ExitStack() as journey:
        round_ = _Round(worker, limit, propagate)
        round_.run_due()
        while (wait := round_.wait()) is not None:
            journey.enter_context(travel(by=wait))
            round_.run_due()
        return round_.results()


#: For asynchronous tests.
arun_due = sync_to_async(run_due)
arun_all = sync_to_async(run_all)


class _Round:
    """What one call has run."""

    def __init__(self, worker: InlineWorker, limit: int | None, propagate: bool) -> None:
        self._worker = worker
        self._limit = limit
        self._propagate = propagate
        self._ids: dict[UUID, None] = {}
        self._attempts: Counter[str] = Counter()
        self._waits = 0

    def results(self) -> list[AsyncResult]:
        return [AsyncResult(task_id) for task_id in self._ids]

    def run_due(self) -> None:
        while not self._is_full():
            ran = self._worker.run_next()
            if ran is None:
                return
            self._ids[ran.claim.task_id] = None
            self._attempts[ran.claim.name] += 1
            self._pass_on(ran)

    def wait(self) -> float | None:
        """Seconds until there is more to do. None: there is not, or it is enough."""
        self._waits += 1
        return None if self._is_full() else self._worker.next_in()

    def _is_full(self) -> bool:
        done = self._attempts.total()
        if self._limit is not None:
            return done >= self._limit
        if max(done, self._waits) > ENDLESS:
            raise _endless(self._attempts)
        return False

    def _pass_on(self, ran: Ran) -> None:
        if ran.error is None:
            return
        failed = ran.transition is states.FAIL
        if (failed and self._propagate) or is_about_the_process(ran.error):
            raise ran.error


def _endless(attempts: Counter[str]) -> TasktrackError:
    most = ", ".join(f"{name} {count:,}" for name, count in attempts.most_common(3))
    return TasktrackError(
        f"There is no end to it: {most or 'nothing could be run'}, and there is more to do.",
        hint="Pass limit=, or the tasks= that are meant; or let them come to an end.",
    )


def _several(queues: str | Sequence[str]) -> Sequence[str]:
    return [queues] if isinstance(queues, str) else list(queues)


def _names(tasks: Tasks | None) -> Sequence[str]:
    return registry.names() if tasks is None else [definition_of(task).name for task in tasks]
