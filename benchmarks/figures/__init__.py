"""The questions, one module for each kind."""

from __future__ import annotations

from benchmarks.figures import (
    cost,
    crowded,
    draining,
    enqueueing,
    held,
    idle,
    latency,
    offered,
    sqlite,
    straight,
)
from benchmarks.figures.base import Figure

_ALL = (
    draining.DRAIN,
    draining.ORM,
    straight.FIGURE,
    enqueueing.EACH,
    enqueueing.BULK,
    latency.FIGURE,
    offered.FIGURE,
    idle.FIGURE,
    crowded.FIGURE,
    held.FIGURE,
    cost.FIGURE,
    sqlite.FIGURE,
)

FIGURES: dict[str, Figure] = {figure.name: figure for figure in _ALL}
