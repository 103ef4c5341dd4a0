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
