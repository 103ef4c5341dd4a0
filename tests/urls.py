"""The suite's pages: the admin and the REST API, where the demo has them too."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/tasktrack/v1/", include("django_tasktrack.rest_framework.urls")),
]
