"""Where each endpoint of the API is."""

from __future__ import annotations

from django.urls import re_path
from rest_framework.routers import SimpleRouter

from .nowhere import METHODS, Nowhere
from .views import GoalViewSet, TaskViewSet, WorkerViewSet

app_name = "tasktrack-api"

router = SimpleRouter(use_regex_path=False)
router.register("tasks", TaskViewSet, basename="task")
router.register("goals", GoalViewSet, basename="goal")
router.register("workers", WorkerViewSet, basename="worker")

# The last ends in a slash, so that Django still adds one that is missing.
_ELSEWHERE = r"^(?:(?:tasks|goals|workers)/.*/)?$"

urlpatterns = [
    *router.urls,
    re_path(_ELSEWHERE, Nowhere.as_view(METHODS), name="nowhere"),
]
