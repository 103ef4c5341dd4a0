"""Workers can be asked to end through their row. Workers of a version before do not look at it."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("tasktrack", "0007_schedules"),
    ]

    operations = [
        migrations.AddField(
            model_name="worker",
            name="shutdown_requested_at",
            field=models.DateTimeField(null=True, verbose_name="shutdown requested"),
        ),
    ]
