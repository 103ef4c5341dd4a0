"""Countries and cities of the world (geonames.org, CC BY 4.0)."""

from __future__ import annotations

from django.db import models


class Country(models.Model):
    code = models.CharField(max_length=2, primary_key=True)
    name = models.CharField(max_length=100)
    capital = models.CharField(max_length=100, blank=True)
    continent = models.CharField(max_length=2)
    population = models.BigIntegerField()

    class Meta:
        verbose_name_plural = "countries"
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class City(models.Model):
    """A place with at least 15,000 inhabitants; its key is its number at GeoNames."""

    id = models.PositiveIntegerField(primary_key=True)
    name = models.CharField(max_length=200)
    country = models.ForeignKey(Country, on_delete=models.CASCADE, related_name="cities")
    population = models.PositiveIntegerField(db_index=True)
    latitude = models.FloatField()
    longitude = models.FloatField()
    timezone = models.CharField(max_length=50)
    names = models.TextField(blank=True, help_text="In other languages and scripts, one a line.")

    class Meta:
        verbose_name_plural = "cities"
        ordering = ("-population",)

    def __str__(self) -> str:
        return self.name


class Neighbour(models.Model):
    """The city that is nearest to a city."""

    city = models.OneToOneField(City, on_delete=models.CASCADE, related_name="neighbour")
    nearest = models.ForeignKey(City, on_delete=models.CASCADE, related_name="+")
    kilometres = models.FloatField()

    def __str__(self) -> str:
        return f"{self.nearest} ({self.kilometres:,.0f} km)"
