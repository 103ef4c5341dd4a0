"""What a figure should reach, and by how much it does or does not. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.statistics import Interval, interval, ratios

#: What was measured: contender → one dict of values a round; None where a round has none.
Samples = Mapping[str, Sequence[Mapping[str, float] | None]]


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on one value of one contender, or on its ratio to another's.

    Args:
        of: contender.
        value: which of its values.
        bound: what is to be reached.
        at_most: whether the bound is an upper one.
        against: contender that it is divided by, round by round; None: the value itself counts.
        floor: a weaker bound that is still accepted.
        unit: behind values that are no ratios.
        otherwise: another goal that would do as well.
    """

    of: str
    value: str
    bound: float
    at_most: bool = False
    against: str | None = None
    floor: float | None = None
    unit: str = ""
    otherwise: Goal | None = None

    @property
    def text(self) -> str:
        """What is asked for."""
        sign = "≤" if self.at_most else "≥"
        if self.against:
            text = f"{self.of} {sign} {_factor(self.bound)} {self.against}"
        else:
            text = f"{self.of}: {self.value} {sign} {number(self.bound)}{self.unit}"
        if self.floor is not None:
            text += f" [floor {_share(self.floor) if self.against else number(self.floor)}]"
        return f"{text}, or {self.otherwise.text}" if self.otherwise else text


@dataclass(frozen=True, slots=True)
class Judged:
    """How a goal came out.

    Args:
        goal: which.
        measured: its value or ratio; None where it could not be judged.
        reached: whether the bound was reached; None where it could not be judged.
        said: that in words.
    """

    goal: Goal
    measured: Interval | None
    reached: bool | None
    said: str


def judge(goal: Goal, samples: Samples) -> Judged:
    """Compare what was measured with the goal, by the median."""
    judged = _judge(goal, samples)
    if goal.otherwise and not judged.reached:
        other = judge(goal.otherwise, samples)
        if other.reached or judged.reached is None:
            return Judged(goal, other.measured, other.reached, other.said)
    return judged


def _judge(goal: Goal, samples: Samples) -> Judged:
    missing = [
        name for name in (goal.of, goal.against) if name and not _values(name, goal, samples)
    ]
    if missing:
        return Judged(goal, None, None, f"not judged: nothing measured for {', '.join(missing)}")
    own = _values(goal.of, goal, samples)
    if goal.against:
        values = ratios(own, _values(goal.against, goal, samples))
    else:
        values = [value for value in own if value is not None]
    if not values:
        return Judged(goal, None, None, "not judged: no round has both values")
    measured = interval(values)
    shown = f"{number(measured.median)}{' ×' if goal.against else goal.unit}"
    reached = _reaches(measured.median, goal.bound, at_most=goal.at_most)
    if reached:
        return Judged(goal, measured, True, f"reached: {shown}")
    text = f"missed by {shortfall(measured.median, goal.bound):.0%}: {shown}"
    if goal.floor is not None and _reaches(measured.median, goal.floor, at_most=goal.at_most):
        text += ", the floor is reached"
    return Judged(goal, measured, False, text)


def _values(name: str, goal: Goal, samples: Samples) -> list[float | None]:
    rounds = [one.get(goal.value) if one else None for one in samples.get(name, [])]
    return rounds if any(value is not None for value in rounds) else []


def _reaches(measured: float, bound: float, *, at_most: bool) -> bool:
    return measured <= bound if at_most else measured >= bound


def shortfall(measured: float, bound: float) -> float:
    """How far a value is from its bound, as a share of the bound."""
    return abs(measured - bound) / bound


def number(value: float) -> str:
    """A value with as many digits as it deserves."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _factor(bound: float) -> str:
    return f"{_share(bound)} of" if bound < 1 else _share(bound)


def _share(bound: float) -> str:
    return f"{bound:.0%}" if bound < 1 else f"{bound:g} ×"
