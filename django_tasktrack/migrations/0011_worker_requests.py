"""Workers can leave queues out, and can be asked through their row to run more or fewer tasks, or to serve other queues.

Workers of a version before do not look at it.
"""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("tasktrack", "0010_retention"),
    ]

    operations = [
        migrations.AddField(
            model_name="worker",
            name="excluded_queues",
            field=models.JSONField(
                help_text="Left out of all of them.", null=True, verbose_name="excluded queues"
            ),
        ),
        migrations.AddField(
            model_name="worker",
            name="wanted_concurrency",
            field=models.PositiveIntegerField(null=True, verbose_name="wanted concurrency"),
        ),
        migrations.AddField(
            model_name="worker",
            name="wanted_queues",
            field=models.JSONField(null=True, verbose_name="wanted queues"),
        ),
        migrations.AddField(
            model_name="worker",
            name="requests_made",
            field=models.PositiveIntegerField(
                db_default=0, default=0, verbose_name="requests made"
            ),
        ),
        migrations.AddField(
            model_name="worker",
            name="requests_met",
            field=models.PositiveIntegerField(db_default=0, default=0, verbose_name="requests met"),
        ),
    ]
