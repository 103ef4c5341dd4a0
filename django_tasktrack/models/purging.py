"""What purge leaves behind."""

from __future__ import annotations

from django.db import models


class PurgeHorizon(models.Model):
    """The greatest task id that purge has deleted: the compact record behind EXPIRED. One row."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    task_id = models.UUIDField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"purged up to {self.task_id}"


class Sweep(models.Model):
    """How far the workers have come with one rule of retention: all that ended before has been looked at.

    What was passed by, because somebody held it or waits for its value, is found when the rule begins anew.
    """

    rule = models.CharField(max_length=32, primary_key=True)
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    task_id = models.UUIDField(null=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"came to {self.ended_at or 'nothing yet'}"
