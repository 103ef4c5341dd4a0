"""Why a measurement has no value."""

from __future__ import annotations


class Failed(Exception):
    """The system did not do what was asked of it, or not in time."""


class NotRun(Exception):
    """What the system needs is not here."""
