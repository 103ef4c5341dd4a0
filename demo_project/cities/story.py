"""The demo as it is told: what is enqueued, what is done to it, what is said about it."""

from __future__ import annotations

import time

from django.db import transaction
from rich.console import Console
from rich.padding import Padding

from django_tasktrack import AsyncResult, goals
from django_tasktrack.goals import PursuedGoal
from django_tasktrack.models import Goal, TrackedTask, Worker

from . import source, tables
from .display import Stalled, watch
from .models import City, Country, Neighbour
from .tasks import IMPORTED, RANKING, find_neighbours, import_cities, lock_ranking, publish_ranking

_LARGE = 500_000
_TASKS = [task.name for task in (import_cities, find_neighbours, publish_ranking)]


class Unexpected(Exception):
    """A task ended otherwise than the demo says."""


@transaction.atomic
def forget() -> None:
    """Remove the cities and their goal, and what an interrupted demo has left to be done."""
    left = TrackedTask.objects.unfinished().named(_TASKS)
    for task_id in left.values_list("pk", flat=True):
        AsyncResult(task_id).revoke(terminate=True, actor="demo", reason="a new demo begins")
    Goal.objects.filter(kind=IMPORTED).delete()
    Neighbour.objects.all().delete()
    Country.objects.all().delete()


class Story:
    """Tells the demo on a console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tasks: list[AsyncResult] = []

    def tell(self) -> None:
        """The whole demo.

        Raises:
            Stalled: no worker takes a task, or it does not proceed.
            Unexpected: a task ended otherwise than it should.
        """
        goal = self._goal()
        self._revoked()
        self._retried()
        self._heading("What is on record")
        for task in self._tasks:
            self._console.print(tables.history(task))
        self._console.print(tables.goal(goal))

    @staticmethod
    def _await_worker(patience: float = 15.0) -> None:
        deadline = time.monotonic() + patience
        while not Worker.objects.alive().exists():
            if time.monotonic() > deadline:
                raise Stalled("No worker is running.")
            time.sleep(0.1)

    def _goal(self) -> PursuedGoal:
        self._await_worker()
        self._heading("1  A goal: the cities of the world are imported")
        self._code(f'goals.pursue("{IMPORTED}", key="{source.RELEASE}", task=import_cities, ...)')
        goal = goals.pursue(
            IMPORTED,
            key=source.RELEASE,
            task=import_cities,
            kwargs={"release": source.RELEASE},
        )
        served = goal.attempts()[-1]
        if goal.state == Goal.State.ACHIEVED:
            self._say("It has been achieved already, so nothing was enqueued.")
        self._follow(AsyncResult(served.task_id), "SUCCESS")
        self._say(f"{City.objects.count():,} cities; goal and last chunk were committed together.")
        return goal

    def _revoked(self) -> None:
        self._heading("2  A long job, revoked half-way")
        self._code(f"task = find_neighbours.delay(above={_LARGE:_})")
        task = find_neighbours.delay(above=_LARGE)
        watch(self._console, task, until=_is_half_done)
        self._code('task.revoke(terminate=True, reason="half of it is enough")')
        task.revoke(terminate=True, actor="demo", reason="half of it is enough")
        self._follow(task, "REVOKED")
        total = City.objects.filter(population__gt=_LARGE).count()
        kept = Neighbour.objects.count()
        self._say(f"Its process was ended; {kept} of {total} rows had been committed by then.")

    def _retried(self) -> None:
        self._heading("3  A job that meets an obstacle, and is retried")
        with RANKING.open("a") as file:
            lock_ranking(file)
            self._say(f"This program holds the lock on {RANKING.name} until two attempts failed.")
            self._code("publish_ranking.delay()  # retries by itself when the file is locked")
            task = publish_ranking.delay()
            watch(self._console, task, until=_has_failed_twice)
        self._say("The lock is free now.")
        self._follow(task, "SUCCESS")
        self._say(f"{RANKING.name} is written, by attempt {1 + (task.retries or 0)}.")

    def _follow(self, task: AsyncResult, expected: str) -> None:
        """Watch a task to its end, which must be the expected one."""
        watch(self._console, task)
        self._tasks.append(task)
        if task.state != expected:
            raise Unexpected(
                f"{task.name} [{task.id}] ended as {task.state}, not {expected}.\n{task.traceback or ''}"
            )

    def _heading(self, text: str) -> None:
        self._console.print(f"\n[bold]{text}[/bold]\n")

    def _code(self, text: str) -> None:
        self._console.print(f"  >>> {text}", style="dim", markup=False, soft_wrap=True)

    def _say(self, text: str) -> None:
        self._console.print(Padding(text, (0, 0, 0, 2), expand=False))


def _is_half_done(task: AsyncResult) -> bool:
    return task.ready() or (task.progress.percent or 0) >= 50


def _has_failed_twice(task: AsyncResult) -> bool:
    return task.ready() or sum(change.state == "RETRY" for change in task.history()) >= 2
