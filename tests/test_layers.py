"""Only the write door writes a task's state and stage: read from the code itself."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import django_tasktrack
from django_tasktrack.models import TrackedTask
from django_tasktrack.states import Stage, State

PACKAGE = Path(django_tasktrack.__file__).parent
#: They build a Change or SQL of it; nobody else may.
DOOR = {
    "transitions/control.py",
    "transitions/gating.py",
    "transitions/links.py",
    "transitions/upkeep.py",
    "vendors/base.py",
    "vendors/postgresql.py",
}
#: Goals and their attempts have a state of their own.
GOALS = {"goal_writes.py", "goals.py", "pursuit.py"}
WRITING = {"update", "create", "bulk_create", "update_or_create", "get_or_create", "TrackedTask"}
FIELDS = {"state", "stage", "lease", "attempt", "losses", "crashes"}


def modules() -> list[str]:
    files = (path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
    return sorted(name for name in files if not name.startswith("migrations/"))


def writes(source: str) -> list[str]:
    """Lines that set one of the fields on a row: ``row.state = ...`` or ``.update(state=...)``."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            parts = [part for target in targets for part in ast.walk(target)]
            found += [
                f"{node.lineno}: {part.attr}"
                for part in parts
                if isinstance(part, ast.Attribute)
                and part.attr in FIELDS
                and not (isinstance(part.value, ast.Name) and part.value.id == "self")
            ]
        elif isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name in WRITING:
                found += [
                    f"{node.lineno}: {name}({keyword.arg}=)"
                    for keyword in node.keywords
                    if keyword.arg in FIELDS
                ]
    return found


@pytest.mark.parametrize("module", [name for name in modules() if name not in DOOR | GOALS])
def test_only_the_write_door_writes_states(module: str) -> None:
    assert writes((PACKAGE / module).read_text()) == []


@pytest.mark.parametrize("module", sorted(GOALS))
def test_modules_of_goals_write_no_task(module: str) -> None:
    source = (PACKAGE / module).read_text()
    assert not [line for line in writes(source) if not line.endswith((": state", "(state=)"))]
    assert "TrackedTask(" not in source
    assert ".task.state =" not in source


@pytest.mark.parametrize(
    "line",
    [
        "row.state = 1", "row.stage, x = 1, 2", "row.lease += 1", "tasks.update(stage=1)",
        "TrackedTask(state='x')", "rows.filter(pk=1).update(lease=F('lease') + 1)",
    ],
)  # fmt: skip
def test_reader_of_the_code_sees_a_write(line: str) -> None:
    assert len(writes(line)) == 1


def test_door_is_where_the_writes_are() -> None:
    assert all(
        writes((PACKAGE / module).read_text()) for module in DOOR - {"vendors/postgresql.py"}
    )


def test_sql_of_states_is_in_the_vendors_alone() -> None:
    updating = [
        name for name in modules() if "UPDATE {" in (PACKAGE / name).read_text().replace("\n", " ")
    ]
    assert set(updating) <= {"vendors/bulk.py", "vendors/postgresql.py"}


def test_words_in_the_database_are_the_table_s() -> None:
    assert choices("state") == {state.value for state in State}
    assert choices("stage") == {stage.value for stage in Stage}


def choices(name: str) -> set[object]:
    field = next(field for field in TrackedTask._meta.concrete_fields if field.name == name)
    return {value for value, _ in field.flatchoices}
