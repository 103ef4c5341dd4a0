"""Business data for tasks that do something with the database."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Row(models.Model):
    """A row of its own for each task."""

    value = models.IntegerField(default=0)

    objects: ClassVar[models.Manager[Row]] = models.Manager()

    def __str__(self) -> str:
        return f"{self.pk}: {self.value}"
