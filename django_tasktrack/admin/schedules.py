"""Schedules in the admin: when each runs next and why not, and what can be changed of them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from .. import timings
from ..exceptions import TasktrackError
from ..models import Schedule
from ..schedules import firing, planning
from ..vendors import task_database, vendor_for
from . import render, task_page
from .base import ModelAdmin, may, refresh_context
from .changelists import StrictChangeList
from .filters import ChoiceFilter
from .schedule_form import ScheduleForm

#: Times that the page of a schedule names: those to come, and those that were.
_SHOWN = 5
_PAYLOAD = ("args", "kwargs")
_READ_ONLY = ("condition_column", "next_times", "last_slots", "source_column")


class ScheduleConditionFilter(ChoiceFilter):
    title = gettext_lazy("condition")
    parameter_name = "condition"
    template = "admin/tasktrack/includes/filter_states.html"
    anything = gettext_lazy("All")
    _lookups: dict[str, dict[str, Any]] = {
        "enabled": {"enabled": True, "withdrawn_at__isnull": True},
        "disabled": {"enabled": False},
        "withdrawn": {"withdrawn_at__isnull": False},
        "problem": {"problem__gt": ""},
    }

    def offered(self, request: HttpRequest) -> Iterable[tuple[Any, Any]]:
        return [(word, _word(word)) for word in self._lookups]

    def narrowed(self, queryset: QuerySet[Any], chosen: str) -> QuerySet[Any]:
        lookups = self._lookups.get(chosen)
        return queryset.none() if lookups is None else queryset.filter(**lookups)


class ScheduleAdmin(ModelAdmin[Schedule]):
    form = ScheduleForm
    list_display = (
        "name", "condition_column", "when_column", "task", "next_column", "last_column", "source_column",
    )  # fmt: skip
    list_filter = (ScheduleConditionFilter,)
    list_per_page = 50
    show_full_result_count = False
    sortable_by = ()
    ordering = ("name",)
    search_fields = ("name", "task")
    search_help_text = gettext_lazy("a schedule's name or task")
    actions: Any = ("enable", "disable", "run_now")

    class Media:
        css = {"all": ["tasktrack/admin.css"]}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return StrictChangeList

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        given = {**refresh_context(request), **(extra_context or {})}
        return super().changelist_view(request, given)

    # What may be changed

    def get_fieldsets(self, request: HttpRequest, obj: Schedule | None = None) -> Any:
        what: tuple[str, ...] = ("task", "queue", "priority", "expires", "unique_key")
        if task_page.may_see_payload(request.user):
            what = ("task", *_PAYLOAD, *what[1:])
        when = ("timing", "timezone", "catch_up", "enabled")
        shown = [(None, {"fields": _READ_ONLY})] if obj else []
        return [
            (None, {"fields": ("name",)}),
            *shown,
            (_("When"), {"fields": when}),
            (_("What"), {"fields": what}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Schedule | None = None) -> Any:
        """The name is what a declaration is known by."""
        declared = obj is not None and obj.declaration is not None
        return (*_READ_ONLY, "name") if declared else _READ_ONLY

    def has_delete_permission(self, request: HttpRequest, obj: Schedule | None = None) -> bool:
        """One that the code declares would come back; it can be disabled."""
        declared = obj is not None and obj.declaration is not None and obj.withdrawn_at is None
        return not declared and super().has_delete_permission(request, obj)

    def get_actions(self, request: HttpRequest) -> Any:
        """Without deleting many at once: each has a page that asks."""
        found = super().get_actions(request)
        found.pop("delete_selected", None)
        return found

    def save_model(self, request: HttpRequest, obj: Schedule, form: Any, change: bool) -> None:
        vendor = vendor_for(task_database())
        if change:
            planning.change(vendor, obj, form.changed_data)
        else:
            planning.plan(obj, vendor.now())
            obj.save(using=vendor.using)

    # Actions

    def has_run_permission(self, request: HttpRequest) -> bool:
        return may(request.user, "run_schedule")

    @admin.action(description=gettext_lazy("Enable"), permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        self._switch(request, queryset, enabled=True)

    @admin.action(description=gettext_lazy("Disable"), permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        self._switch(request, queryset, enabled=False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[Schedule], *, enabled: bool) -> None:
        vendor, changed = vendor_for(task_database()), 0
        for row in queryset.exclude(enabled=enabled):
            row.enabled = enabled
            planning.change(vendor, row, ["enabled"])
            self.log_change(request, row, _word("enabled" if enabled else "disabled"))
            changed += 1
        if enabled:
            text = ngettext("%(n)s schedule was enabled.", "%(n)s schedules were enabled.", changed)
        else:
            text = ngettext(
                "%(n)s schedule was disabled.", "%(n)s schedules were disabled.", changed
            )
        self.message_user(request, text % {"n": changed}, messages.SUCCESS)

    @admin.action(description=gettext_lazy("Run now"), permissions=["run"])
    def run_now(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        vendor = vendor_for(task_database())
        actor = f"user:{request.user.get_username()}"
        for row in queryset:
            try:
                fired = firing.run_now(vendor, row, actor)
            except (TasktrackError, TypeError) as error:
                self.message_user(request, f"{row.name}: {error}", messages.ERROR)
                continue
            self.log_change(request, row, f"run_now: {fired.task_id}")
            text = (
                _("%(name)s: the task is there already: %(id)s")
                if fired.joined
                else _("%(name)s: task %(id)s was enqueued.")
            )
            self.message_user(
                request, text % {"name": row.name, "id": fired.task_id}, messages.SUCCESS
            )

    # Columns

    @admin.display(description=gettext_lazy("condition"))
    def condition_column(self, row: Schedule) -> SafeString:
        word = _condition(row)
        return format_html(
            '{}<span class="tt-note">{}</span>', render.badge(word, _word(word)), row.problem
        )

    @admin.display(description=gettext_lazy("when"))
    def when_column(self, row: Schedule) -> SafeString:
        return format_html('{} <span class="tt-note">{}</span>', row.timing, row.timezone)

    @admin.display(description=gettext_lazy("next slot"))
    def next_column(self, row: Schedule) -> SafeString:
        return render.ago(row.next_at) if row.next_at else render.nothing()

    @admin.display(description=gettext_lazy("last slot"))
    def last_column(self, row: Schedule) -> SafeString:
        return render.moment(row.last_at)

    @admin.display(description=gettext_lazy("made by"))
    def source_column(self, row: Schedule) -> SafeString:
        """The code or a person; and what a person has changed of what the code says."""
        if row.declaration is None:
            return format_html("{}", _("a person"))
        said = {name: value for name, value in row.declaration.items() if name not in _PAYLOAD}
        changed = [name for name, value in said.items() if getattr(row, name, value) != value]
        note = _("changed here: %(names)s") % {"names": ", ".join(changed)} if changed else ""
        return format_html('{} <span class="tt-note">{}</span>', _("the code"), note)

    @admin.display(description=gettext_lazy("next times"))
    def next_times(self, row: Schedule) -> SafeString:
        if not row.next_at:
            return render.nothing()
        try:
            rule = timings.rule(row.timing, row.timezone)
            zone = timings.zone_of(row.timezone)
            times = list(islice(timings.upcoming(rule, timings.aware(row.next_at)), _SHOWN))
        except TasktrackError as error:
            return format_html("{}", str(error))
        shown = [(f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}",) for at in times]
        return format_html("<ol>{}</ol>", format_html_join("", "<li>{}</li>", shown))

    @admin.display(description=gettext_lazy("last tasks"))
    def last_slots(self, row: Schedule) -> SafeString:
        slots = row.slots.order_by("-pk")[:_SHOWN]
        items = [
            (reverse("admin:tasktrack_trackedtask_change", args=[one.task_id]), one.task_id,
             render.moment(one.slot), _note(one.by_hand, one.joined))
            for one in slots
        ]  # fmt: skip
        if not items:
            return render.nothing()
        line = '<li>{2} <a href="{0}">{1}</a> <span class="tt-note">{3}</span></li>'
        return format_html("<ul>{}</ul>", format_html_join("", line, items))


def _condition(row: Schedule) -> str:
    if row.withdrawn_at is not None:
        return "withdrawn"
    if not row.enabled:
        return "disabled"
    return "problem" if row.problem else "enabled"


def _word(word: str) -> str:
    words = {
        "enabled": _("enabled"),
        "disabled": _("disabled"),
        "withdrawn": _("not declared any more"),
        "problem": _("problem"),
    }
    return words[word]


def _note(by_hand: bool, joined: bool) -> str:
    notes = [_("run by hand") if by_hand else "", _("was there already") if joined else ""]
    return ", ".join(filter(None, notes))
