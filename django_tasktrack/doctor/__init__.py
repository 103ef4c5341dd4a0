"""Says in words why a task does not run, and what is wrong with the whole."""

from .findings import Finding, Level, worst
from .task import explain, explain_missing
from .whole import examine

__all__ = ["Finding", "Level", "examine", "explain", "explain_missing", "worst"]
