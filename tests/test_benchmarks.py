"""The benchmarks' arithmetic: medians, verdicts, goals and the report. Nothing is measured here."""

from __future__ import annotations

import json
import random
import struct
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import chart, compare, marks, record, report, runner, stage
from benchmarks.catalogue import CONTENDERS, Contender, choose
from benchmarks.failure import Failed, NotRun
from benchmarks.figures import FIGURES
from benchmarks.figures.base import Figure, Size, Values
from benchmarks.goals import Goal, Samples, judge
from benchmarks.runner import Result
from benchmarks.stage import Bench
from benchmarks.statistics import Interval, Verdict, interval, quantile, ratios, verdict


def test_the_interval_of_seven_values_is_their_range_and_sure() -> None:
    found = interval([5.0, 1.0, 7.0, 3.0, 2.0, 6.0, 4.0])
    assert (found.median, found.low, found.high) == (4.0, 1.0, 7.0)
    assert found.confidence == pytest.approx(1 - 2 / 2**7)
    assert found.is_sure


def test_more_values_make_the_interval_narrower() -> None:
    found = interval([float(number) for number in range(1, 16)])
    assert (found.low, found.high) == (4.0, 12.0)  # as tables of the sign test have it for 15
    assert found.is_sure


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_values_are_never_sure(count: int) -> None:
    assert not interval([1.0] * count).is_sure


def test_the_interval_holds_the_true_median_as_often_as_it_says() -> None:
    chance = random.Random(1)
    found = [interval([chance.gauss(0, 1) for _ in range(9)]) for _ in range(2000)]
    assert sum(one.low <= 0 <= one.high for one in found) / len(found) > 0.94


def test_quantiles_are_values_of_the_sample() -> None:
    sample = [float(number) for number in range(1, 101)]
    assert [quantile(sample, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]
    assert quantile([3.0], 0.99) == 3.0


def test_ratios_are_taken_in_the_rounds_that_have_both() -> None:
    assert ratios([2.0, None, 9.0, 4.0], [1.0, 5.0, 3.0]) == [2.0, 3.0]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.80, 0.94, Verdict.REGRESSION),
        (0.90, 0.99, Verdict.UNCLEAR),
        (0.96, 1.02, Verdict.SAME),
        (1.01, 1.20, Verdict.FASTER),
        (0.50, 1.50, Verdict.UNCLEAR),
    ],
)
def test_a_regression_is_more_than_five_percent_for_sure(
    low: float, high: float, said: Verdict
) -> None:
    assert verdict(Interval((low + high) / 2, low, high, confidence=0.98)) is said
    assert verdict(Interval((low + high) / 2, low, high, confidence=0.9)) is Verdict.UNCLEAR


def samples(**values: float | None) -> Samples:
    """One round in which these contenders had these rates."""
    return {name: [None if rate is None else {"rate": rate}] for name, rate in values.items()}


@pytest.mark.parametrize(
    ("goal", "reached", "said"),
    [
        (Goal("a", "rate", 2, against="b"), True, "reached: 2.50 ×"),
        (Goal("a", "rate", 4, against="b"), False, "missed by 38%: 2.50 ×"),
        (Goal("a", "rate", 4, against="b", floor=2), False, "the floor is reached"),
        (Goal("a", "rate", 200, at_most=True), True, "reached: 100"),
        (Goal("a", "rate", 80, at_most=True, unit=" ms"), False, "missed by 25%: 100 ms"),
        (Goal("a", "rate", 2, against="none"), None, "not judged: nothing measured for none"),
        (Goal("a", "rate", 2, against="failed"), None, "not judged: nothing measured for failed"),
        (Goal("a", "other", 2), None, "not judged: nothing measured for a"),
        (Goal("a", "rate", 500, otherwise=Goal("a", "rate", 2, against="b")), True, "2.50 ×"),
        (Goal("a", "rate", 500, otherwise=Goal("a", "rate", 3, against="b")), False, "by 80%"),
    ],
)
def test_goals_say_what_was_reached_and_by_how_much_not(
    goal: Goal, reached: bool | None, said: str
) -> None:
    judged = judge(goal, samples(a=100, b=40, failed=None))
    assert judged.reached is reached
    assert said in judged.said


def test_a_ratio_is_the_median_of_the_rounds_and_not_the_ratio_of_medians() -> None:
    rounds: Samples = {
        "a": [{"rate": 10}, {"rate": 40}, {"rate": 90}],
        "b": [{"rate": 10}, {"rate": 20}, {"rate": 10}],
    }
    judged = judge(Goal("a", "rate", 2, against="b"), rounds)
    assert judged.measured is not None
    assert (judged.measured.low, judged.measured.median, judged.measured.high) == (1, 2, 9)


def test_goals_read_like_the_issue() -> None:
    text = Goal("a", "rate", 0.6, against="b", floor=0.45).text
    assert text == "a ≥ 60% of b [floor 45%]"
    assert Goal("a", "p50", 2, at_most=True, unit=" ms").text == "a: p50 ≤ 2.00 ms"


@pytest.mark.parametrize("figure", FIGURES.values(), ids=lambda figure: figure.name)
def test_figures_name_what_there_is(figure: Figure) -> None:
    known = set(figure.contenders)
    assert known <= set(CONTENDERS)
    assert figure.reference in known
    assert figure.full.keys() == figure.quick.keys()
    for goal in figure.goals:
        assert {goal.of, goal.against or goal.of} <= known


def test_systems_are_chosen_by_their_names_or_what_they_begin_with() -> None:
    names = ["tasktrack-solo", "tasktrack-prefork", "oban", "oban-2w", "celery-redis"]
    assert choose(names, ["tasktrack"]) == ["tasktrack-solo", "tasktrack-prefork"]
    assert choose(names, ["oban", "celery-redis"]) == ["oban", "celery-redis"], (
        "a whole name is only that"
    )
    assert choose(names, ["obj"]) == []
    assert choose(names, []) == names


def test_the_list_names_every_figure_and_every_system(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--list"]) == 0
    words = capsys.readouterr().out.split()
    assert {*FIGURES, *CONTENDERS} <= set(words)


@pytest.mark.parametrize(
    "arguments",
    [["speed"], ["--systems", "rq"], ["--pairs", "0"], ["--quick", "--publish"], ["--resume"]],
)
def test_wrong_arguments_measure_nothing(arguments: list[str]) -> None:
    assert command.main(arguments) == 2


def _result() -> Result:
    figure = FIGURES["drain"]
    rounds: dict[str, list[Values | None]] = {
        "raw-100": [{"rate": 40_000.0}, {"rate": 38_000.0}],
        "tasktrack-solo": [{"rate": 20_000.0}, {"rate": 19_000.0}],
        "tasktrack-prefork": [{"rate": 10_000.0}, {"rate": 10_000.0}],
        "celery-redis": [],
    }
    return Result(figure, rounds, {"celery-redis": "not run: no Redis | here"})


def test_the_report_shows_values_ratios_goals_and_what_did_not_run() -> None:
    text = report.markdown({"processor": "one"}, [_result()])
    assert "| processor | one |" in text
    assert "| 19,500 (19,000 – 20,000) | 1.95 × |" in text
    assert "| not run: no Redis \\| here | |" in text
    assert (
        "| drain | tasktrack-solo ≥ 60% of raw-100 [floor 45%] | **missed by 17%: 0.50 ×, the floor"
        in text
    )
    assert "not judged: nothing measured for celery-redis" in text
    assert "tasktrack-asyncio" not in text, "a goal of what nobody asked for"
    assert (
        len({line.count("|") for line in text.splitlines() if "psycopg" in line or "✓" in line})
        <= 1
    )


def test_values_of_every_round_are_in_the_json() -> None:
    told = json.loads(json.dumps(record.as_json({}, [_result()])))
    assert told["figures"]["drain"]["rounds"]["raw-100"][1] == {"rate": 38_000.0}
    assert told["figures"]["drain"]["why not"] == {"celery-redis": "not run: no Redis | here"}


def test_what_was_measured_is_read_again_as_it_was() -> None:
    once = replace(_result(), seed=7, load=0.25)
    kept = json.loads(json.dumps(record.as_json({"processor": "one"}, [once])))
    assert record.results(kept) == [once]
    kept["figures"]["gone"] = kept["figures"].pop("drain")
    assert record.results(kept) == [], "a figure that is not measured any more"


def test_a_run_goes_on_where_nothing_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    head = {"Python": "3.13.0", "revision": "abc"}
    assert command._kept("mine", head) == [], "nothing was measured yet"
    command._write("mine", head, [_result()])
    assert command._kept("mine", {**head, "oban": "1.0"}) == [_result()]
    with pytest.raises(command.Refused, match="revision was abc, and is def"):
        command._kept("mine", {**head, "revision": "def"})


def test_the_order_of_a_figure_depends_on_the_seed_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bench, "check", lambda *_: None)

    def order(seed: int) -> list[str]:
        met: list[str] = []

        def measure(bench: Bench, contender: Contender, size: Size) -> Values:
            met.append(contender.name)
            return {"rate": 1.0}

        names = ("oban", "pgqueuer", "huey-redis", "procrastinate")
        figure = Figure("f", "F", names, measure, {}, {}, {"rate": "/s"}, "oban")
        runner.run(
            figure, _bench(tmp_path), names, rounds=5, seed=seed, quick=True, say=lambda _: None
        )
        return met

    assert order(1) == order(1) != order(2)


def test_the_chart_is_an_image_with_a_bar_for_each_system_that_ran() -> None:
    root = ET.fromstring(chart.svg([_result()]))  # noqa: S314  it was made here
    assert len([one for one in root if one.tag.endswith("rect")]) == 3
    assert "10,000  ·  1.00 ×" in [one.text for one in root]


def test_publishing_replaces_what_stands_between_the_markers() -> None:
    document = f"before\n{report.BEGIN}old\n{report.END}after\n"
    once = report.published(document, "new\n")
    assert once == f"before\n{report.BEGIN}\nnew\n\n{report.END}after\n"
    assert report.published(once, "new\n") == once
    with pytest.raises(ValueError, match="There is no"):
        report.published("no markers", "new\n")
    assert report.published(command.DOCUMENT.read_text(), "new")


def test_marks_are_read_as_bodies_wrote_them(tmp_path: Path) -> None:
    path = tmp_path / "marks"
    assert marks.count(path) == 0
    path.write_bytes(struct.pack("<qqqq", 7, 1_500_000_000, 8, 2_000_000_000) + b"half")
    assert marks.count(path) == 2
    assert marks.read(path, skip=1) == [marks.Mark(8, 2.0)]
    assert marks.read(path)[0].at == 1.5


def _bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, NotRun("no server"), NotRun("no Redis"))


def test_one_that_fails_is_a_line_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bench, "check", lambda *_: None)

    def measure(bench: Bench, contender: object, size: Size) -> Values:
        if contender is CONTENDERS["oban"]:
            raise Failed("it hangs")
        return {"rate": 1.0}

    figure = Figure("f", "F", ("oban", "pgqueuer"), measure, {}, {}, {"rate": "/s"}, "pgqueuer")
    result = runner.run(
        figure, _bench(tmp_path), figure.contenders,
        rounds=3, seed=1, quick=True, say=lambda _: None,
    )  # fmt: skip
    assert result.why_not == {"oban": "failed: it hangs"}
    assert result.samples == {"oban": [], "pgqueuer": [{"rate": 1.0}] * 3}
    assert "| failed: it hangs |" in report.markdown({}, [result])


def test_what_is_missing_is_not_run(tmp_path: Path) -> None:
    result = runner.run(
        FIGURES["drain"], _bench(tmp_path), ["celery-redis"],
        rounds=1, seed=1, quick=True, say=lambda _: None,
    )  # fmt: skip
    assert result.why_not == {"celery-redis": "not run: no Redis"}


def test_a_package_that_is_missing_is_named(tmp_path: Path) -> None:
    stranger = replace(CONTENDERS["huey-sqlite"], distributions=("no-such-queue",))
    with pytest.raises(NotRun, match="the package no-such-queue is not installed"):
        _bench(tmp_path).check(stranger)


def test_a_comparison_says_which_way_is_better() -> None:
    slower = [(100.0, 80.0)] * 7
    said, line = compare._verdict(FIGURES["drain"], slower)
    assert said is Verdict.REGRESSION
    assert "-20.0%" in line
    said, _ = compare._verdict(FIGURES["latency"], slower)
    assert said is Verdict.FASTER


def test_the_package_of_another_revision_goes_before_the_working_tree(tmp_path: Path) -> None:
    bench = _bench(tmp_path)
    with bench.using(tmp_path):
        told = bench._environment(CONTENDERS["huey-sqlite"], "x", tmp_path)
    assert told["PYTHONPATH"].split(":") == [str(tmp_path), str(stage.ROOT)]
