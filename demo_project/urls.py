"""The demo's pages: the admin, and the REST API for who is logged in there."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("api/tasktrack/v1/", include("django_tasktrack.rest_framework.urls")),
]
