"""What the next version of the code would have: one column more, and one task more.

Installed by the tests' app in processes whose environment asks for it; the others are the old version.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader

from django_tasktrack.models import TrackedTask

WANTED = "TASKTRACK_TEST_NEWER"
COLUMN, DEFAULT, TASK = "exam_note", "by default", "tests.exam.newer_tasks.novel"


def column() -> models.Field[str | None, str | None]:
    """As every column must come that is added while old code runs: nobody needs to know it."""
    return models.CharField(max_length=50, null=True, db_default=DEFAULT)


def install() -> None:
    """Be the newer version."""
    TrackedTask.add_to_class(COLUMN, column())
    from tests.exam import newer_tasks  # noqa: F401  the old version must not know it


@contextmanager
def migrated() -> Iterator[None]:
    """Do what ``migrate`` does with the newer version's migration; and take it back in the end."""
    add = migrations.AddField("trackedtask", COLUMN, column())
    before = MigrationLoader(connection).project_state()
    after = before.clone()
    add.state_forwards("tasktrack", after)
    with connection.schema_editor() as editor:
        add.database_forwards("tasktrack", editor, before, after)
    try:
        yield
    finally:
        with connection.schema_editor() as editor:
            add.database_backwards("tasktrack", editor, after, before)
