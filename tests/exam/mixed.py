"""A load of all kinds, people who interfere with it, and what must be true of it in the end."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from uuid import UUID

from django_tasktrack import AsyncResult, goals, transitions
from django_tasktrack.models import Goal, GoalAttempt, StateChange, TrackedTask
from django_tasktrack.purge import purge
from django_tasktrack.states import FINAL, State
from django_tasktrack.transitions import Answer
from tests import invariants, ledger
from tests.app import tasks
from tests.exam import load

_KINDS = {
    "short": 50,
    "long": 4,
    "counting": 10,
    "stumbling": 12,
    "scheduled": 8,
    "keyed": 8,
    "failing": 4,
    "of a goal": 8,
    "achieving": 4,
}
_INTERFERENCE = {"revoke": 5, "terminate": 3, "rerun": 2}


class Mixed:
    """The load, and what is known of it outside the database.

    Args:
        seed: of all that is random here.
        book: the ledger.
    """

    def __init__(self, seed: object, book: Path) -> None:
        self._chance = random.Random(f"mixed {seed}")
        self._book = book
        self._prefix = str(seed)
        self._acknowledged: list[str] = []
        self._sure: set[str] = set()  # they end by themselves, and say so in the ledger
        self._stumbles: Counter[str] = Counter()  # runs beyond one that a task is enqueued for
        self._touched: set[str] = set()
        self._run_again: set[str] = set()
        self._given_up: set[str] = set()
        self._begun_under_the_lost: set[tuple[UUID, int]] = set()
        self.answers: Counter[str] = Counter()
        self.purged = 0
        self._watch = invariants.ProgressWatch()

    # What goes on

    def put(self, count: int) -> None:
        """Enqueue so many, of every kind."""
        kinds = self._chance.choices(list(_KINDS), list(_KINDS.values()), k=count)
        for kind in kinds:
            self._put(kind)
        self._watch.look()

    def _put(self, kind: str) -> None:
        chance, number = self._chance, len(self._acknowledged)
        key = f"{self._prefix}-{number}"
        match kind:
            case "short":
                self._has(tasks.noted.delay(number, chance.uniform(0.0, 0.03)))
            case "long":
                self._has(tasks.noted.delay(number, chance.uniform(0.3, 1.0)))
            case "counting":
                self._has(tasks.counts.delay(4, chance.uniform(0.01, 0.1)))
            case "stumbling":
                times = chance.randint(1, 3)
                self._has(tasks.stumbles.delay(times, 0.01))
                self._stumbles[self._acknowledged[-1]] = times
            case "scheduled":
                countdown = chance.uniform(0.1, 3.0)
                self._has(tasks.noted.apply_async((number,), countdown=countdown))
            case "keyed":  # answered with the task that has the key, where one has
                wanted = f"{self._prefix} {chance.randrange(4)}"
                self._has(tasks.noted.apply_async((number, 0.2), unique_key=wanted))
            case "failing":
                self._has(tasks.fails.delay(), sure=False)
            case "of a goal":
                goals.pursue(
                    "noted", key=key, task=tasks.noted, args=[number, 0.01], achieve_on_success=True
                )
            case "achieving":
                goals.pursue("achieved", key=key, task=tasks.achieves, args=["achieved", key])

    def _has(self, result: AsyncResult, sure: bool = True) -> None:
        self._acknowledged.append(result.id)
        if sure:
            self._sure.add(result.id)

    def interfere(self) -> str:
        """Do with a task that is not old what people do; says what was done."""
        verb = self._chance.choices(list(_INTERFERENCE), list(_INTERFERENCE.values()))[0]
        task_id = self._chance.choice(self._acknowledged[-150:])
        asked = [UUID(task_id)]
        if verb == "rerun":
            answers = transitions.rerun(asked, actor="user:boss")
        else:
            signal = "SIGTERM" if verb == "terminate" else None
            answers = transitions.revoke(asked, signal=signal, actor="user:boss")
        (answer,) = answers.values()
        if answer not in (Answer.REFUSED, Answer.UNKNOWN):
            self._touched.add(task_id)
            if verb == "rerun":
                self._run_again.add(task_id)
        self.answers[f"{verb}: {answer}"] += 1
        return f"{verb} {task_id}: {answer}"

    def purge(self, older_than: float) -> int:
        """Delete what has ended; how many."""
        self._note_given_up()
        self._note_begun_under_the_lost()
        purged = sum(one.tasks for one in purge(older_than=older_than))
        self.purged += purged
        return purged

    def _note_given_up(self) -> None:
        """Those that have taken too many processes along."""
        capped = TrackedTask.objects.filter(
            state=State.FAILURE, history__reason__endswith="no further attempt"
        )
        self._given_up |= {str(pk) for pk in capped.values_list("pk", flat=True)}

    def _note_begun_under_the_lost(self) -> None:
        begun = StateChange.objects.filter(state=State.STARTED, label="")
        under_the_lost = begun.filter(worker__lost_at__isnull=False)
        self._begun_under_the_lost |= set(under_the_lost.values_list("task_id", "seq"))

    # What is true in the end

    @property
    def acknowledged(self) -> list[str]:
        """Those of the goals too: all that the workers have enqueued."""
        served = GoalAttempt.objects.values_list("task_id", flat=True)
        return list(dict.fromkeys([*self._acknowledged, *map(str, served)]))

    def is_done(self) -> bool:
        """Whether every task has ended and every goal is settled."""
        self._watch.look()
        return load.is_done() and not Goal.objects.filter(state__in=Goal.UNMET).exists()

    def lost(self) -> list[str]:
        """Of those that nobody interfered with and that took no process along: what did not come to its end."""
        self._note_given_up()
        ended = {entry.task_id for entry in ledger.read(self._book) if entry.event == "ended"}
        return sorted(self._sure - self._touched - self._given_up - ended)

    @property
    def rises(self) -> int:
        """How often progress was seen to rise; it was never seen to fall."""
        return self._watch.rises

    def ran_again(self) -> dict[str, int]:
        """Bodies that began again though nobody asked for it: task → how often more."""
        again = Counter(load.runs_beyond_one(self._book)) - self._stumbles
        return {id_: count for id_, count in again.items() if id_ not in self._run_again}

    def begun_under_the_lost(self) -> list[UUID]:
        """Tasks that began under workers that were found lost: as often as that, purged or not.

        One that thaws after its lease claims on until it learns of that, and others run its tasks meanwhile.
        """
        self._note_begun_under_the_lost()
        return [task_id for task_id, _ in self._begun_under_the_lost]

    def check(self) -> None:
        """Everything that must be true once the faults are over and all is done."""
        assert not self.lost(), "acknowledged, and never came to an end"
        left = TrackedTask.objects.exclude(state__in=FINAL).values_list("pk", "state", "stage")
        assert not list(left)
        # Those that achieve use a connection of their own, which may be cut: their goal goes on.
        may_fail = (tasks.fails.name, tasks.achieves.name)
        failures = TrackedTask.objects.filter(state=State.FAILURE).exclude(name__in=may_fail)
        excused = self._given_up | self._touched
        told = dict(failures.exclude(pk__in=excused).values_list("pk", "error_message"))
        assert not told, "failed without a reason of their own"
        settled = Goal.objects.values_list("state", "attempts", "max_attempts")
        for state, attempts, limit in settled:
            spent = state == Goal.State.FAILED and attempts == limit
            assert state == Goal.State.ACHIEVED or spent, (state, attempts, limit)
        invariants.check(self.acknowledged, self._book, purged=self.purged)
