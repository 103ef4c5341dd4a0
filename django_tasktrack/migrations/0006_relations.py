"""Tasks that belong together: parents, roots, groups, and what follows the end of a task."""

import django.db.models.deletion
from django.db import migrations, models

import django_tasktrack.models


class Migration(migrations.Migration):

    dependencies = [
        ("tasktrack", "0005_rare_states"),
    ]

    operations = [
        migrations.AddField(
            model_name="trackedtask",
            name="root_id",
            field=models.UUIDField(editable=False, null=True, verbose_name="root task"),
        ),
        migrations.AddField(
            model_name="trackedtask",
            name="parent_id",
            field=models.UUIDField(editable=False, null=True, verbose_name="parent task"),
        ),
        migrations.AddField(
            model_name="trackedtask",
            name="group_id",
            field=models.UUIDField(editable=False, null=True, verbose_name="group"),
        ),
        migrations.AddField(
            model_name="trackedtask",
            name="headers",
            field=models.JSONField(blank=True, null=True, verbose_name="headers"),
        ),
        migrations.AddField(
            model_name="trackedtask",
            name="ignore_result",
            field=models.BooleanField(
                db_default=False, default=False, verbose_name="ignore result"
            ),
        ),
        migrations.AddField(
            model_name="trackedtask",
            name="followed",
            field=models.BooleanField(
                db_default=False, default=False, verbose_name="others wait for it"
            ),
        ),
        migrations.AlterField(
            model_name="trackedtask",
            name="stage",
            field=models.SmallIntegerField(
                choices=[
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
        migrations.AddIndex(
            model_name="trackedtask",
            index=django_tasktrack.models.PartialIndex(
                condition=models.Q(("parent_id__isnull", False)),
                fields=["parent_id", "id"],
                name="tasktrack_parent",
            ),
        ),
        migrations.AddIndex(
            model_name="trackedtask",
            index=django_tasktrack.models.PartialIndex(
                condition=models.Q(("group_id__isnull", False)),
                fields=["group_id", "id"],
                name="tasktrack_group",
            ),
        ),
        migrations.CreateModel(
            name="Link",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "task_id",
                        "number",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("number", models.PositiveIntegerField(verbose_name="number")),
                (
                    "state",
                    models.SmallIntegerField(
                        choices=[(0, "open"), (1, "passed"), (2, "handed over"), (3, "broken")],
                        default=0,
                        verbose_name="state",
                    ),
                ),
                (
                    "place",
                    models.PositiveIntegerField(null=True, verbose_name="place of its value"),
                ),
                ("collects", models.BooleanField(default=False, verbose_name="into a list")),
                ("delay", models.FloatField(default=0.0, verbose_name="delay, seconds")),
                ("on_error", models.JSONField(null=True, verbose_name="called on its failure")),
                (
                    "successor",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="waits_for",
                        to="tasktrack.trackedtask",
                        verbose_name="successor",
                    ),
                ),
                (
                    "task",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="links",
                        to="tasktrack.trackedtask",
                        verbose_name="task",
                    ),
                ),
            ],
            options={
                "verbose_name": "link",
                "verbose_name_plural": "links",
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(fields=["successor", "state"], name="tasktrack_link_successor"),
                    django_tasktrack.models.PartialIndex(
                        condition=models.Q(("state", 0)),
                        fields=["state", "task"],
                        name="tasktrack_link_open",
                    ),
                ],
            },
        ),
    ]
