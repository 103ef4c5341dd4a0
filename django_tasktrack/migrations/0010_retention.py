"""Values of results go before their rows, and workers remember how far they have come with that."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("tasktrack", "0009_limits"),
    ]

    operations = [
        migrations.AddField(
            model_name="trackedtask",
            name="result_expired_at",
            field=models.DateTimeField(null=True, verbose_name="result expired"),
        ),
        migrations.CreateModel(
            name="Sweep",
            fields=[
                ("rule", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("began_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
                ("task_id", models.UUIDField(null=True)),
            ],
            options={
                "default_permissions": (),
            },
        ),
    ]
