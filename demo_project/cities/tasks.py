"""The demo's three jobs: one with a goal, one that is long, one that meets an obstacle."""

from __future__ import annotations

import csv
import fcntl
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Sum

from django_tasktrack import Task, goals, task

from . import source
from .distances import nearest, point
from .models import City, Country, Neighbour

#: Kind of the goal that ``import_cities`` serves.
IMPORTED = "cities.imported"
RANKING = Path(settings.BASE_DIR) / "demo-ranking.csv"
_CHUNK = 250


@task(bind=True)
def import_cities(self: Task[..., Any], release: str) -> dict[str, int]:
    """Imports all cities in chunks; run again, it replaces them.

    The goal is achieved in the transaction of the last chunk: there is no moment at which the data is
    complete and the goal unmet, or the other way round.
    """
    _save_countries()
    records = source.cities()
    evidence = {"cities": 0, "inhabitants": 0}
    for chunk in source.chunks(records, _CHUNK):
        cities = [source.city(record) for record in chunk]
        evidence["cities"] += len(cities)
        evidence["inhabitants"] += sum(city.population for city in cities)
        with transaction.atomic():
            _replace(cities)
            if evidence["cities"] == len(records):
                goals.get(IMPORTED, release).achieve(evidence=evidence)
        self.progress.set(evidence["cities"], len(records), f"{chunk[0]['name']} …")
    return evidence


@transaction.atomic
def _save_countries() -> None:
    known = set(Country.objects.values_list("code", flat=True))
    Country.objects.bulk_create(c for c in source.countries() if c.code not in known)


def _replace(cities: list[City]) -> None:
    City.objects.filter(pk__in=[city.pk for city in cities]).delete()
    City.objects.bulk_create(cities)


@task(bind=True)
def find_neighbours(self: Task[..., Any], above: int) -> int:
    """Finds the nearest city of each one with more than ``above`` inhabitants, the slow way."""
    where = City.objects.values_list("latitude", "longitude", "pk")
    points = [point(*row) for row in where]
    large = City.objects.filter(population__gt=above).order_by("-population")
    total: int = large.count()
    for number, city in enumerate(large, start=1):
        other, kilometres = nearest(point(city.latitude, city.longitude, city.pk), points)
        Neighbour.objects.update_or_create(
            city=city, defaults={"nearest_id": other, "kilometres": kilometres}
        )
        self.progress.set(number, total, city.name)
    return total


class RankingBusy(Exception):
    """Another program is using the file of the ranking."""


def lock_ranking(file: IO[str]) -> None:
    """Take the file for this process alone, until it is closed.

    Raises:
        RankingBusy: another process has it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RankingBusy(f"{RANKING.name} is locked by another program") from None


@task(
    autoretry_for=[RankingBusy],
    max_retries=8,
    retry_backoff=1,
    retry_backoff_max=2,
    retry_jitter=False,
)
def publish_ranking() -> str:
    """Writes how many people live in the cities of each country; waits for its file to be free."""
    with RANKING.open("a", newline="") as file:
        lock_ranking(file)
        file.truncate(0)
        rows = csv.writer(file)
        rows.writerow(["country", "cities", "inhabitants"])
        ranked = Country.objects.annotate(
            number=Count("cities"), inhabitants=Sum("cities__population", default=0)
        ).order_by("-inhabitants")
        rows.writerows(ranked.values_list("name", "number", "inhabitants"))
    return RANKING.name
