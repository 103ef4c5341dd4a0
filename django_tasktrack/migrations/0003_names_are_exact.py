"""Names that differ in case, or in spaces at their end, are two names on MariaDB and MySQL too."""

from django.db import migrations

#: Table → columns → type. Only names that are compared: what people read keeps the database's collation.
COLUMNS = {
    "tasktrack_goal": {"kind": "varchar(255)", "key": "varchar(255)"},
    "tasktrack_trackedtask": {
        "name": "varchar(255)",
        "queue": "varchar(100)",
        "owner": "varchar(255)",
    },
}


def make_exact(apps, schema_editor):
    _collate(schema_editor, "utf8mb4_nopad_bin", "utf8mb4_0900_bin")


def make_default(apps, schema_editor):
    _collate(schema_editor, "utf8mb4_general_ci", "utf8mb4_0900_ai_ci")


def _collate(schema_editor, mariadb, mysql):
    connection = schema_editor.connection
    if connection.vendor != "mysql":
        return
    collation = mariadb if connection.mysql_is_mariadb else mysql
    for table, columns in COLUMNS.items():
        changes = ", ".join(
            f"MODIFY `{name}` {kind} CHARACTER SET utf8mb4 COLLATE {collation} NOT NULL"
            for name, kind in columns.items()
        )
        schema_editor.execute(f"ALTER TABLE `{table}` {changes}")


class Migration(migrations.Migration):

    dependencies = [
        ("tasktrack", "0002_history_is_append_only"),
    ]

    operations = [
        migrations.RunPython(make_exact, make_default, atomic=False, hints={"model_name": "goal"}),
    ]
