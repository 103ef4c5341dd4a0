"""The exam's own tools: what its table says, and what it does not keep quiet about."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests import databases
from tests.exam import figures, publishing, report
from tests.exam import table as tables
from tests.exam.cases import CASES, Case
from tests.exam.interleaver import Choose, Orders
from tests.exam.mutants import MUTANTS, Verdict, summary

pytest_plugins = ["pytester"]


@pytest.fixture
def _two_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (tables, report):
        monkeypatch.setattr(
            module,
            "CASES",
            {
                "1": Case("the first", deviation="in its way"),
                "2": Case("the second", frozenset({"sqlite"})),
            },
        )


def entry(test: str, outcome: str = "passed", **values: Any) -> tables.Entry:
    return {"test": test, "outcome": outcome, "seconds": 2.0, "figures": {}, **values}


def row(results: tables.Results, *, mariadb: bool = False) -> list[str]:
    """The cells of the first case."""
    return tables.table(results, mariadb=mariadb).splitlines()[2].split(" | ")


@pytest.mark.usefixtures("_two_cases")
@pytest.mark.parametrize(
    ("entries", "cell"),
    [
        ([entry("a"), entry("b")], "ok (2), 4 s"),
        ([entry("a"), entry("a", "failed")], "**failed**: 1 of 1"),
        ([entry("a", "skipped", reason="needs root")], "not run: needs root"),
        (
            [entry("a"), *(entry(name, "skipped", reason="needs root") for name in "bc")],
            "partly (1 of 3), 6 s: needs root",
        ),
        ([], "**not run**"),
    ],
)
def test_a_cell_tells_what_ran_and_why_not_more(entries: list[tables.Entry], cell: str) -> None:
    assert row({("1", "sqlite"): entries})[2] == cell


@pytest.mark.usefixtures("_two_cases")
def test_a_case_tells_what_it_does_otherwise() -> None:
    assert row({})[1] == "the first. *Note: in its way.*"


@pytest.mark.usefixtures("_two_cases")
def test_neither_a_result_nor_a_reason_is_told() -> None:
    results = {("1", "sqlite"): [entry("a", "skipped", reason="needs root")]}
    gaps = ["1 on PostgreSQL: the first", "2 on SQLite: the second"]
    assert tables.gaps(results, mariadb=False) == gaps
    assert tables.gaps(results, mariadb=True) == [gaps[0], "1 on MariaDB: the first", gaps[1]]


@pytest.mark.usefixtures("_two_cases")
def test_a_part_of_the_exam_tells_of_what_ran() -> None:
    told = tables.table({("2", "sqlite"): [entry("a")]}, mariadb=False, whole=False)
    assert [line.split(" | ")[0] for line in told.splitlines()[2:]] == ["| 2"]


@pytest.mark.usefixtures("_two_cases")
def test_reasons_cannot_break_the_table() -> None:
    skipped = entry("a", "skipped", reason="a|b\nc")
    assert row({("1", "sqlite"): [skipped]})[2] == "not run: a\\|b c"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([7, 7], "7"),
        (["32 x 500", "8 x 40"], "8 x 40 / 32 x 500"),
        ([0, 12, 3, 7], "0–12"),
        ([0.5, 12.25, 3], "0.5–12.25"),
        (["won 1, lost 9", "won 3, lost 9", "won 2, lost 9"], "won 1–3, lost 9"),
        (["0 of 1,200", "never", "7 of 900"], "0–7 of 900–1,200 / never"),
    ],
)
def test_a_figure_tells_of_all_its_values(values: list[object], told: str) -> None:
    assert figures.summed_up("any", values) == told


def test_each_seed_is_told() -> None:
    tests = [{"seed": seed, "tasks": 10 * seed} for seed in (3, 1, 12, 3)]
    assert figures.told({"SQLite": tests}) == "seed: 1 / 3 / 12; tasks: 10–120"


def test_databases_that_differ_are_told_apart() -> None:
    by_database = {"SQLite": [{"lost": 0, "tasks/s": 4}], "MariaDB": [{"lost": 0, "tasks/s": 5}]}
    assert figures.told(by_database) == "lost: 0; tasks/s¹: 4 (SQLite), 5 (MariaDB)"


@pytest.mark.usefixtures("_two_cases")
def test_the_record_carries_the_reason_of_a_skip(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    record = tmp_path / "record"
    monkeypatch.setenv(report.RECORD, str(record))
    monkeypatch.delattr(report, "pytest_collection_finish")
    pytester.makepyfile(
        """
        import pytest
        @pytest.fixture
        def disk():
            pytest.skip("needs root")
        @pytest.mark.case(1)
        def test_one(disk): ...
        @pytest.mark.case(1)
        @pytest.mark.skipif("True", reason="needs another")
        def test_two(): ...
        @pytest.mark.case(1)
        def test_three(figures): figures["n"] = 3
        """
    )
    pytester.inline_run("-p", "no:django", "-p", "no:randomly", plugins=[report])
    results, _ = tables.read(record)
    told = [
        (one["outcome"], one.get("reason"), one["figures"])
        for one in results["1", databases.kind()]
    ]
    assert told == [
        ("skipped", "needs root", {}),
        ("skipped", "needs another", {}),
        ("passed", None, {"n": 3}),
    ]


def test_what_is_published_stands_between_its_marks(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n")
    publishing.publish("x", "new\n", document)
    publishing.publish("x", "newer\n", document)
    assert document.read_text() == "a\n<!-- x: begin -->\n\nnewer\n\n<!-- x: end -->\nb\n"
    with pytest.raises(ValueError, match="no place for y"):
        publishing.publish("y", "new\n", document)


@pytest.mark.parametrize("name", ["exam", "mutants"])
def test_the_page_has_a_place_for_what_is_published(name: str) -> None:
    text = publishing.DOCUMENT.read_text()
    assert text.count(f"<!-- {name}: begin -->\n") == text.count(f"<!-- {name}: end -->\n") == 1


def test_the_head_tells_what_the_figures_were_measured_with() -> None:
    servers = {"postgresql": {"server": "PostgreSQL 17.1", "durability": "fsync=off"}}
    head = publishing.head("commit abc", servers, 61.2, at_once=True)
    assert "in 61 minutes: commit abc; " in head
    assert "GiB of memory" in head
    assert "two of them at a time: PostgreSQL 17.1 (fsync=off)." in head


def test_every_mutant_changes_one_place_that_is_there() -> None:
    for mutant in MUTANTS:
        assert (publishing.ROOT / mutant.path).read_text().count(mutant.old) == 1, mutant.guard


def test_mutants_that_were_not_tried_are_told() -> None:
    verdicts = [
        Verdict(MUTANTS[0], "killed", 1.0),
        Verdict(MUTANTS[1], "survived", 2.0),
        Verdict(MUTANTS[2], "no server", 0.0),
    ]
    assert summary(verdicts) == (
        "1 of 3 guards have a test that misses them; 1 survived; 1 could not be tried: no server"
    )


def stepped(orders: Orders, lengths: tuple[int, int]) -> list[tuple[int, ...]]:
    """The orders of two bodies of so many steps, neither of which ever waits for the other."""

    def path_of(choose: Choose) -> tuple[int, ...]:
        left, path = list(lengths), []
        while ready := [body for body in (0, 1) if left[body]]:
            path.append(choose(ready))
            left[path[-1]] -= 1
        return tuple(path)

    return [path_of(choose) for choose in orders]


def interruptions(path: tuple[int, ...]) -> int:
    """Switches away from a body that comes again."""
    return sum(
        before != after and before in path[place:] for place, (before, after) in
        enumerate(pairwise(path), 1)
    )  # fmt: skip


def test_all_orders_are_tried_once_and_those_with_fewer_interruptions_first() -> None:
    orders = Orders(0, most=1000)
    paths = stepped(orders, (5, 4))
    assert len(paths) == len(set(paths)) == math.comb(9, 4) == orders.total()
    assert orders.told() == "all 126"
    assert list(map(interruptions, paths)) == sorted(map(interruptions, paths))


def test_all_orders_with_few_interruptions_are_tried_and_a_sample_of_the_others() -> None:
    everyone = stepped(Orders(99), (5, 4))
    orders = Orders(2, sample=30)
    paths = stepped(orders, (5, 4))
    few = {path for path in everyone if interruptions(path) <= 2}
    assert few == set(paths[: len(few)])
    assert set(paths[len(few) :]) - few
    assert len(paths) == len(few) + 30
    assert orders.told().endswith(" of up to 126")


def test_cases_are_for_databases_that_the_table_has() -> None:
    assert {kind for case in CASES.values() for kind in case.databases} == set(tables.COLUMNS)
