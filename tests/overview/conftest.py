"""Numbers of workers come again where tests are rolled back, and with them the locks of others."""

from __future__ import annotations

import pytest

from django_tasktrack import liveness


@pytest.fixture(autouse=True)
def _clock_decides_who_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "verdicts", lambda *_: ([], []))
