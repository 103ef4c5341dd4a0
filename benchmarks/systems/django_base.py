"""What systems for Django have in common."""

from __future__ import annotations

from django.core.management import call_command
from django.db import connections

from benchmarks.project.models import Row
from benchmarks.systems.base import Client

ROWS = 10_000


class DjangoClient(Client):
    """A system that keeps something in Django's database."""

    def prepare(self) -> None:
        call_command("migrate", run_syncdb=True, verbosity=0)
        Row.objects.bulk_create([Row(pk=number + 1) for number in range(ROWS)])

    def rest(self) -> None:
        connections.close_all()
