"""Servers and networks that the cases break."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import databases
from tests.exam import proxy, servers


@pytest.fixture
def scratch() -> Path:
    """A directory that another system user may be let into: pytest shuts its own again and again."""
    return Path(tempfile.mkdtemp(dir=databases.scratch()))


@pytest.fixture
def server(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[servers.Server]:
    """A PostgreSQL server of the test's own, which it may stop."""
    with servers.own_server(scratch / "postgres", monkeypatch) as running:
        yield running


@pytest.fixture
def network() -> Iterator[proxy.Proxy]:
    """A proxy before the test database's server."""
    with proxy.proxy() as running:
        yield running
