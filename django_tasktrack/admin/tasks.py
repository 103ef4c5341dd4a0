"""Tasks in the admin: the list, the page of each, and what can be done to them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..ids import parse_id
from ..models import TrackedTask
from . import render, search, task_page
from .base import ReadOnlyAdmin, may
from .changelists import KeysetChangeList
from .confirmation import confirmation_page, confirmation_view
from .filters import CreatedFilter, QueueFilter, TaskNameFilter, TaskStateFilter, WorkerFilter
from .verbs import MOST, VERBS

_BIG = ("args", "kwargs", "result", "error_message", "traceback")


class TrackedTaskAdmin(ReadOnlyAdmin[TrackedTask]):
    list_filter = (TaskStateFilter, QueueFilter, TaskNameFilter, WorkerFilter, CreatedFilter)
    search_fields = ("name",)
    search_help_text = gettext_lazy("a name or id, or id: task: queue: state: worker: owner:")
    actions = ("revoke", "terminate", "retry")
    page_template = "admin/tasktrack/trackedtask/page.html"

    # Rows

    def get_queryset(self, request: HttpRequest) -> QuerySet[TrackedTask]:
        tasks = TrackedTask.objects.select_related("worker", "progress")
        return tasks.defer(
            *_BIG, "progress__meta", "worker__queues", "worker__known_tasks", "worker__version"
        )

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> TrackedTask | None:
        task_id = parse_id(object_id)
        if task_id is None:
            return None
        rows = TrackedTask.objects.select_related("worker", "progress", "goal")
        if not task_page.may_see_payload(request.user):
            rows = rows.defer(*task_page.PAYLOAD)
        return rows.filter(pk=task_id).first()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeysetChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[TrackedTask], search_term: str
    ) -> tuple[QuerySet[TrackedTask], bool]:
        tasks: Any = queryset
        return search.search_tasks(tasks, search_term), False

    # Pages

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                f"{name}/",
                self.admin_site.admin_view(self.confirmation_view),
                {"verb_name": name},
                name=f"tasktrack_trackedtask_{name}",
            )
            for name in VERBS
        ]
        return own + super().get_urls()

    def confirmation_view(self, request: HttpRequest, verb_name: str) -> HttpResponseBase:
        return confirmation_view(self, request, verb_name)

    def page_url(self, task_id: UUID) -> str:
        name = "admin:tasktrack_trackedtask_change"
        return reverse(name, args=[task_id], current_app=self.admin_site.name)

    def page_context(self, request: HttpRequest, row: TrackedTask) -> dict[str, Any]:
        return {"title": row.name, **task_page.context(request, self.admin_site, row)}

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        text = request.GET.get("q", "")
        note = search.explain_nothing(text) if text else ""
        return super().changelist_view(request, {"search_note": note, **(extra_context or {})})

    def gone(self, request: HttpRequest, object_id: str) -> HttpResponse:
        task_id = parse_id(object_id)
        if task_id is not None:
            self.message_user(request, search.why_missing(task_id), messages.INFO)
        return super().gone(request, object_id)

    # Actions

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return may(request.user, "revoke_trackedtask")

    def has_terminate_permission(self, request: HttpRequest) -> bool:
        return may(request.user, "terminate_trackedtask")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return may(request.user, "retry_trackedtask")

    @admin.action(description=gettext_lazy("Revoke…"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[TrackedTask]) -> TemplateResponse:
        return self._confirm("revoke", request, queryset)

    @admin.action(description=gettext_lazy("Terminate…"), permissions=["terminate"])
    def terminate(self, request: HttpRequest, queryset: QuerySet[TrackedTask]) -> TemplateResponse:
        return self._confirm("terminate", request, queryset)

    @admin.action(description=gettext_lazy("Retry…"), permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[TrackedTask]) -> TemplateResponse:
        return self._confirm("retry", request, queryset)

    def _confirm(
        self, name: str, request: HttpRequest, queryset: QuerySet[TrackedTask]
    ) -> TemplateResponse:
        ids = list(queryset.order_by("-pk").values_list("pk", flat=True)[: MOST + 1])
        return confirmation_page(
            self,
            request,
            VERBS[name],
            ids[:MOST],
            back=f"?{request.META.get('QUERY_STRING', '')}"[:2000],
            more=len(ids) > MOST,
        )

    def response_action(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Django's own, after a look at the ids that were sent: a malformed one would be a 500."""
        chosen = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if not all(parse_id(value) for value in chosen):
            self.message_user(request, _("No tasks were chosen."), messages.WARNING)
            return None
        return super().response_action(request, *args, **kwargs)

    # Columns

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        state = "state_error_column" if task_page.may_see_payload(request.user) else "state_column"
        return [
            "task", state, "progress_column", "queue", "worker_column",
            "created_column", "started_column", "duration_column",
        ]  # fmt: skip

    @admin.display(description=gettext_lazy("task"))
    def task(self, task: TrackedTask) -> SafeString:
        return render.task_name(task)

    @admin.display(description=gettext_lazy("state"))
    def state_column(self, task: TrackedTask) -> SafeString:
        notes = [render.hint(task)]
        if task.attempt > 1:
            notes.append(_("attempt %(n)s") % {"n": render.attempts(task)})
        note = " · ".join(filter(None, notes))
        return format_html('{}<span class="tt-note">{}</span>', render.state_badge(task), note)

    @admin.display(description=gettext_lazy("state"))
    def state_error_column(self, task: TrackedTask) -> SafeString:
        """The same with the kind of error, for those who may see it."""
        if not task.error_type:
            return self.state_column(task)
        return format_html(
            '{}<span class="tt-note"><span class="tt-error" title="{}">{}</span></span>',
            self.state_column(task),
            task.error_type,
            task.error_type.rpartition(".")[2],
        )

    @admin.display(description=gettext_lazy("progress"))
    def progress_column(self, task: TrackedTask) -> SafeString:
        return render.list_progress(task)

    @admin.display(description=gettext_lazy("worker"))
    def worker_column(self, task: TrackedTask) -> Any:
        return task.worker.name if task.worker else render.nothing()

    @admin.display(description=gettext_lazy("created"))
    def created_column(self, task: TrackedTask) -> SafeString:
        return render.moment(task.created_at)

    @admin.display(description=gettext_lazy("started"))
    def started_column(self, task: TrackedTask) -> SafeString:
        return render.moment(task.started_at)

    @admin.display(description=gettext_lazy("ran for"))
    def duration_column(self, task: TrackedTask) -> SafeString:
        return render.duration(task.duration)
