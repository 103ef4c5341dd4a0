"""A real worker for the snippets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rows.project import Project
from tests.workers import WorkerProcess, worker


@pytest.fixture
def running(book: Path) -> Iterator[WorkerProcess]:
    """Threads start fast; where a process has to be killed, a test starts its own."""
    with worker("-P", "threads", "-c", "4", "-Q", "default,mail,low-priority") as one:
        yield one


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)
