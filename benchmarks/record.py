"""Everything that was measured, as it is kept in a file, and read again to go on. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.figures import FIGURES
from benchmarks.report import judge_all
from benchmarks.runner import Result


def as_json(head: Mapping[str, str], results: Sequence[Result]) -> dict[str, Any]:
    """Head and figures; each figure with its values round by round."""
    return {"head": dict(head), "figures": {one.figure.name: _figure(one) for one in results}}


def _figure(result: Result) -> dict[str, Any]:
    return {
        "title": result.figure.title,
        "seed": result.seed,
        "load before": result.load,
        "rounds": result.samples,
        "why not": result.why_not,
        "goals": [
            {
                "goal": judged.goal.text,
                "measured": asdict(judged.measured) if judged.measured else None,
                "reached": judged.reached,
                "said": judged.said,
            }
            for judged in judge_all(result)
        ],
    }


def results(kept: Mapping[str, Any]) -> list[Result]:
    """The figures of a file that ``as_json`` made; those that are not measured any more are left out."""
    return [
        Result(
            FIGURES[name],
            samples=told["rounds"],
            why_not=told["why not"],
            seed=told["seed"],
            load=told["load before"],
        )
        for name, told in kept["figures"].items()
        if name in FIGURES
    ]


def differences(kept: Mapping[str, str], head: Mapping[str, str]) -> list[str]:
    """What is no longer as it was, in words; what only one of both heads names is no difference."""
    return [
        f"{name} was {kept[name]}, and is {value}"
        for name, value in head.items()
        if name in kept and kept[name] != value
    ]
