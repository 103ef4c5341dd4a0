"""The tables in Django's admin."""

from __future__ import annotations

from django.contrib import admin

from ..models import Goal, Schedule, TrackedTask, Worker
from .goals import GoalAdmin
from .schedules import ScheduleAdmin
from .tasks import TrackedTaskAdmin
from .workers import WorkerAdmin

admin.site.register(TrackedTask, TrackedTaskAdmin)
admin.site.register(Worker, WorkerAdmin)
admin.site.register(Goal, GoalAdmin)
admin.site.register(Schedule, ScheduleAdmin)

__all__ = ["GoalAdmin", "ScheduleAdmin", "TrackedTaskAdmin", "WorkerAdmin"]
