"""``python -m tests.exam``: every case on every database, and a table of it.

``--publish`` writes the table into docs/reliability.md; ``--at-once`` runs two databases beside each
other, which is faster and noisier; other options go to pytest. Without any the whole suite runs on
MariaDB too, which is a case of its own.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests import run
from tests.databases import MYSQL
from tests.exam.cases import CASES
from tests.exam.report import RECORD

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
_BEGIN, _END = "<!-- exam: begin -->\n", "<!-- exam: end -->\n"
_COLUMNS = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MariaDB"}

Results = dict[tuple[str, str], list[dict[str, Any]]]


def main(options: list[str]) -> int:
    publish, at_once = "--publish" in options, "--at-once" in options
    options = [option for option in options if option not in ("--publish", "--at-once")]
    with tempfile.TemporaryDirectory(prefix="tasktrack-exam-") as directory:
        record = Path(directory) / "record.jsonl"
        record.touch()
        os.environ[RECORD] = str(record)
        code = run.main(["-m", "case", "-p", "no:randomly", *options], at_once=1 + at_once)
        del os.environ[RECORD]
        if not options and os.environ.get(MYSQL):
            code |= _whole_suite(record)
        text = table(read(record))
    print(f"\n{text}")
    if publish:
        _publish(text)
    return code


def _whole_suite(record: Path) -> int:
    """All that ``make test`` runs, on MariaDB; not only what is marked as a case."""
    began = time.monotonic()
    ran = run.run_on("mysql", [])
    counts = re.sub(r" in [\d.]+s.*", "", ran.result)
    line = {
        "case": "56",
        "database": "mysql",
        "outcome": "failed" if ran.failed else "passed",
        "seconds": round(time.monotonic() - began, 1),
        "figures": {"tests": counts},
    }
    with record.open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(f"{ran.name}: {ran.result}")
    return int(ran.failed)


def read(record: Path) -> Results:
    """What ran, by (case, database)."""
    results: Results = defaultdict(list)
    for line in record.read_text().splitlines():
        entry = json.loads(line)
        results[entry["case"], entry["database"]].append(entry)
    return results


def table(results: Results) -> str:
    """Cases by databases, in Markdown."""
    lines = ["| case | | " + " | ".join(_COLUMNS.values()) + " | figures |"]
    lines.append("| --- | --- |" + " --- |" * (len(_COLUMNS) + 1))
    for number, case in CASES.items():
        cells = [_cell(number, kind, results) for kind in _COLUMNS]
        figures = case.missing or _figures(number, results)
        lines.append(f"| {number} | {case.title} | {' | '.join(cells)} | {figures} |")
    return "\n".join(lines) + "\n"


def _cell(number: str, kind: str, results: Results) -> str:
    case = CASES[number]
    if case.missing or kind not in case.databases:
        return "–"
    entries = results.get((number, kind), [])
    outcomes = {entry["outcome"] for entry in entries}
    if "failed" in outcomes:
        return "**failed**"
    if "passed" in outcomes:
        return f"ok, {sum(entry['seconds'] for entry in entries):.0f} s"
    if kind == "mysql" and not os.environ.get(MYSQL):
        return "no server"
    return "not run"


def _figures(number: str, results: Results) -> str:
    told: dict[str, dict[str, Any]] = defaultdict(dict)
    for (case, kind), entries in results.items():
        if case == number:
            for entry in entries:
                for name, value in entry["figures"].items():
                    told[name][_COLUMNS[kind]] = value
    return "; ".join(f"{name}: {_values(by_database)}" for name, by_database in told.items())


def _values(by_database: dict[str, Any]) -> str:
    distinct = {str(value) for value in by_database.values()}
    if len(distinct) == 1:
        return distinct.pop()
    return ", ".join(f"{value} ({name})" for name, value in by_database.items())


def _publish(text: str) -> None:
    document = DOCUMENT.read_text()
    head, _, rest = document.partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    DOCUMENT.write_text(f"{head}{_BEGIN}\n{text}\n{_END}{tail}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
