"""Distances on the globe, in plain Python: slow enough to be watched."""

from __future__ import annotations

from collections.abc import Sequence
from math import acos, cos, radians, sin

_EARTH_RADIUS = 6371.0  # kilometres

#: A point on the unit sphere, and whose it is.
Point = tuple[float, float, float, int]


def point(latitude: float, longitude: float, city_id: int) -> Point:
    """Where a city is; the chord between two such points orders like the way between them."""
    phi, theta = radians(latitude), radians(longitude)
    return cos(phi) * cos(theta), cos(phi) * sin(theta), sin(phi), city_id


def nearest(place: Point, points: Sequence[Point]) -> tuple[int, float]:
    """The city nearest to ``place`` and how far it is, in kilometres."""
    x, y, z, city_id = place
    closeness, other = max((x * a + y * b + z * c, i) for a, b, c, i in points if i != city_id)
    return other, _EARTH_RADIUS * acos(max(-1.0, min(1.0, closeness)))
