"""The page between the wish to do something to tasks and the doing of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import (
    HttpRequest,
    HttpResponseBase,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..ids import parse_id
from ..models import TrackedTask
from .base import may
from .verbs import MOST, VERBS, Verb, perform, plan, report

if TYPE_CHECKING:
    from .tasks import TrackedTaskAdmin


class ConfirmationForm(forms.Form):
    """All ids travel in one field: Django counts fields, and a thousand is its limit."""

    ids = forms.CharField(widget=forms.HiddenInput)
    back = forms.CharField(widget=forms.HiddenInput, required=False, max_length=2000)
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        help_text=gettext_lazy("Kept in the history of each task, with your name."),
        required=False,
        max_length=255,
        widget=forms.TextInput(attrs={"size": 60, "autocomplete": "off"}),
    )

    def clean_ids(self) -> list[UUID]:
        found = parse_ids(self.cleaned_data["ids"])
        if not found or len(found) > MOST:
            raise forms.ValidationError(_("No tasks were chosen."))
        return found


def parse_ids(text: str) -> list[UUID]:
    """The ids in a comma-separated text, each once; what is no id is left out."""
    parsed = (parse_id(word.strip()) for word in text.split(","))
    return list(dict.fromkeys(task_id for task_id in parsed if task_id))


def confirmation_view(
    model_admin: TrackedTaskAdmin, request: HttpRequest, verb_name: str
) -> HttpResponseBase:
    """GET shows what would happen to the tasks in ``?ids=``; POST does it."""
    verb = VERBS[verb_name]
    if not (model_admin.has_view_permission(request) and may(request.user, verb.permission)):
        raise PermissionDenied
    if request.method == "POST":
        return _do(model_admin, request, verb)
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    ids = parse_ids(request.GET.get("ids", ""))[:MOST]
    if not ids:
        return _nothing_chosen(model_admin, request)
    return confirmation_page(model_admin, request, verb, ids)


def _nothing_chosen(model_admin: TrackedTaskAdmin, request: HttpRequest) -> HttpResponseBase:
    model_admin.message_user(request, _("No tasks were chosen."), messages.WARNING)
    return HttpResponseRedirect(model_admin.list_url())


def _do(model_admin: TrackedTaskAdmin, request: HttpRequest, verb: Verb) -> HttpResponseBase:
    form = ConfirmationForm(request.POST)
    if not form.is_valid():
        ids = parse_ids(request.POST.get("ids", ""))[:MOST]
        if not ids:
            return _nothing_chosen(model_admin, request)
        return confirmation_page(model_admin, request, verb, ids, form=form)
    ids = form.cleaned_data["ids"]
    # admin_view lets nobody in who is not signed in
    answers = perform(verb, ids, request.user, form.cleaned_data["reason"])  # type: ignore[arg-type]
    for level, text in report(verb, answers):
        model_admin.message_user(request, text, level)
    return HttpResponseRedirect(_back(model_admin, ids, form.cleaned_data["back"]))


def _back(model_admin: TrackedTaskAdmin, ids: Sequence[UUID], query: str) -> str:
    """Where the person came from: the list with its filters, or the page of the one task."""
    if query.startswith("?"):
        return model_admin.list_url() + query.removesuffix("?")
    return model_admin.page_url(ids[0]) if len(ids) == 1 else model_admin.list_url()


def confirmation_page(
    model_admin: TrackedTaskAdmin,
    request: HttpRequest,
    verb: Verb,
    ids: Sequence[UUID],
    *,
    back: str = "",
    more: bool = False,
    form: ConfirmationForm | None = None,
) -> TemplateResponse:
    """What the verb would do with these tasks, by state, and a form to go on.

    Args:
        model_admin: of the tasks.
        request: whose language and permissions count.
        verb: what is wanted.
        ids: of which tasks.
        back: "?" and the query string of the list to return to; empty for the page of the task.
        more: whether more tasks were chosen than one confirmation covers.
        form: the form with what was wrong in it, where it comes back.
    """
    tasks = list(_rows(ids))
    groups = plan(verb, tasks)
    affected = sum(len(group.tasks) for group in groups if not group.fate.skipped)
    initial = {"ids": ",".join(map(str, ids)), "back": back}
    context: dict[str, Any] = {
        **model_admin.admin_site.each_context(request),
        "title": verb.question,
        "opts": model_admin.opts,
        "original": verb.question,
        "media": model_admin.media,
        "has_view_permission": True,
        "verb": verb,
        "groups": groups,
        "affected": affected,
        "skipped": len(tasks) - affected,
        "missing": len(ids) - len(tasks),
        "more": more,
        "most": MOST,
        "single": tasks[0] if len(ids) == 1 and tasks else None,
        "form": form or ConfirmationForm(initial=initial, auto_id="id_%s"),
        "action_url": reverse(
            f"admin:tasktrack_trackedtask_{verb.name}", current_app=model_admin.admin_site.name
        ),
        "back_url": _back(model_admin, ids, back),
    }
    return TemplateResponse(request, "admin/tasktrack/trackedtask/confirm.html", context)


def _rows(ids: Sequence[UUID]) -> Any:
    needed = ("name", "state", "stage", "label", "queue", "worker__name", "worker__can_terminate")
    return TrackedTask.objects.many(ids).select_related("worker").only(*needed).order_by("-pk")
