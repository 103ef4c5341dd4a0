"""Workers in the admin: whether each lives, what it serves, what it runs now."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..conf import config
from ..models import TrackedTask, Worker
from ..states import Stage
from . import render
from .base import ReadOnlyAdmin, may
from .changelists import StrictChangeList
from .filters import ConditionFilter

#: Tasks of a worker that its row in the list names.
_NAMED = 2


class WorkerAdmin(ReadOnlyAdmin[Worker]):
    list_display = (
        "worker", "condition_column", "heartbeat_column", "runs", "queues_column",
        "pool_column", "host", "pid", "started_column",
    )  # fmt: skip
    list_filter = (ConditionFilter,)
    ordering = ("-heartbeat_at",)
    search_fields = ("name", "host")
    search_help_text = gettext_lazy("a worker's name or host")
    page_template = "admin/tasktrack/worker/page.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        return Worker.objects.prefetch_related(Prefetch("tasks", _claimed(), to_attr="holds"))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return StrictChangeList

    def page_context(self, request: HttpRequest, row: Worker) -> dict[str, Any]:
        now = timezone.now()
        return {
            "title": row.name,
            "worker": row,
            "now": now,
            "silent": is_silent(row, now - row.heartbeat_at),
            "lease": timedelta(seconds=config().LEASE),
            "holds": getattr(row, "holds", []),
            "may_see_tasks": may(request.user, "view_trackedtask"),
        }

    @admin.display(description=gettext_lazy("worker"))
    def worker(self, worker: Worker) -> str:
        return worker.name

    @admin.display(description=gettext_lazy("condition"))
    def condition_column(self, worker: Worker) -> SafeString:
        badge = render.condition_badge(worker)
        if not worker.is_alive or worker.shutdown_requested_at is None:
            return badge
        return format_html('{}<span class="tt-note">{}</span>', badge, _("asked to end"))

    @admin.display(description=gettext_lazy("last heartbeat"))
    def heartbeat_column(self, worker: Worker) -> SafeString:
        now = timezone.now()
        shown = render.ago(worker.heartbeat_at, now)
        if not is_silent(worker, now - worker.heartbeat_at):
            return shown
        return format_html(
            '{} <span class="tt-alarm">{}{}</span>', shown, render.icon("lost"), _("silent")
        )

    @admin.display(description=gettext_lazy("runs now"))
    def runs(self, worker: Worker) -> SafeString:
        holds: list[TrackedTask] = getattr(worker, "holds", [])
        if not holds:
            return render.nothing()
        names = ", ".join(task.name.rpartition(".")[2] for task in holds[:_NAMED])
        more = f" +{len(holds) - _NAMED}" if len(holds) > _NAMED else ""
        return format_html("<strong>{}</strong> {}{}", len(holds), names, more)

    @admin.display(description=gettext_lazy("queues"))
    def queues_column(self, worker: Worker) -> str:
        if worker.queues:
            return ", ".join(worker.queues)
        left_out = ", ".join(worker.excluded_queues or ())
        return _("all but %(queues)s") % {"queues": left_out} if left_out else _("all")

    @admin.display(description=gettext_lazy("pool"))
    def pool_column(self, worker: Worker) -> str:
        return f"{worker.pool} × {worker.concurrency}"

    @admin.display(description=gettext_lazy("started"))
    def started_column(self, worker: Worker) -> SafeString:
        return render.moment(worker.started_at)


def _claimed() -> QuerySet[TrackedTask]:
    shown = ("name", "state", "stage", "label", "attempt", "started_at", "lease", "worker_id",
             "finished_at", "revoke_requested_at", "progress")  # fmt: skip
    claimed = TrackedTask.objects.filter(stage=Stage.CLAIMED).select_related("progress")
    return claimed.only(*shown).order_by("pk")


def is_silent(worker: Worker, age: timedelta) -> bool:
    """Whether a worker that counts as alive has missed heartbeats: two may be chance."""
    return worker.is_alive and age > timedelta(seconds=3 * config().HEARTBEAT)
