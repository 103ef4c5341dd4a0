"""Keys that no two unfinished tasks share. On MariaDB and MySQL they are compared exactly, as names are."""

from django.db import migrations, models

import django_tasktrack.models


def make_exact(apps, schema_editor):
    connection = schema_editor.connection
    if connection.vendor != "mysql":
        return
    collation = "utf8mb4_nopad_bin" if connection.mysql_is_mariadb else "utf8mb4_0900_bin"
    exact = f"varchar(255) CHARACTER SET utf8mb4 COLLATE {collation} NULL"
    schema_editor.execute(
        f"ALTER TABLE tasktrack_trackedtask MODIFY active_key {exact}, MODIFY unique_key {exact}"
    )


class Migration(migrations.Migration):

    dependencies = [
        ("tasktrack", "0003_names_are_exact"),
    ]

    operations = [
        migrations.AddField(
            model_name="trackedtask",
            name="active_key",
            field=models.CharField(editable=False, max_length=255, null=True),
        ),
        migrations.AddField(
            model_name="trackedtask",
            name="unique_key",
            field=models.CharField(max_length=255, null=True, verbose_name="unique key"),
        ),
        migrations.RunPython(
            make_exact,
            migrations.RunPython.noop,
            atomic=False,
            hints={"model_name": "trackedtask"},
        ),
        migrations.AddConstraint(
            model_name="trackedtask",
            constraint=django_tasktrack.models.PartialUnique(
                condition=models.Q(("active_key__isnull", False)),
                fields=("active_key",),
                name="tasktrack_active_key",
            ),
        ),
    ]
