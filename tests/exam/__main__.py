"""``python -m tests.exam``: every case on every database, and a table of it.

``--publish`` writes the table into docs/reliability.md; ``--at-once`` runs two databases beside each
other, which is faster and noisier; other options go to pytest, and then nothing is published. Without any
the whole suite runs on MariaDB too, which is a case of its own, and a case that has no result on one of
its databases, and no reason for it, is an error.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

from tests import run
from tests.databases import MYSQL
from tests.exam import publishing
from tests.exam.report import RECORD
from tests.exam.table import gaps, read, table

_OWN = ("--publish", "--at-once")


def main(options: list[str]) -> int:
    publish, at_once = (option in options for option in _OWN)
    options = [option for option in options if option not in _OWN]
    if publish and options:
        print("--publish is for whole runs, without options of pytest's.")
        return 2
    began, revision = time.monotonic(), publishing.commit()
    with tempfile.TemporaryDirectory(prefix="tasktrack-exam-") as directory:
        record = Path(directory) / "record.jsonl"
        record.touch()
        code = _cases(record, options, at_once)
        if not options and os.environ.get(MYSQL):
            code |= _whole_suite(record)
        results, servers = read(record)
    mariadb = bool(os.environ.get(MYSQL))
    head = publishing.head(revision, servers, (time.monotonic() - began) / 60, at_once)
    text = f"{head}\n{table(results, mariadb=mariadb, whole=not options)}"
    print(f"\n{text}")
    if publish:
        publishing.publish("exam", text)
    left_out = [] if options else gaps(results, mariadb=mariadb)
    for gap in left_out:
        print(f"ERROR: neither a result nor a reason: case {gap}")
    return int(bool(code or left_out))


def _cases(record: Path, options: list[str], at_once: bool) -> int:
    """All that is marked as a case, on every database."""
    os.environ[RECORD] = str(record)
    try:
        return run.main(["-m", "case", "-p", "no:randomly", *options], at_once=1 + at_once)
    finally:
        del os.environ[RECORD]


def _whole_suite(record: Path) -> int:
    """All that ``make test`` runs, on MariaDB; not only what is marked as a case."""
    began = time.monotonic()
    ran = run.run_on("mysql", [])
    counts = re.sub(r" in [\d.]+s.*", "", ran.result)
    line = {
        "case": "56",
        "database": "mysql",
        "test": "all",
        "outcome": "failed" if ran.failed else "passed",
        "seconds": round(time.monotonic() - began, 1),
        "figures": {"tests": counts},
    }
    with record.open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(f"{ran.name}: {ran.result}")
    return int(ran.failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
