"""Puts a figure's question to its contenders, round by round, in a new order each time."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psutil
import psycopg

from benchmarks.catalogue import CONTENDERS
from benchmarks.failure import Failed, NotRun
from benchmarks.figures.base import Figure, Size, Values
from benchmarks.stage import Bench

#: What a measurement may come to grief with; anything else is a fault of the benchmarks.
_TROUBLE = (Failed, OSError, ValueError, psycopg.Error, psutil.Error)


@dataclass(slots=True)
class Result:
    """What came of one figure.

    Args:
        figure: which.
        samples: contender → its values in each round; None where it has none.
        why_not: contender → why it has no values: "not run: ..." or "failed: ...".
        seed: of the order in each round.
        load: of the machine when the run began, processes that were running or wanted to.
    """

    figure: Figure
    samples: dict[str, list[Values | None]] = field(default_factory=dict)
    why_not: dict[str, str] = field(default_factory=dict)
    seed: int = 0
    load: float = 0.0


def run(
    figure: Figure,
    bench: Bench,
    names: Sequence[str],
    *,
    rounds: int,
    seed: int,
    load: float = 0.0,
    quick: bool,
    say: Callable[[str], None],
) -> Result:
    """Measure each contender once in each round.

    A contender that fails is left out from then on; what it gave before does not count.

    Args:
        figure: which question.
        bench: servers and stores.
        names: contenders, of the figure's.
        rounds: how many, unless the figure allows fewer.
        seed: decides the order in each round; the figure's name is taken with it.
        load: of the machine when the run began.
        quick: small sizes.
        say: told what happens.
    """
    result = Result(figure, {name: [] for name in names}, seed=seed, load=load)
    chance = random.Random(f"{seed} {figure.name}")  # noqa: S311  an order, no secret
    size: Size = figure.quick if quick else figure.full
    for name in names:
        try:
            bench.check(CONTENDERS[name])
        except NotRun as why:
            result.why_not[name] = f"not run: {why}"
            say(f"{figure.name}: {name} is {result.why_not[name]}")
    for number in range(min(rounds, figure.rounds or rounds)):
        order = [name for name in names if name not in result.why_not]
        chance.shuffle(order)
        for name in order:
            _measure(figure, bench, name, size, result)
            told = result.why_not.get(name) or _shown(figure, result.samples[name][-1])
            say(f"{figure.name}, round {number + 1}: {name}: {told}")
    for name in result.why_not:
        result.samples[name] = []
    return result


def _measure(figure: Figure, bench: Bench, name: str, size: Size, result: Result) -> None:
    try:
        result.samples[name].append(figure.measure(bench, CONTENDERS[name], size))
    except NotRun as why:
        result.why_not[name] = f"not run: {why}"
    except _TROUBLE as error:
        result.why_not[name] = f"failed: {error or type(error).__name__}"


def _shown(figure: Figure, values: Values | None) -> str:
    shown = [f"{values[key]:,.4g} {head}" for key, head in figure.columns.items() if key in values] \
        if values else []  # fmt: skip
    return ", ".join(shown)
