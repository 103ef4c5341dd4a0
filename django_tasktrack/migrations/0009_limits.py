"""Limits: rates, concurrency keys, paused queues. On MariaDB and MySQL their names are compared exactly, as
tasks' are."""

from django.db import migrations, models

import django_tasktrack.models

COLUMNS = {
    "tasktrack_queue": {"name": "varchar(100)"},
    "tasktrack_tasklimits": {"name": "varchar(255)"},
    "tasktrack_trackedtask": {"concurrency_key": "varchar(255)"},
}


def make_exact(apps, schema_editor):
    connection = schema_editor.connection
    if connection.vendor != "mysql":
        return
    collation = "utf8mb4_nopad_bin" if connection.mysql_is_mariadb else "utf8mb4_0900_bin"
    for table, columns in COLUMNS.items():
        changes = ", ".join(
            f"MODIFY `{name}` {kind} CHARACTER SET utf8mb4 COLLATE {collation}"
            f" {'NULL' if name == 'concurrency_key' else 'NOT NULL'}"
            for name, kind in columns.items()
        )
        schema_editor.execute(f"ALTER TABLE `{table}` {changes}")


class Migration(migrations.Migration):

    dependencies = [
        ("tasktrack", "0008_shutdown_requests"),
    ]

    operations = [
        migrations.CreateModel(
            name="Queue",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100, unique=True, verbose_name="queue")),
                ("paused_at", models.DateTimeField(null=True, verbose_name="paused")),
                ("paused_by", models.CharField(blank=True, default="", max_length=255, verbose_name="paused by")),
                ("version", models.PositiveIntegerField(default=1, editable=False)),
            ],
            options={
                "verbose_name": "queue",
                "verbose_name_plural": "queues",
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="TaskLimits",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=255, unique=True, verbose_name="task name")),
                ("declared", models.CharField(blank=True, default="", max_length=50, verbose_name="declared rate")),
                ("rate_limit", models.CharField(max_length=50, null=True, verbose_name="rate set at run time")),
                ("timed", models.BooleanField(default=False, verbose_name="time limits set at run time")),
                ("time_limit", models.FloatField(null=True, verbose_name="time limit, seconds")),
                ("soft_time_limit", models.FloatField(null=True, verbose_name="soft time limit, seconds")),
                ("set_at", models.DateTimeField(null=True, verbose_name="set")),
                ("set_by", models.CharField(blank=True, default="", max_length=255, verbose_name="set by")),
                ("version", models.PositiveIntegerField(default=1, editable=False)),
                ("tokens", models.FloatField(default=1.0, editable=False)),
                ("refilled_at", models.DateTimeField(editable=False, null=True)),
            ],
            options={
                "verbose_name": "limits of a task",
                "verbose_name_plural": "limits of tasks",
                "default_permissions": ("view",),
            },
        ),
        migrations.AddField(
            model_name="trackedtask",
            name="concurrency_key",
            field=models.CharField(max_length=255, null=True, verbose_name="concurrency key"),
        ),
        migrations.AddField(
            model_name="trackedtask",
            name="concurrency_limit",
            field=models.PositiveSmallIntegerField(null=True, verbose_name="at once, of its key"),
        ),
        migrations.AddField(
            model_name="trackedtask",
            name="concurrency_slot",
            field=models.PositiveSmallIntegerField(editable=False, null=True),
        ),
        migrations.AlterField(
            model_name="trackedtask",
            name="stage",
            field=models.SmallIntegerField(
                choices=[
                    (-2, "GATED"),
                    (-1, "BLOCKED"),
                    (0, "SCHEDULED"),
                    (1, "DUE"),
                    (2, "HELD"),
                    (3, "CLAIMED"),
                    (4, "DONE"),
                ],
                verbose_name="stage",
            ),
        ),
        migrations.RunPython(
            make_exact,
            migrations.RunPython.noop,
            atomic=False,
            hints={"model_name": "trackedtask"},
        ),
        migrations.AddIndex(
            model_name="trackedtask",
            index=django_tasktrack.models.PartialIndex(
                condition=models.Q(("stage", -2)),
                fields=["name", "-priority", "id"],
                name="tasktrack_gated",
            ),
        ),
        migrations.AddIndex(
            model_name="trackedtask",
            index=django_tasktrack.models.PartialIndex(
                condition=models.Q(("concurrency_key__isnull", False)),
                fields=["stage", "concurrency_key", "-priority", "id"],
                name="tasktrack_concurrency_key",
            ),
        ),
        migrations.AddConstraint(
            model_name="trackedtask",
            constraint=django_tasktrack.models.PartialUnique(
                condition=models.Q(("concurrency_slot__isnull", False)),
                fields=("concurrency_key", "concurrency_slot"),
                name="tasktrack_concurrency_slot",
            ),
        ),
    ]
