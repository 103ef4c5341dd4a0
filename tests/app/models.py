"""Business data of the tests."""

from __future__ import annotations

from django.db import models


class Entry(models.Model):
    """Something that a caller or a task writes in a transaction of its own."""

    text = models.CharField(max_length=200)

    def __str__(self) -> str:
        return self.text
