"""Rows written past the ORM's compiler."""

from __future__ import annotations

from django.db import models

from django_tasktrack.vendors import bulk


class Noted(models.Model):
    """Has a column that came while older code ran, and one that came so and has a default here too."""

    text = models.CharField(max_length=20)
    note = models.CharField(max_length=20, null=True, db_default="by default")
    flag = models.BooleanField(default=False, db_default=False)

    class Meta:
        app_label = "app"
        managed = False

    def __str__(self) -> str:
        return self.text


def test_what_only_the_database_has_a_default_for_is_left_to_it() -> None:
    sql = bulk._insert("sqlite", Noted)
    assert '"text"' in sql
    assert '"flag"' in sql
    assert '"note"' not in sql
