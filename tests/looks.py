"""What a retry by a person looks at before it takes a unique key again."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from django_tasktrack.models import TrackedTask
from django_tasktrack.transitions import control
from django_tasktrack.vendors import Vendor


def noted_looks(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """A list that each look at the keys is appended to: whether it was a locking one."""
    looks: list[bool] = []
    look = control._keys_taken

    def noted_look(vendor: Vendor, found: Iterable[TrackedTask], *, surely: bool) -> set[str]:
        looks.append(surely)
        return look(vendor, found, surely=surely)

    monkeypatch.setattr(control, "_keys_taken", noted_look)
    return looks
