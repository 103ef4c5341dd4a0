"""Runs the suite on every database and says what ran where: ``python -m tests.run [pytest's options]``."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from .databases import CHOICE, MYSQL

_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MariaDB"}
_HEADER = re.compile(r"^database: (.+?)\s*$", re.MULTILINE)
_CLOSING = re.compile(r"^(?:=+ )?(.* in [\d.]+s.*?)(?: =+)?$", re.MULTILINE)
_COLOUR = re.compile(r"\x1b\[[\d;]*m")


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of one database."""

    name: str
    result: str
    failed: bool = False
    unseen: str = ""

    def line(self, width: int) -> str:
        return f"{'FAILED' if self.failed else 'ok':>8}  {self.name:<{width}}  {self.result}"


def main(options: list[str], *, at_once: int = 3) -> int:
    """The suite once per database; 0 only if all that should run did, and passed.

    Args:
        options: pytest's.
        at_once: how many databases to run beside each other; then the output of all but the first comes
            later.
    """
    kinds = ["sqlite", "postgresql", *(["mysql"] if os.environ.get(MYSQL) else [])]
    with ThreadPoolExecutor(at_once) as runs:
        started = [
            runs.submit(run_on, kind, options, live=at_once == 1 or kind == kinds[0])
            for kind in kinds
        ]
        ran = [_show(run.result()) for run in started]
    width = max(len(r.name) for r in ran)
    print("\nWhat ran where")
    for one in ran:
        print(one.line(width))
    if not os.environ.get(MYSQL):
        print(f"{'-':>8}  {'MariaDB':<{width}}  not run: set {MYSQL}=mysql://user@host:port/name")
    return int(any(one.failed for one in ran))


def run_on(kind: str, options: list[str], *, live: bool = True) -> Ran:
    """The suite on one kind of database; live, its output is shown while it comes."""
    title = f"\nThe suite on {_NAMES[kind]}\n"
    if live:
        print(title, flush=True)
    environment = {
        **os.environ,
        CHOICE: kind,
        "COLUMNS": str(shutil.get_terminal_size().columns),
    }
    colour = "--color=yes" if sys.stdout.isatty() else "--color=no"
    command = [sys.executable, "-m", "pytest", colour, *options]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        output = _pass_on(process, live)
    text = _COLOUR.sub("", output)
    header, closing = _HEADER.search(text), _CLOSING.findall(text)
    return Ran(
        name=header[1] if header else _NAMES[kind],
        result=closing[-1] if closing else f"ended with code {process.returncode}",
        failed=process.returncode != 0,
        unseen="" if live else f"{title}\n{output}",
    )


def _pass_on(process: subprocess.Popen[bytes], live: bool) -> str:
    """The output; live, it is shown while it comes."""
    assert process.stdout
    seen = bytearray()
    while chunk := os.read(process.stdout.fileno(), 65536):
        if live:
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
        seen += chunk
    return seen.decode(errors="replace")


def _show(ran: Ran) -> Ran:
    """Print what was not seen while it ran."""
    if ran.unseen:
        print(ran.unseen, flush=True)
    return ran


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
