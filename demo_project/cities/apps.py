"""The demo's business: the cities of the world."""

from __future__ import annotations

from django.apps import AppConfig


class CitiesConfig(AppConfig):
    name = "demo_project.cities"
    default_auto_field = "django.db.models.BigAutoField"
