"""The results of the exam as a table of cases and databases, in Markdown."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.databases import MYSQL
from tests.exam import figures
from tests.exam.cases import CASES

COLUMNS = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MariaDB"}

Entry = dict[str, Any]
Results = Mapping[tuple[str, str], Sequence[Entry]]


def read(record: Path) -> tuple[Results, dict[str, Entry]]:
    """What ran, by (case, database); and what is known of each database."""
    results: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    servers: dict[str, Entry] = {}
    for line in record.read_text().splitlines():
        entry = json.loads(line)
        if "case" in entry:
            results[entry["case"], entry["database"]].append(entry)
        else:
            servers[entry["database"]] = entry
    return results, servers


def table(results: Results, *, mariadb: bool, whole: bool = True) -> str:
    """Cases by databases.

    Args:
        results: what ran.
        mariadb: whether there was a server of it.
        whole: whether cases that nothing ran of are told as well.
    """
    ran = {number for number, _ in results}
    lines = ["| case | | " + " | ".join(COLUMNS.values()) + " | figures |"]
    lines.append("| --- | --- |" + " --- |" * (len(COLUMNS) + 1))
    for number, case in CASES.items():
        if not whole and number not in ran:
            continue
        title = f"{case.title}. *Note: {case.deviation}.*" if case.deviation else case.title
        cells = [_cell(number, kind, results, mariadb) for kind in COLUMNS]
        cells = [title, *cells, case.missing or _figures(number, results)]
        lines.append(f"| {number} | {' | '.join(map(_escaped, cells))} |")
    return "\n".join(lines) + "\n"


def gaps(results: Results, *, mariadb: bool) -> list[str]:
    """Every case and database with neither a result nor a reason why there is none."""
    return [
        f"{number} on {COLUMNS[kind]}: {case.title}"
        for number, case in CASES.items()
        for kind in COLUMNS
        if _is_meant_for(number, kind)
        and (kind != "mysql" or mariadb)
        and not results.get((number, kind))
    ]


def _is_meant_for(number: str, kind: str) -> bool:
    case = CASES[number]
    return not case.missing and kind in case.databases


def _cell(number: str, kind: str, results: Results, mariadb: bool) -> str:
    if not _is_meant_for(number, kind):
        return "–"
    entries = results.get((number, kind), [])
    if not entries:
        without = kind == "mysql" and not mariadb
        return f"not run: no server ({MYSQL})" if without else "**not run**"
    by_outcome = {
        outcome: {entry["test"] for entry in entries if entry["outcome"] == outcome}
        for outcome in ("failed", "passed", "skipped")
    }
    tests = len({entry["test"] for entry in entries})
    seconds = f"{sum(entry['seconds'] for entry in entries):.0f} s"
    reasons = "; ".join(dict.fromkeys(e["reason"] for e in entries if e.get("reason")))
    if by_outcome["failed"]:
        return f"**failed**: {len(by_outcome['failed'])} of {tests}"
    if not by_outcome["skipped"]:
        return f"ok ({tests}), {seconds}"
    if by_outcome["passed"]:
        return f"partly ({len(by_outcome['passed'])} of {tests}), {seconds}: {reasons}"
    return f"not run: {reasons}"


def _figures(number: str, results: Results) -> str:
    by_database = {
        COLUMNS[kind]: [entry["figures"] for entry in results.get((number, kind), [])]
        for kind in COLUMNS
    }
    return figures.told(by_database)


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
