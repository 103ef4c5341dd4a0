"""``python -m benchmarks.compare REV [figure ...]``: this working tree against a git revision.

Both are measured in pairs, in an order that chance decides for each, and the ratio of each pair counts, so
that what the machine does meanwhile is in both. It ends with 1 where a speed has fallen by more than 5 %.
"""

from __future__ import annotations

import argparse
import io
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.catalogue import CONTENDERS, choose
from benchmarks.failure import Failed, NotRun
from benchmarks.figures import FIGURES
from benchmarks.figures.base import Figure
from benchmarks.goals import number
from benchmarks.resources import resources
from benchmarks.stage import ROOT, Bench
from benchmarks.statistics import Verdict, interval, verdict

_PACKAGE = "django_tasktrack"
#: What a change of the engine is asked about first.
_DEFAULT = ("drain", "enqueue", "bulk")
_SYSTEMS = ("tasktrack-solo", "tasktrack-prefork")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    made.add_argument("revision", help="what to compare with: a commit, a branch, HEAD~3")
    made.add_argument("figures", nargs="*", metavar="figure", help=f"default: {' '.join(_DEFAULT)}")
    made.add_argument(
        "--systems",
        type=lambda text: text.split(","),
        default=list(_SYSTEMS),
        metavar="A,B",
        help=f"arrangements of workers; default: {','.join(_SYSTEMS)}",
    )
    made.add_argument("--pairs", type=int, default=7, metavar="N", help="default: 7; 6 at least")
    made.add_argument("--quick", action="store_true", help="small sizes, to try it: no figures")
    made.add_argument("--seed", type=int, help="of the order in each pair; default: the clock's")
    return made


def main(arguments: Sequence[str]) -> int:
    """Returns 1 where something is a regression, 2 where nothing could be measured."""
    options = parser().parse_args(arguments)
    unknown = [name for name in options.figures if name not in FIGURES]
    if unknown:
        print(f"There is no figure {', '.join(unknown)}.", file=sys.stderr)
        return 2
    seed = options.seed if options.seed is not None else time.time_ns() % 1_000_000
    chance = random.Random(seed)  # noqa: S311  an order, no secret
    print(f"This working tree against {options.revision}, {options.pairs} pairs, seed {seed}\n")
    verdicts: list[Verdict] = []
    try:
        with packages(options.revision) as (before, after), resources() as bench:
            comparison = Comparison(bench, before, after, options.pairs, options.quick, chance)
            for name in options.figures or _DEFAULT:
                verdicts += comparison.of(FIGURES[name], options.systems)
    except (Failed, NotRun) as error:
        print(f"Not measured: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    if not verdicts:
        print("None of these systems is in these figures.", file=sys.stderr)
        return 2
    return int(Verdict.REGRESSION in verdicts)


@contextmanager
def packages(revision: str) -> Iterator[tuple[Path, Path]]:
    """Two directories with the package: of the revision, and of the working tree as it is now.

    Raises:
        Failed: git knows no such revision.
    """
    with tempfile.TemporaryDirectory(prefix="tasktrack-compare-") as directory:
        before, after = Path(directory) / "before", Path(directory) / "after"
        _extract(revision, before)
        # A copy, so that edits during the run do not get into it.
        shutil.copytree(ROOT / _PACKAGE, after / _PACKAGE)
        yield before, after


def _extract(revision: str, directory: Path) -> None:
    archived = subprocess.run(  # noqa: S603  the revision is one word
        ["git", "archive", "--end-of-options", revision, _PACKAGE],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if archived.returncode:
        raise Failed(archived.stderr.decode(errors="replace").strip())
    with tarfile.open(fileobj=io.BytesIO(archived.stdout)) as archive:
        archive.extractall(directory, filter="data")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two packages, and how they are measured.

    Args:
        bench: servers and stores.
        before, after: directories of the packages.
        pairs: how many.
        quick: small sizes.
        chance: decides which of a pair comes first.
    """

    bench: Bench
    before: Path
    after: Path
    pairs: int
    quick: bool
    chance: random.Random

    def of(self, figure: Figure, systems: Sequence[str]) -> list[Verdict]:
        """The verdict on each of these systems, told when it is known."""
        verdicts = []
        for name in choose(figure.contenders, systems):
            told, line = _verdict(figure, [self._pair(figure, name) for _ in range(self.pairs)])
            print(f"{figure.name:<10} {name:<22} {line}", flush=True)
            verdicts.append(told)
        return verdicts

    def _pair(self, figure: Figure, name: str) -> tuple[float, float]:
        """The figure's first value, before and after."""
        size, key = figure.quick if self.quick else figure.full, next(iter(figure.columns))
        contender, found = CONTENDERS[name], {}
        self.bench.check(contender)
        for package in self.chance.sample([self.before, self.after], k=2):
            with self.bench.using(package):
                found[package] = figure.measure(self.bench, contender, size)[key]
        return found[self.before], found[self.after]


def _verdict(figure: Figure, pairs: Sequence[tuple[float, float]]) -> tuple[Verdict, str]:
    """What the pairs say, and the line that tells it. More than 1 is better, whatever the figure."""
    better = [b / a if figure.less_is_better else a / b for b, a in pairs]
    told = interval(better)
    said = verdict(told)
    before, after = (interval(side).median for side in zip(*pairs, strict=True))
    return said, (
        f"{number(before)} → {number(after)}   "
        f"{told.median - 1:+.1%} ({told.low - 1:+.1%} – {told.high - 1:+.1%},"
        f" {told.confidence:.0%} sure)   {said}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
