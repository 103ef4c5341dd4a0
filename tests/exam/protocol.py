"""The protocol of claims, ends, revokes and rescues as a small model, searched through all its states.

It knows no database: a row is what the fences look at, a worker is what it believes to hold. Every step is
one statement of the real thing, and any step may come at any time; a worker that was found lost does not
know it, and goes on. ``Rules`` switches single guards off: the old bugs, which the search must find.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

WAITING, STARTED, SUCCESS, FAILURE, REVOKED = "waiting", "started", "success", "failure", "revoked"
FINAL = frozenset({SUCCESS, FAILURE, REVOKED})


@dataclass(frozen=True, slots=True)
class Rules:
    """The guards, and how far the search goes.

    Args:
        fence: what a write compares: the lease, the number of the attempt, or nothing.
        worker: whether a write compares the worker.
        rescue_asks: whether the rescue looks if the worker lives.
        revoke_asks: whether a revoke looks if somebody has claimed the task.
        kill_bumps: whether a terminating revoke takes the lease away.
        wish_holds: whether a task is kept from its queue while somebody wants it to end.
        rescue_presumes: whether the rescue records a start that nobody saw.
        wishes: the ways in which a revoke may be asked for.
        workers, tasks, claims, reruns: how many; claims and reruns are for each task, and each rerun
            allows one claim more.
    """

    fence: Literal["lease", "attempt", "nothing"] = "lease"
    worker: bool = True
    rescue_asks: bool = True
    revoke_asks: bool = True
    kill_bumps: bool = True
    wish_holds: bool = True
    rescue_presumes: bool = True
    wishes: tuple[str, ...] = ("ask", "kill")
    workers: int = 3
    tasks: int = 1
    claims: int = 2
    reruns: int = 1


class Task(NamedTuple):
    """A row, and behind it what only the search knows.

    ``serial`` numbers the claim that owns the row (0: none), whatever the lease says; ``claims`` counts
    them all. ``began``: its body has begun under a claim that owned it. ``told``: history shows a start.
    """

    state: str = WAITING
    claimed: bool = False
    lease: int = 0
    attempt: int = 0
    worker: int = -1
    wish: str = ""
    serial: int = 0
    claims: int = 0
    reruns: int = 0
    began: bool = False
    told: bool = False


class Held(NamedTuple):
    """What a worker believes to hold. ``lease`` and ``attempt`` are what its writes will say."""

    task: int
    lease: int
    attempt: int
    serial: int
    runs: bool = False


class World(NamedTuple):
    """All rows, what each worker holds, and which workers were found lost."""

    tasks: tuple[Task, ...]
    held: tuple[tuple[Held, ...], ...]
    lost: tuple[bool, ...]


class Broken(Exception):
    """A step that no run may take; the message is the invariant."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a search has found.

    Attributes:
        states: how many it has seen.
        broken: the invariant that does not hold, or None.
        path: the shortest way there.
    """

    states: int
    broken: str | None = None
    path: tuple[str, ...] = ()


Step = tuple[str, Callable[[], World]]


def search(rules: Rules) -> Verdict:
    """Every world that can be reached, breadth first, until one breaks an invariant."""
    first = World((Task(),) * rules.tasks, ((),) * rules.workers, (False,) * rules.workers)
    before: dict[World, tuple[World, str] | None] = {first: None}
    queue = deque([first])
    while queue:
        world = queue.popleft()
        for name, act in Protocol(rules, world).steps():
            try:
                after = _canonical(act())
            except Broken as broken:
                return Verdict(len(before), str(broken), (*_path(before, world), name))
            if after not in before:
                before[after] = world, name
                queue.append(after)
    return Verdict(len(before))


def _path(before: dict[World, tuple[World, str] | None], world: World) -> tuple[str, ...]:
    steps: list[str] = []
    while (origin := before[world]) is not None:
        world, name = origin
        steps.append(name)
    return tuple(reversed(steps))


def _canonical(world: World) -> World:
    """Workers are alike: worlds that differ in their numbers alone are one."""
    owners = [tuple(t.worker == n for t in world.tasks) for n in range(len(world.held))]
    keys = list(zip(world.held, world.lost, owners, strict=True))
    order = sorted(range(len(keys)), key=keys.__getitem__)
    place = {old: new for new, old in enumerate(order)} | {-1: -1}
    return World(
        tuple(task._replace(worker=place[task.worker]) for task in world.tasks),
        tuple(world.held[old] for old in order),
        tuple(world.lost[old] for old in order),
    )


class Protocol:
    """The steps that are possible in one world."""

    def __init__(self, rules: Rules, world: World) -> None:
        self._rules = rules
        self._world = world

    def steps(self) -> Iterator[Step]:
        """Every step that anybody may take now: its name, and what makes it."""
        for number, lost in enumerate(self._world.lost):
            if not lost:
                yield f"lose w{number}", lambda n=number: self._lose(n)  # type: ignore[misc]
            for held in self._world.held[number]:
                yield from self._steps_of(number, held)
        for index, task in enumerate(self._world.tasks):
            yield from self._steps_on(index, task)

    def _steps_of(self, worker: int, held: Held) -> Iterator[Step]:
        """What a worker does with a claim: of a zombie too."""

        def does(name: str, act: Callable[[], World]) -> Step:
            return f"w{worker} {name} t{held.task} ({held.serial}.)", act

        if not held.runs:
            yield does("begins", lambda: self._begin(worker, held))
            yield does("unclaims", lambda: self._unclaim(worker, held))
        else:
            yield does("writes started of", lambda: self._start(worker, held))
            for target in (SUCCESS, FAILURE):
                yield does(target, lambda t=target: self._end(worker, held, t))  # type: ignore[misc]
            yield does("retries", lambda: self._yield(worker, held, uncounted=0))
            yield does("releases", lambda: self._yield(worker, held, uncounted=1))
        task = self._world.tasks[held.task]
        if task.wish and task.claimed and task.worker == worker:
            yield does("stops", lambda: self._stop(worker, held))

    def _steps_on(self, index: int, task: Task) -> Iterator[Step]:
        """What others do with a row."""
        rules = self._rules
        if not task.claimed and task.state == WAITING and self._may_be_claimed(task):
            for worker, held in enumerate(self._world.held):
                if all(h.task != index for h in held):
                    yield (
                        f"w{worker} claims t{index}",
                        lambda w=worker: self._claim(w, index),  # type: ignore[misc]
                    )
        if task.state not in FINAL and task.wish != "kill":
            for wish in rules.wishes:
                if task.wish != wish:
                    yield (
                        f"revoke ({wish}) t{index}",
                        lambda w=wish: self._revoke(index, w),  # type: ignore[misc]
                    )
        if task.claimed and (not rules.rescue_asks or self._world.lost[task.worker]):
            yield f"rescue t{index}", lambda: self._rescue(index)
        if task.state in (FAILURE, REVOKED) and task.reruns < rules.reruns:
            yield f"rerun t{index}", lambda: self._rerun(index)

    # Steps of workers

    def _lose(self, worker: int) -> World:
        lost = tuple(was or n == worker for n, was in enumerate(self._world.lost))
        return self._world._replace(lost=lost)

    def _claim(self, worker: int, index: int) -> World:
        task = self._world.tasks[index]
        if task.wish:
            raise Broken("a task that somebody wants to end is run again")
        task = task._replace(
            claimed=True,
            worker=worker,
            lease=task.lease + 1,
            attempt=task.attempt + 1,
            claims=task.claims + 1,
            serial=task.claims + 1,
        )
        held = Held(index, task.lease, task.attempt, task.serial)
        return self._with(index, task, worker, add=held)

    def _begin(self, worker: int, held: Held) -> World:
        task = self._world.tasks[held.task]
        if task.state == REVOKED and not task.told and task.serial in (0, held.serial):
            raise Broken("a task runs that was revoked before it started")
        mine = held.serial == task.serial
        if mine:
            task = task._replace(began=True)
        world = self._with(held.task, task, worker, held, held._replace(runs=True))
        bodies = [
            other
            for number, claims in enumerate(world.held)
            for other in claims
            if other.task == held.task and other.runs and not world.lost[number]
        ]
        if len(bodies) > 1:
            raise Broken("two living workers run one task")
        return world

    def _start(self, worker: int, held: Held) -> World:
        task = self._world.tasks[held.task]
        if task.state != WAITING or not self._passes(task, worker, held):
            return self._world
        return self._with(held.task, self._written(task, held, STARTED), worker)

    def _end(self, worker: int, held: Held, target: str) -> World:
        task = self._world.tasks[held.task]
        if not self._passes(task, worker, held):
            return self._with(held.task, task, worker, held)
        if task.wish == "kill":
            raise Broken("a body that was terminated ends its task")
        return self._with(held.task, self._written(task, held, target), worker, held)

    def _yield(self, worker: int, held: Held, uncounted: int) -> World:
        """Retry and release: the task may run again."""
        task = self._world.tasks[held.task]
        if not self._passes(task, worker, held) or (task.wish and self._rules.wish_holds):
            # Refused because of a wish, the claim is kept to answer it.
            answers = task.wish and task.worker == worker and held.lease == task.lease
            return self._with(held.task, task, worker, held, held if answers else None)
        task = self._written(task, held, WAITING)._replace(attempt=task.attempt - uncounted)
        return self._with(held.task, task, worker, held)

    def _unclaim(self, worker: int, held: Held) -> World:
        task = self._world.tasks[held.task]
        if not self._passes(task, worker, held) or not task.claimed or task.state != WAITING:
            return self._with(held.task, task, worker, held)
        if task.wish and self._rules.wish_holds:
            return self._world
        self._owned(task, held)
        task = task._replace(claimed=False, worker=-1, serial=0, attempt=task.attempt - 1)
        return self._with(held.task, task, worker, held)

    def _stop(self, worker: int, held: Held) -> World:
        """The worker answers a wish, under the lease that the row shows now."""
        task = self._world.tasks[held.task]
        held_now = held._replace(lease=task.lease, attempt=task.attempt)
        if held.runs:
            task = self._written(task, held_now, REVOKED)
        else:
            self._owned(task, held_now)
            task = task._replace(state=REVOKED, claimed=False, serial=0)
            self._check_never_ran(task)
        return self._with(held.task, task, worker, held)

    # Steps of others

    def _revoke(self, index: int, wish: str) -> World:
        task = self._world.tasks[index]
        if task.claimed and self._rules.revoke_asks:
            bump = int(wish == "kill" and self._rules.kill_bumps)
            task = task._replace(wish=wish, lease=task.lease + bump)
        else:
            task = task._replace(state=REVOKED, claimed=False, worker=-1, serial=0)
            self._check_never_ran(task)
        return self._with(index, task)

    def _rescue(self, index: int) -> World:
        task = self._world.tasks[index]
        if self._rules.rescue_presumes or task.state == STARTED:
            task = task._replace(told=True)
        state = REVOKED if task.wish else WAITING
        # Without a further claim to give, the search ends here: as FAILURE, which may be run again.
        state = FAILURE if state == WAITING and not self._may_be_claimed(task) else state
        worker = -1 if state == WAITING else task.worker
        task = task._replace(state=state, claimed=False, worker=worker, serial=0)
        if state == REVOKED:
            self._check_never_ran(task)
        return self._with(index, task)

    def _rerun(self, index: int) -> World:
        task = self._world.tasks[index]
        again = Task(
            lease=task.lease + 1,
            reruns=task.reruns + 1,
            claims=task.claims,
            began=task.began,
            told=task.told,
        )
        return self._with(index, again)

    def _may_be_claimed(self, task: Task) -> bool:
        return task.claims < self._rules.claims + task.reruns

    # Fences

    def _passes(self, task: Task, worker: int, held: Held) -> bool:
        if task.state in FINAL:
            return False
        fences = {
            "lease": task.lease == held.lease,
            "attempt": task.attempt == held.attempt,
            "nothing": True,
        }
        mine = task.worker == worker or not self._rules.worker
        return fences[self._rules.fence] and mine

    def _written(self, task: Task, held: Held, target: str) -> Task:
        """The row after an accepted write of a body that has begun."""
        self._owned(task, held)
        ended = target != STARTED
        return task._replace(
            state=target,
            told=True,
            claimed=not ended,
            serial=0 if ended else task.serial,
            worker=-1 if target == WAITING else task.worker,
        )

    def _owned(self, task: Task, held: Held) -> None:
        if task.serial != held.serial:
            raise Broken("the write of a claim that was lost is accepted")

    def _check_never_ran(self, task: Task) -> None:
        if task.began and not task.told:
            raise Broken("REVOKED without STARTED, and its body has run")

    def _with(
        self,
        index: int,
        task: Task,
        worker: int = -1,
        drop: Held | None = None,
        add: Held | None = None,
    ) -> World:
        """This world with another row, and one claim of a worker dropped, replaced or added."""
        tasks = tuple(task if n == index else t for n, t in enumerate(self._world.tasks))
        held = self._world.held
        if worker >= 0 and (drop or add):
            mine = {h for h in held[worker] if h != drop} | ({add} if add else set())
            changed = tuple(sorted(mine))
            held = tuple(changed if n == worker else h for n, h in enumerate(held))
        return World(tasks, held, self._world.lost)
