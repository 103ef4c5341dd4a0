"""How long what is left of a task is kept, counted from its end: its value first, its row for longer.

Pure. The settings say it for all tasks, a task may say it for itself, each thing by the same word:
``RESULT_EXPIRES`` and ``result_expires=``, ``RETENTION`` and ``retention=``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

from . import checked
from .exceptions import InvalidTask
from .states import State

#: The words of a task's options; in capitals those of the settings.
WORDS = ("result_expires", "retention", "failure_retention", "revoked_retention")

#: Seconds that a row is kept at the least: the id of one that goes sooner could not be told from that of a
#: task whose transaction is still open (docs/adr/0002-expired-or-unknown.md).
LEAST = 3600.0


@dataclass(frozen=True, slots=True)
class Retention:
    """Seconds since the end; None is for ever.

    Attributes:
        result_expires: of the value that a success has returned.
        retention: of the rows of successes, with their history.
        failure_retention, revoked_retention: the same of failures and of revoked tasks.
    """

    result_expires: float | None
    retention: float | None
    failure_retention: float | None
    revoked_retention: float | None

    def with_own(self, own: Mapping[str, float | None]) -> Retention:
        """This retention for a task that says some of it for itself."""
        return replace(self, **fitting(own, self.retention))

    def of_row(self, state: State) -> float | None:
        """How long rows in a final state are kept."""
        if state is State.FAILURE:
            return self.failure_retention
        return self.revoked_retention if state is State.REVOKED else self.retention

    def rules(self) -> Iterable[Rule]:
        """What this comes to: a rule for each thing that goes some time."""
        kept = {
            state: self.of_row(state) for state in (State.SUCCESS, State.FAILURE, State.REVOKED)
        }
        value, row = self.result_expires, kept[State.SUCCESS]
        if value is not None and (row is None or value < row):
            yield Rule(value, State.SUCCESS, values=True)
        for state, seconds in kept.items():
            if seconds is not None:
                yield Rule(seconds, state)


class Rule(NamedTuple):
    """What goes so many seconds after the end: the rows of a state, or the values alone."""

    after: float
    state: State
    values: bool = False


def longer(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else max(one, other)


def fitting(given: Mapping[str, float | None], row: float | None) -> dict[str, float | None]:
    """What was given, with a row that is kept as long as its value, where nothing was said of the row.

    Args:
        given: by the words of a task's options.
        row: how long the row of a success is kept otherwise.
    """
    if "result_expires" in given and "retention" not in given:
        return {**given, "retention": longer(given["result_expires"], row)}
    return dict(given)


def contradiction(given: Mapping[str, float | None]) -> str:
    """What is wrong with times that were given together; empty where nothing is."""
    if not {"result_expires", "retention"} <= given.keys():
        return ""
    value, row = given["result_expires"], given["retention"]
    if row is None or (value is not None and value <= row):
        return ""
    return f"the row, with the value in it, is kept for {row:g} s only"


def of_options(given: Mapping[str, Any]) -> dict[str, float | None]:
    """What a task says for itself, in seconds.

    Raises:
        InvalidTask: a time that cannot be, or two that contradict each other.
    """
    own = {word: _seconds(value, word) for word, value in given.items()}
    if wrong := contradiction(own):
        raise InvalidTask(
            f"result_expires={given['result_expires']!r}: {wrong}.",
            hint="Give retention= as much time, or leave it out.",
        )
    return own


def _seconds(value: float | timedelta | None, word: str) -> float | None:
    if value is None:
        return None
    seconds = checked.seconds(value, word)
    if word == "result_expires" and seconds <= 0:
        hint = "None keeps it for ever; ignore_result=True drops it at once."
        raise InvalidTask(f"result_expires={value!r} is not positive.", hint=hint)
    if word != "result_expires" and seconds < LEAST:
        hint = f"Rows are kept for an hour ({LEAST:g}) at the least; None keeps them for ever."
        raise InvalidTask(f"{word}={value!r} is less than an hour.", hint=hint)
    return seconds


@dataclass(frozen=True)
class RuleBook:
    """Which rule is whose.

    Args:
        usual: what the settings say.
        own: what tasks have, by name, that say something for themselves.
        elsewhere: names of tasks that others know and this process does not: theirs to keep or to delete.
    """

    usual: Retention
    own: Mapping[str, Retention] = field(default_factory=dict)
    elsewhere: frozenset[str] = frozenset()

    def rules(self) -> list[Rule]:
        """All rules, each once, what goes soonest first; rows before values, which many of them take along."""
        found = {rule for one in (self.usual, *self.own.values()) for rule in one.rules()}
        return sorted(found, key=lambda rule: (rule.values, rule.after, rule.state))

    def applies(self, rule: Rule, name: str) -> bool:
        """Whether a task of this name follows the rule."""
        return name not in self.elsewhere and rule in _rules_of(self.own.get(name, self.usual))

    def deletes(self, name: str, state: State, age: timedelta) -> bool:
        """Whether the row of such a task goes by now, so long after its end."""
        kept = self.own.get(name, self.usual).of_row(state)
        return kept is not None and age >= timedelta(seconds=kept)

    def key(self, rule: Rule) -> str:
        """What the rule is known by: another one as soon as anything in the book is different."""
        book = [rule, _plain(self.usual), {n: _plain(r) for n, r in self.own.items()}]
        text = json.dumps([*book, sorted(self.elsewhere)], sort_keys=True)
        return blake2b(text.encode(), digest_size=16).hexdigest()


@lru_cache(maxsize=1024)
def _rules_of(retention: Retention) -> frozenset[Rule]:
    return frozenset(retention.rules())


def _plain(retention: Retention) -> list[float | None]:
    return [getattr(retention, word) for word in WORDS]
