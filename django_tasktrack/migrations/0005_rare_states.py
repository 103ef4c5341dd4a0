"""An index of the states that are rare: a list of failures need not read all that has succeeded."""

from django.db import migrations, models

import django_tasktrack.models


class Migration(migrations.Migration):

    dependencies = [
        ("tasktrack", "0004_unique_keys"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="trackedtask",
            index=django_tasktrack.models.PartialIndex(
                condition=models.Q(("state__in", ("FAILURE", "REVOKED"))),
                fields=["state", "id"],
                name="tasktrack_unsuccessful",
            ),
        ),
    ]
