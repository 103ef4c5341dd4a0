"""Statements of a worker's own connections that fail now and then, as the dice of a seed have it.

Installed by the tests' app in processes whose environment has a plan. Bodies keep connections that work.
"""

from __future__ import annotations

import json
import os
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_tasktrack.vendors import sessions
from tests.exam.tapping import Tap

PLAN = "TASKTRACK_TEST_FAILPOINTS"


class Fault(StrEnum):
    """What becomes of one statement or commit."""

    REFUSED = "refused"  # a deadlock's victim: nothing was done, and the session lives
    CUT = "cut"  # the session is gone before the statement came
    UNANSWERED = "unanswered"  # it was done, and the session went instead of the reply
    LATE = "late"
    UNREACHABLE = "unreachable"  # no new session


_OF_STATEMENTS = (Fault.REFUSED, Fault.CUT, Fault.UNANSWERED, Fault.LATE)


@dataclass(frozen=True, slots=True)
class Plan:
    """How often what fails.

    Attributes:
        seed: of the dice.
        rate: the share of statements that fail.
        record: the file that tells what has failed.
    """

    seed: str
    rate: float
    record: str

    def environment(self) -> dict[str, str]:
        """What a worker process needs to follow it."""
        return {PLAN: json.dumps(asdict(self))}


def injected(record: Path) -> Counter[str]:
    """What has failed so far: fault → how often."""
    lines = record.read_text().splitlines() if record.exists() else []
    return Counter(line.split()[0] for line in lines)


def install() -> None:
    """Have every connection of the worker's own fail from now on."""
    plan = Plan(**json.loads(os.environ[PLAN]))
    connect, opened = sessions.connect, Counter[str]()

    def connect_perhaps(using: str, patience: float) -> None:
        role = (
            threading.current_thread().name
        )  # the heartbeat's, in a process of its own, or the engine's
        opened[role] += 1
        dice = _Dice(plan, f"{plan.seed} {role} {opened[role]}")
        if dice.fall():
            dice.note(Fault.UNREACHABLE, "connect")
            raise OperationalError("injected: connection refused")
        connect(using, patience)
        Tap(connections[using], _Failing(connections[using], dice).step)

    sessions.connect = connect_perhaps


class _Dice:
    def __init__(self, plan: Plan, seed: str) -> None:
        self._plan = plan
        self.random = random.Random(seed)

    def fall(self) -> bool:
        return self.random.random() < self._plan.rate

    def note(self, fault: Fault, what: str) -> None:
        line = f"{fault} {threading.current_thread().name} {' '.join(what.split())[:60]}\n"
        descriptor = os.open(self._plan.record, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, line.encode())
        os.close(descriptor)


class _Failing:
    """One connection."""

    def __init__(self, connection: BaseDatabaseWrapper, dice: _Dice) -> None:
        self._connection: Any = connection
        self._dice = dice

    def step(self, said: str, act: Callable[[], Any]) -> Any:
        if not self._dice.fall():
            return act()
        fault = self._dice.random.choice(_OF_STATEMENTS)
        self._dice.note(fault, said)
        match fault:
            case Fault.REFUSED:
                raise OperationalError(1213, "injected: deadlock found")
            case Fault.LATE:
                time.sleep(self._dice.random.uniform(0.05, 0.4))
                return act()
            case Fault.UNANSWERED:
                act()
        self._cut()
        raise OperationalError("injected: the server closed the connection unexpectedly")

    def _cut(self) -> None:
        """End the session as a network does: the driver finds out by itself. SQLite has none."""
        if self._connection.vendor == "sqlite":
            return
        driver = self._connection.connection
        session_of = driver if hasattr(driver, "fileno") else driver._sock  # PyMySQL's
        with socket.socket(fileno=os.dup(session_of.fileno())) as session:
            session.shutdown(socket.SHUT_RDWR)
