"""Where it was measured: what a table is worth nothing without."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import django
import psutil

from benchmarks import servers
from benchmarks.catalogue import CONTENDERS
from benchmarks.stage import ROOT, Bench

#: What a change of which makes another measurement.
_MEASURED = ("django_tasktrack", "benchmarks/*.py")


def describe(bench: Bench, names: Iterable[str]) -> dict[str, str]:
    """Machine, versions and settings, in the order of the report's head.

    Args:
        bench: whose servers are described.
        names: contenders whose packages are.
    """
    told = {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "revision": _revision(),
        "Python": platform.python_version(),
        "Django": django.get_version(),
    }
    if isinstance(bench.postgres, servers.Postgres):
        told |= bench.postgres.describe()
    if isinstance(bench.redis, servers.Redis):
        told |= bench.redis.describe()
    return told | _versions(names)


def _revision() -> str:
    """The last commit of what is measured and what measures, and whether it was changed since."""
    if not (ROOT / ".git").exists():
        return "unknown: no checkout of git"
    last = _git("log", "-1", "--format=%h", "--", *_MEASURED)
    return f"{last}, and changes" if _git("status", "--porcelain", "--", *_MEASURED) else last


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    try:
        told = subprocess.run(  # noqa: S603  its words are this file's
            command, cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        return f"unknown: {error}"
    return told.stdout.strip()


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _versions(names: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for distribution in sorted({one for name in names for one in CONTENDERS[name].distributions}):
        try:
            found[distribution] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            found[distribution] = "not installed"
    return found
