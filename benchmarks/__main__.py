"""``python -m benchmarks [figure ...]``: measures, and writes a table, a chart and the values."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import chart, machine, record, report, runner
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
        "--resume",
        action="store_true",
        help="keep the figures that the files of this name hold, and measure those that are missing;"
        " figures that are named are measured anew",
    )
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
    try:
        with resources() as bench:
            results = _measure(bench, options)
    except Refused as why:
        print(why, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted: what was measured until then is in the files.", file=sys.stderr)
        return 130
    return int(any("failed" in why for one in results for why in one.why_not.values()))


class Refused(Exception):
    """What was asked for cannot be measured; the message says why and what to do."""


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
    if options.resume and not (options.name or options.publish):
        return "--resume goes on with files that have a name: give --name, or --publish."
    return ""


def _measure(bench: Bench, options: argparse.Namespace) -> list[runner.Result]:
    seed = options.seed if options.seed is not None else time.time_ns() % 1_000_000
    load = os.getloadavg()[0]
    chosen = {name: choose(one.contenders, options.systems) for name, one in FIGURES.items()}
    head = machine.describe(bench, [name for names in chosen.values() for name in names])
    head["sizes"] = "small: these are no figures, only a trial" if options.quick else "full"
    _say(", ".join(f"{key} {value}" for key, value in head.items()))
    name = options.name or (_PUBLISHED if options.publish else time.strftime("%Y%m%d-%H%M%S"))
    found = {one.figure.name: one for one in _kept(name, head)} if options.resume else {}
    for figure in options.figures or [name for name in FIGURES if name not in found]:
        if not chosen[figure]:
            continue
        found[figure] = runner.run(
            FIGURES[figure],
            bench,
            chosen[figure],
            rounds=options.pairs,
            seed=seed,
            load=load,
            quick=options.quick,
            say=_say,
        )
        # After each figure: a run takes long, and may be interrupted.
        _write(name, head, _ordered(found))
    results = _ordered(found)
    text = report.markdown(head, results)
    print(f"\n{text}\n{RESULTS / name}.md, .json, .svg")
    if options.publish:
        DOCUMENT.write_text(report.published(DOCUMENT.read_text(), text))
    return results


def _kept(name: str, head: dict[str, str]) -> list[runner.Result]:
    """What the files of this name hold, if that was measured here and of this revision."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return []
    kept = json.loads(path.read_text())
    if differing := record.differences(kept["head"], head):
        raise Refused(
            f"{path} cannot be gone on with: {'; '.join(differing)}.\n"
            "Measure everything anew, without --resume, or under another --name."
        )
    return record.results(kept)


def _ordered(found: dict[str, runner.Result]) -> list[runner.Result]:
    return [found[name] for name in FIGURES if name in found]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _write(name: str, head: dict[str, str], results: Sequence[runner.Result]) -> None:
    RESULTS.mkdir(exist_ok=True)
    values = json.dumps(record.as_json(head, results), indent=1, ensure_ascii=False)
    (RESULTS / f"{name}.md").write_text(report.markdown(head, results))
    (RESULTS / f"{name}.svg").write_text(chart.svg(results))
    (RESULTS / f"{name}.json").write_text(values + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
