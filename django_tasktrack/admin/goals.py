"""Goals in the admin: what the business wants, and the tasks that were tried for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import Goal, GoalAttempt, TrackedTask
from ..states import State
from . import render, task_page
from .base import ReadOnlyAdmin, may
from .changelists import KeysetChangeList
from .filters import GoalKindFilter, GoalStateFilter
from .search import holds

_ATTEMPTS = 200
_PAYLOAD = ("task_args", "task_kwargs", "task_options", "evidence")


@dataclass(frozen=True, slots=True)
class ShownAttempt:
    """An attempt, and its task where that has not been purged."""

    attempt: GoalAttempt
    task: TrackedTask | None


class GoalAdmin(ReadOnlyAdmin[Goal]):
    list_display = (
        "goal", "state_column", "key", "attempts_column", "deadline_column",
        "created_column", "settled_column",
    )  # fmt: skip
    list_filter = (GoalStateFilter, GoalKindFilter)
    search_fields = ("key",)
    search_help_text = gettext_lazy("a goal's key, or kind: key:")
    page_template = "admin/tasktrack/goal/page.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Goal]:
        return Goal.objects.defer(*_PAYLOAD)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Goal | None:
        if not (object_id.isascii() and object_id.isdigit()):
            return None
        rows = Goal.objects.filter(pk=int(object_id))
        if not task_page.may_see_payload(request.user):
            rows = rows.defer(*_PAYLOAD)
        return rows.first()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeysetChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Goal], search_term: str
    ) -> tuple[QuerySet[Goal], bool]:
        for word in search_term.replace("\x00", "").split()[:10]:
            about, colon, value = word.partition(":")
            if colon and value and about.lower() in ("kind", "key"):
                queryset = queryset.filter(**{about.lower(): value})
            else:
                queryset = queryset.filter(holds("key", word) | holds("kind", word))
        return queryset, False

    def page_context(self, request: HttpRequest, row: Goal) -> dict[str, Any]:
        payload = task_page.may_see_payload(request.user)
        shown = _attempts(row, payload)
        latest = shown[0] if shown else None
        live = latest.task if latest and latest.task and not latest.task.is_finished else None
        return {
            "goal": row,
            "now": timezone.now(),
            "payload": payload,
            # The reason of a failed goal quotes the error of its last task.
            "reason": row.reason if payload or row.state != Goal.State.FAILED else "",
            "attempts": shown,
            "live": live,
            "progress": render.current_progress(live) if live else None,
            "live_running": bool(live and live.state == State.STARTED),
            "overdue": _is_overdue(row),
            "allowed": _used(row),
            "may_see_tasks": may(request.user, "view_trackedtask"),
        }

    @admin.display(description=gettext_lazy("goal"))
    def goal(self, goal: Goal) -> str:
        return goal.kind

    @admin.display(description=gettext_lazy("state"))
    def state_column(self, goal: Goal) -> SafeString:
        return format_html(
            '{}<span class="tt-note">{}</span>',
            render.badge(goal.state),
            _("late") if goal.late else "",
        )

    @admin.display(description=gettext_lazy("tasks used"))
    def attempts_column(self, goal: Goal) -> str:
        return _used(goal)

    @admin.display(description=gettext_lazy("deadline"))
    def deadline_column(self, goal: Goal) -> SafeString:
        shown = render.moment(goal.deadline)
        if not _is_overdue(goal):
            return shown
        return format_html(
            '{} <span class="tt-alarm">{}{}</span>', shown, render.icon("lost"), _("overdue")
        )

    @admin.display(description=gettext_lazy("created"))
    def created_column(self, goal: Goal) -> SafeString:
        return render.moment(goal.created_at)

    @admin.display(description=gettext_lazy("settled"))
    def settled_column(self, goal: Goal) -> SafeString:
        return render.moment(goal.settled_at)


def _attempts(goal: Goal, payload: bool) -> list[ShownAttempt]:
    """The latest attempts, newest first; they stay when their tasks are purged."""
    rows = GoalAttempt.objects.filter(goal=goal).order_by("-number")
    attempts = list((rows if payload else rows.defer("error"))[:_ATTEMPTS])
    tasks = TrackedTask.objects.many(attempt.task_id for attempt in attempts)
    tasks = tasks.select_related("progress", "worker").defer(*task_page.PAYLOAD)
    found = {task.pk: task for task in tasks}
    return [ShownAttempt(attempt, found.get(attempt.task_id)) for attempt in attempts]


def _used(goal: Goal) -> str:
    if goal.max_attempts is None:
        return str(goal.attempts)
    return _("%(used)s of %(allowed)s") % {"used": goal.attempts, "allowed": goal.max_attempts}


def _is_overdue(goal: Goal) -> bool:
    return bool(goal.deadline and goal.is_unmet and goal.deadline < timezone.now())
