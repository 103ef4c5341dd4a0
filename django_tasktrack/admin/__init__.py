"""The tables in Django's admin."""

from __future__ import annotations

from django.contrib import admin

from ..models import Goal, TrackedTask, Worker
from .goals import GoalAdmin
from .tasks import TrackedTaskAdmin
from .workers import WorkerAdmin

admin.site.register(TrackedTask, TrackedTaskAdmin)
admin.site.register(Worker, WorkerAdmin)
admin.site.register(Goal, GoalAdmin)

__all__ = ["GoalAdmin", "TrackedTaskAdmin", "WorkerAdmin"]
