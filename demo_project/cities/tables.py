"""What is left of a task and of a goal once they have ended, as tables."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from django_tasktrack import AsyncResult
from django_tasktrack.goals import PursuedGoal
from django_tasktrack.models import StateChange

_STYLES = {
    "SUCCESS": "green",
    "ACHIEVED": "green",
    "FAILURE": "red",
    "REVOKED": "magenta",
    "RETRY": "yellow",
    "STARTED": "cyan",
}


def history(result: AsyncResult) -> Table:
    """Every change of a task's state, one a row."""
    table = Table(
        title=f"{result.name}\n{result.id}",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("", justify="right", style="dim")
    table.add_column("state", no_wrap=True)
    table.add_column("after", justify="right", no_wrap=True)
    table.add_column("attempt", justify="right")
    table.add_column("by", overflow="fold")
    table.add_column("why", overflow="fold", ratio=1)
    changes = result.history()
    for change in changes:
        table.add_row(
            str(change.seq),
            _state(change.label or change.state),
            f"{(change.at - changes[0].at).total_seconds():.2f} s",
            str(change.attempt or ""),
            Text(_who(change)),
            Text(_why(change)),
        )
    return table


def goal(pursued: PursuedGoal) -> Table:
    """A goal, what shows that it was achieved, and the tasks that served it."""
    status = pursued.status()
    evidence = ", ".join(f"{number:,} {what}" for what, number in (status.evidence or {}).items())
    table = Table(
        title=f"Goal {pursued.kind}",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE,
        show_header=False,
        pad_edge=False,
    )
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("key", Text(pursued.key))
    table.add_row("state", _state(status.state))
    table.add_row("evidence", Text(evidence))
    for attempt in pursued.attempts():
        table.add_row(f"task {attempt.number}", Text(f"{attempt.state} {attempt.task_id}"))
    return table


def _state(state: str) -> Text:
    return Text(state, style=_STYLES.get(state, ""))


def _who(change: StateChange) -> str:
    worker = change.worker.name if change.worker_id and change.worker else ""
    return change.actor or worker


def _why(change: StateChange) -> str:
    error = f"{change.error_type.rpartition('.')[2]}: {change.error_message}"
    return error if change.error_type else change.reason
