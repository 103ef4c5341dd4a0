"""What the page of one task tells: how it is, why, and what may be done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import limits
from ..models import Progress, TrackedTask
from ..states import WAITING, Stage, State
from ..words import span
from . import render, timeline
from .base import may
from .verbs import VERBS

#: Only with ``view_trackedtask_payload``: what tasks were given, what they gave, what they raised.
PAYLOAD = ("args", "kwargs", "result", "error_type", "error_message", "traceback")


@dataclass(frozen=True, slots=True)
class Button:
    """A way to the confirmation of a verb."""

    label: Any
    url: str
    dangerous: bool


def may_see_payload(user: AbstractBaseUser | AnonymousUser) -> bool:
    return may(user, "view_trackedtask_payload")


def context(request: HttpRequest, site: AdminSite, task: TrackedTask) -> dict[str, Any]:
    """What the template of the page shows."""
    now, payload = timezone.now(), may_see_payload(request.user)
    entries = timeline.read(task.pk, payload)
    parts = timeline.stretches(entries, now)
    return {
        "task": task,
        "now": now,
        "why": why(task, now),
        "buttons": buttons(request.user, site, task),
        "entries": entries[::-1],
        "earlier": entries[0].change.seq - 1 if entries else 0,
        "strip": timeline.strip(parts),
        "waited": timeline.total(parts, False),
        "ran": timeline.total(parts, True),
        "attempts": render.attempts(task),
        "payload": payload,
        "worker_url": link(request.user, site, "worker", task.worker_id if task.worker else None),
        "goal_url": link(request.user, site, "goal", task.goal_id if task.goal else None),
        "owner_name": owner_name(task.owner),
        "running": task.state == State.STARTED,
        **_progress(task, now),
    }


def _progress(task: TrackedTask, now: datetime) -> dict[str, Any]:
    progress: Progress | None = render.current_progress(task)
    if progress is None:
        return {}
    left = progress.eta(now) or None if task.state == State.STARTED else None
    return {"progress": progress, "eta": left}


def owner_name(owner: str) -> str:
    """The name of the user whose primary key the owner is; empty where it is nobody's."""
    users = get_user_model()
    try:
        pk = users._meta.pk.to_python(owner or None)
        found = users._default_manager.filter(pk=pk).first() if pk is not None else None
    except (ValidationError, ValueError, OverflowError):  # an owner of the project's own words
        return ""
    return found.get_username() if found else ""


def buttons(
    user: AbstractBaseUser | AnonymousUser, site: AdminSite, task: TrackedTask
) -> list[Button]:
    """What the task's state allows and the user may do."""
    return [
        Button(
            verb.label,
            reverse(f"admin:tasktrack_trackedtask_{verb.name}", current_app=site.name)
            + f"?ids={task.pk}",
            verb.dangerous,
        )
        for verb in VERBS.values()
        if may(user, verb.permission) and verb.allows(task)
    ]


def link(
    user: AbstractBaseUser | AnonymousUser, site: AdminSite, model: str, pk: object
) -> str | None:
    """Address of another page of this app, for those who may open it."""
    if pk is None or not may(user, f"view_{model}"):
        return None
    return reverse(f"admin:tasktrack_{model}_change", args=[pk], current_app=site.name)


def why(task: TrackedTask, now: datetime) -> str:
    """A sentence about what the task is waiting for, where it waits for something."""
    if task.is_finished:
        return ""
    if task.revoke_requested_at:
        return _wish(task)
    if task.stage == Stage.CLAIMED:
        begun = task.state not in WAITING
        return "" if begun else _("Claimed by a worker; its body has not been reported as started.")
    return _why_waiting(task, now)


def _why_waiting(task: TrackedTask, now: datetime) -> str:
    if task.stage in _WAITS:
        return str(_WAITS[Stage(task.stage)])
    if task.stage == Stage.DUE:
        return _why_due(task, now)
    left = {"span": span(max(task.run_after - now, timedelta(0)))}
    if task.state == State.RETRY:
        return _("Its last attempt failed; the next one begins in %(span)s.") % left
    return _("Scheduled: it becomes due in %(span)s.") % left


_WAITS = {
    Stage.HELD: gettext_lazy("Held: it is due, but no live worker knows a task of this name."),
    Stage.BLOCKED: gettext_lazy(
        "Blocked: it runs when the tasks that it waits for have succeeded."
    ),
    Stage.GATED: gettext_lazy(
        "Due, but for a limit: of its task's rate, or of what runs under its concurrency key."
    ),
}


def _why_due(task: TrackedTask, now: datetime) -> str:
    if limits.paused_queues([task.queue]):
        return _("Due, but its queue, “%(queue)s”, is paused.") % {"queue": task.queue}
    given = {"span": span(max(now - task.run_after, timedelta(0))), "queue": task.queue}
    return _("Due for %(span)s; no worker has taken it from “%(queue)s” yet.") % given


def _wish(task: TrackedTask) -> str:
    wish = task.revoke_request or {}
    given = {
        "actor": wish.get("actor") or _("somebody"),
        "signal": wish.get("signal") or "",
        "reason": wish.get("reason") or "",
    }
    if given["signal"] and task.worker is not None and task.worker.can_terminate:
        text = _("%(actor)s asked its worker to end it by %(signal)s.") % given
    else:
        text = _("%(actor)s asked for it to stop; its worker has not answered yet.") % given
    return f"{text} ({given['reason']})" if given["reason"] else text
