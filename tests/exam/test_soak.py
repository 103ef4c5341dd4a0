"""M6: random faults for minutes, or for as long as one likes, under a load of all kinds.

``TASKTRACK_EXAM_SOAK`` is the length in seconds (180), ``TASKTRACK_EXAM_SEED`` the seed.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from uuid import UUID

import psutil
import pytest
from django.conf import LazySettings
from django.db import connection

from django_tasktrack.models import Worker
from tests.exam import load
from tests.exam.mixed import Mixed
from tests.exam.report import Figures
from tests.workers import WorkerProcess, wait_until, worker

LENGTH = float(os.environ.get("TASKTRACK_EXAM_SOAK", "180"))
SEED = os.environ.get("TASKTRACK_EXAM_SEED", "6")
#: Tasks a second.
RATE = 15
_SOON = {"GOAL_BACKOFF": 0.2}
_POOLS = ("prefork", "prefork", "threads")


class Crew:
    """Three workers, and what befalls them. Each is started again when it has ended, as by a service
    manager.

    Args:
        chance: who is hit, and for how long.

    Attributes:
        starts: how often a worker was started.
        in_flight: for each fault, what those held whom it hit: that may run once more, and nothing else.
    """

    def __init__(self, chance: random.Random) -> None:
        self.starts = 0
        self.in_flight: list[Collection[UUID]] = []
        self._chance = chance
        self._slots: dict[int, tuple[WorkerProcess, ExitStack]] = {}
        self._thaws: list[threading.Timer] = []
        self.faults = {
            "kill a child": self._kill_a_child,
            "kill a parent": self._kill_a_parent,
            "kill a tree": self._kill_a_tree,
            "freeze a tree": self._freeze_a_tree,
            "freeze a parent": self._freeze_a_parent,
            "stop": self._stop,
            "stop at once": self._stop_at_once,
        }

    def tend(self) -> None:
        """Start what does not run."""
        for number, pool in enumerate(_POOLS):
            known = self._slots.get(number)
            if known and known[0].process.poll() is None:
                continue
            if known:
                known[1].close()
            stack = ExitStack()
            options = ("-n", f"w{number}", "-P", pool, "-c", "2")
            one = stack.enter_context(worker(*options, tasktrack=_SOON, wait=False))
            self._slots[number] = one, stack
            self.starts += 1

    def calm_down(self) -> None:
        """No fault lasts from here on."""
        for thaw in self._thaws:
            thaw.cancel()
            thaw.function(*thaw.args)
        self.tend()

    def end(self) -> None:
        self.calm_down()
        for _, stack in self._slots.values():
            stack.close()

    def _one(self) -> WorkerProcess:
        return self._chance.choice([one for one, _ in self._slots.values()])

    # Faults

    def _note_in_flight(self, one: WorkerProcess) -> None:
        time.sleep(0.05)  # what it has asked for before the fault is written by then
        rows = Worker.objects.filter(pid=one.pid).values_list("pk", flat=True)
        self.in_flight.append(load.claims_of(rows).keys())

    def _kill_a_child(self) -> None:
        one = self._one()
        with load.standing_still(one), suppress(psutil.NoSuchProcess):
            self._note_in_flight(one)
            children = psutil.Process(one.pid).children(recursive=True)
            if children:
                self._chance.choice(children).kill()

    def _kill_a_parent(self) -> None:
        one = self._one()
        with load.standing_still(one):
            self._note_in_flight(one)
            one.process.kill()

    def _kill_a_tree(self) -> None:
        one = self._one()
        with load.standing_still(one):
            self._note_in_flight(one)
            one.kill_tree()

    def _freeze_a_tree(self) -> None:
        one = self._one()
        self._freeze(one, one.tree())

    def _freeze_a_parent(self) -> None:
        one = self._one()
        self._freeze(one, one.tree()[:1])

    def _freeze(self, one: WorkerProcess, processes: Sequence[psutil.Process]) -> None:
        """For less than the lease, or more; a thread wakes them, because this one may have to wait for
        locks of theirs."""
        _signal(processes, signal.SIGSTOP)
        seconds = self._chance.choice([1.0, 4.0, 7.0, 10.0])
        thaw = threading.Timer(seconds, _signal, (processes, signal.SIGCONT))
        thaw.start()
        self._thaws = [*(t for t in self._thaws if t.is_alive()), thaw]
        self._note_in_flight(one)

    def _stop(self) -> None:
        self._one().terminate()

    def _stop_at_once(self) -> None:
        one = self._one()
        one.terminate()
        self._note_in_flight(one)
        time.sleep(0.7)
        one.terminate()


def _signal(processes: Sequence[psutil.Process], signum: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signum)


def cut_sessions() -> None:
    """End every session of the test database but this one, where there are such."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        elif connection.vendor == "mysql":
            cursor.execute(
                "SELECT id FROM information_schema.processlist"
                " WHERE db = database() AND id <> connection_id()"
            )
            for (session,) in cursor.fetchall():
                with suppress(Exception):  # it may have gone by itself
                    cursor.execute("KILL CONNECTION %s", [session])


@pytest.mark.case("M6")
@pytest.mark.long
def test_random_faults_lose_nothing(settings: LazySettings, book: Path, figures: Figures) -> None:
    print(f"TASKTRACK_EXAM_SEED={SEED} TASKTRACK_EXAM_SOAK={LENGTH:g}")
    settings.TASKTRACK = {**settings.TASKTRACK, **_SOON}
    chance = random.Random(f"soak {SEED}")
    mixed, crew = Mixed(SEED, book), Crew(chance)
    faults: dict[str, Callable[[], object]] = {
        **crew.faults,
        "cut all sessions": cut_sessions,
        "purge": lambda: mixed.purge(older_than=5),
    }
    try:
        befell = _soak(mixed, crew, faults, chance)
        crew.calm_down()
        stopped = time.monotonic()
        wait_until(lambda: _is_done(mixed, crew), timeout=90, what="the end of all tasks and goals")
        caught_up = time.monotonic() - stopped
    finally:
        crew.end()
    print(befell, mixed.answers)
    again = mixed.ran_again()
    crew.in_flight.append(mixed.begun_under_the_lost())
    figures |= {
        "seed": SEED,
        "seconds": LENGTH,
        "tasks": len(mixed.acknowledged),
        "progress seen to rise": mixed.rises,
        "faults": befell.total(),
        "workers started": crew.starts,
        "purged": mixed.purged,
        "interfered": mixed.answers.total(),
        "in flight at faults": sum(map(len, crew.in_flight)),
        "runs beyond one": sum(again.values()),
        "lost": len(mixed.lost()),
        "all done after s": round(caught_up, 1),
    }
    assert set(befell) == set(faults) or LENGTH < 120, "some faults never came"
    assert not load.unexplained(again, *crew.in_flight), "not in flight at a fault, and ran again"
    mixed.check()


def _soak(
    mixed: Mixed, crew: Crew, faults: dict[str, Callable[[], object]], chance: random.Random
) -> Counter[str]:
    """Load and faults, as long as it is to last: which came how often."""
    befell: Counter[str] = Counter()
    began = time.monotonic()
    put, next_fault = 0, 3.0
    while (elapsed := time.monotonic() - began) < LENGTH:
        crew.tend()
        due = int(elapsed * RATE) - put
        mixed.put(due)
        put += due
        if due and chance.random() < 0.1:
            mixed.interfere()
        if elapsed >= next_fault:
            fault = chance.choice(list(faults))
            print(f"{elapsed:7.1f} s: {fault}")
            faults[fault]()
            befell[fault] += 1
            next_fault = time.monotonic() - began + chance.uniform(0.3, 4.0)
        time.sleep(0.05)
    return befell


def _is_done(mixed: Mixed, crew: Crew) -> bool:
    crew.tend()
    return mixed.is_done()
