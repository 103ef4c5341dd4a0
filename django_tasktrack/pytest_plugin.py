"""pytest's fixtures. pytest loads this in every project of the environment: no Django until one is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .testing import Tasktrack


@pytest.fixture
def tasktrack(db: None) -> Iterator[Tasktrack]:
    """Runs tasks, travels in time, asserts what was enqueued: see ``django_tasktrack.testing``.

    It asks for pytest-django's ``db``; with ``transactional_db`` or a marker, that counts.
    """
    from .testing import Tasktrack  # needs the settings

    helpers = Tasktrack()
    yield helpers
    helpers.close()


@pytest.fixture
def tasktrack_eager() -> Iterator[None]:
    """Calls of tasks run at once, without a row, and raise what their bodies raise."""
    from .testing import eager  # needs the settings

    with eager():
        yield
