"""What a run was made with, and where its outcome is published."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import django
import psutil

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "reliability.md"


def publish(name: str, text: str, document: Path = DOCUMENT) -> None:
    """Write the text between the marks of that name.

    Raises:
        ValueError: the document has none.
    """
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    head, found, rest = document.read_text().partition(begin)
    _, ended, tail = rest.partition(end)
    if not (found and ended):
        raise ValueError(f"{document} has no place for {name}.")
    document.write_text(f"{head}{begin}\n{text}\n{end}{tail}")


def commit() -> str:
    """Which revision this is, and whether it is one."""
    revision = _git("describe", "--always", "--abbrev=10", "--exclude=*")
    if not revision:
        return "no commit"
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return f"commit {revision}{' with changes that are in none' if changed else ''}"


def _git(*words: str) -> str:
    try:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def machine() -> str:
    """What it ran on."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{os.cpu_count()} processors, {memory:.0f} GiB of memory, {platform.system()}"
        f" {platform.machine()}, Python {platform.python_version()}, Django {django.get_version()}"
    )


def head(
    revision: str, servers: Mapping[str, Mapping[str, Any]], minutes: float, at_once: bool
) -> str:
    """The circumstances of a run, to stand above its table.

    Args:
        revision: what ``commit()`` said when it began.
        servers: what is known of each database: ``server`` and ``durability``.
        minutes: how long it took.
        at_once: whether two databases ran beside each other.
    """
    known = "; ".join(f"{one['server']} ({one['durability']})" for one in servers.values())
    beside = "two of them at a time" if at_once else "one after the other"
    return (
        f"Run on {date.today()} in {minutes:.0f} minutes: {revision}; {machine()}.\n"
        f"Databases, {beside}: {known}. Servers that a case starts and stops itself run with fsync=off.\n\n"
        "¹ Measured with what stands in brackets above: where commits wait for a disk, these differ.\n"
    )
