"""A trigger that refuses to change history, whoever asks. Rows are deleted by purge, with their task.

SQLite drops triggers when it remakes a table: a migration that alters this one makes it again.
"""

from django.db import OperationalError, migrations

NAME = "tasktrack_history_is_append_only"
TABLE = "tasktrack_statechange"
MESSAGE = "History is append-only: tasktrack refuses to change a row of it."

CREATE = {
    "postgresql": [
        f"""
        CREATE OR REPLACE FUNCTION {NAME}() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION USING MESSAGE = '{MESSAGE}', ERRCODE = 'integrity_constraint_violation';
        END
        $$
        """,
        f"DROP TRIGGER IF EXISTS {NAME} ON {TABLE}",
        f"CREATE TRIGGER {NAME} BEFORE UPDATE ON {TABLE}"
        f" FOR EACH ROW EXECUTE FUNCTION {NAME}()",
    ],
    "sqlite": [
        f"CREATE TRIGGER IF NOT EXISTS {NAME} BEFORE UPDATE ON {TABLE}"
        f" BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END",
    ],
    "mysql": [
        f"DROP TRIGGER IF EXISTS {NAME}",
        f"CREATE TRIGGER {NAME} BEFORE UPDATE ON {TABLE} FOR EACH ROW"
        f" SIGNAL SQLSTATE '23000' SET MYSQL_ERRNO = 1644, MESSAGE_TEXT = '{MESSAGE}'",
    ],
}
DROP = {
    "postgresql": [f"DROP TRIGGER IF EXISTS {NAME} ON {TABLE}", f"DROP FUNCTION IF EXISTS {NAME}()"],
    "sqlite": [f"DROP TRIGGER IF EXISTS {NAME}"],
    "mysql": [f"DROP TRIGGER IF EXISTS {NAME}"],
}


def create(apps, schema_editor):
    try:
        _execute(schema_editor, CREATE)
    except OperationalError as error:
        # MariaDB and MySQL with a binary log let administrators alone make triggers. The model and the
        # admin refuse all the same.
        if schema_editor.connection.vendor != "mysql":
            raise
        print(f"\n  No trigger protects the history: {error}")  # noqa: T201


def drop(apps, schema_editor):
    _execute(schema_editor, DROP)


def _execute(schema_editor, statements):
    for statement in statements.get(schema_editor.connection.vendor, []):
        schema_editor.execute(statement)


class Migration(migrations.Migration):

    dependencies = [
        ("tasktrack", "0001_initial"),
    ]

    operations = [
        # Where changes of the schema cannot be rolled back, they may not be asked for in a transaction.
        migrations.RunPython(create, drop, atomic=False, hints={"model_name": "statechange"}),
    ]
