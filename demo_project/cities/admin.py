"""What the tasks have written, in the admin."""

from __future__ import annotations

from django.contrib import admin

from .models import City, Country


@admin.register(Country)
class CountryAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    list_display = ("name", "capital", "continent", "population")
    list_filter = ("continent",)
    search_fields = ("name", "capital")


@admin.register(City)
class CityAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("name", "country", "population", "neighbour")
    list_filter = ("country__continent",)
    list_select_related = ("country", "neighbour__nearest")
    search_fields = ("name", "names")
    show_full_result_count = False
