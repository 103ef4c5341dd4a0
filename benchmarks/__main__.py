"""``python -m benchmarks [figure ...]``: measures, and writes a table, a chart and the values."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import chart, machine, report, runner
from benchmarks.catalogue import CONTENDERS, choose
from benchmarks.figures import FIGURES
from benchmarks.resources import resources
from benchmarks.stage import Bench

_HERE = Path(__file__).resolve().parent
RESULTS = _HERE / "results"
DOCUMENT = _HERE.parent / "docs" / "performance.md"
#: The file of results that is kept in the repository.
_PUBLISHED = "published"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    made.add_argument("figures", nargs="*", metavar="figure", help="see --list; default: all")
    made.add_argument("--list", action="store_true", help="figures and systems, and end")
    made.add_argument(
        "--systems",
        type=lambda text: text.split(","),
        default=[],
        metavar="A,B",
        help="only these; a name, or what several begin with: tasktrack,celery-redis",
    )
    made.add_argument("--pairs", type=int, default=7, metavar="N", help="rounds; default: 7")
    made.add_argument("--quick", action="store_true", help="small sizes, to try it: no figures")
    made.add_argument("--seed", type=int, help="of the order in each round; default: the clock's")
    made.add_argument("--name", help="of the files in benchmarks/results; default: the time")
    made.add_argument(
        "--publish", action="store_true", help="write the tables into docs/performance.md too"
    )
    return made


def main(arguments: Sequence[str]) -> int:
    """Returns 0 where every system that could run has values."""
    options = parser().parse_args(arguments)
    if options.list:
        print(listing(), end="")
        return 0
    problem = _problem(options)
    if problem:
        print(problem, file=sys.stderr)
        return 2
    seed = options.seed if options.seed is not None else time.time_ns() % 1_000_000
    figures = options.figures or list(FIGURES)
    told = {"figures": figures, "rounds": options.pairs, "seed": seed, "quick": options.quick}
    try:
        with resources() as bench:
            results = _measure(bench, figures, options, told)
    except KeyboardInterrupt:
        print("\nInterrupted: what was measured until then is in the files.", file=sys.stderr)
        return 130
    return int(any("failed" in why for one in results for why in one.why_not.values()))


def listing() -> str:
    """Figures with their contenders, and what contenders are."""
    lines = ["Figures"]
    for figure in FIGURES.values():
        lines += [
            f"  {figure.name:<10} {figure.title}",
            f"  {'':<10} {', '.join(figure.contenders)}",
        ]
    lines += ["", "Systems"]
    lines += [f"  {name:<22} {contender.title}" for name, contender in CONTENDERS.items()]
    return "\n".join(lines) + "\n"


def _problem(options: argparse.Namespace) -> str:
    unknown = [name for name in options.figures if name not in FIGURES]
    if unknown:
        return f"There is no figure {', '.join(unknown)}. There are: {', '.join(FIGURES)}."
    unknown = [name for name in options.systems if not choose(CONTENDERS, [name])]
    if unknown:
        return f"There is no system {', '.join(unknown)}. See --list."
    if options.pairs < 1:
        return "--pairs must be 1 or more."
    if options.publish and options.quick:
        return "--quick measures nothing that could be published."
    return ""


def _measure(
    bench: Bench, figures: Sequence[str], options: argparse.Namespace, told: dict[str, Any]
) -> list[runner.Result]:
    chosen = {name: choose(FIGURES[name].contenders, options.systems) for name in figures}
    head = machine.describe(bench, [name for names in chosen.values() for name in names])
    head["seed"] = f"{told['seed']}"
    if options.quick:
        head["sizes"] = "small: these are no figures, only a trial"
    _say(", ".join(f"{name} {value}" for name, value in head.items()))
    chance, results = random.Random(told["seed"]), []  # noqa: S311  an order, no secret
    name = options.name or (_PUBLISHED if options.publish else time.strftime("%Y%m%d-%H%M%S"))
    for figure, names in chosen.items():
        if not names:
            continue
        result = runner.run(
            FIGURES[figure],
            bench,
            names,
            rounds=options.pairs,
            chance=chance,
            quick=options.quick,
            say=_say,
        )
        results.append(result)
        # After each figure: a run takes long, and may be interrupted.
        text = report.markdown(head, results)
        _write(name, text, chart.svg(results), report.as_json(head, results, told))
    text = report.markdown(head, results)
    print(f"\n{text}\n{RESULTS / name}.md, .json, .svg")
    if options.publish:
        DOCUMENT.write_text(report.published(DOCUMENT.read_text(), text))
    return results


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _write(name: str, text: str, picture: str, values: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text)
    (RESULTS / f"{name}.svg").write_text(picture)
    (RESULTS / f"{name}.json").write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
