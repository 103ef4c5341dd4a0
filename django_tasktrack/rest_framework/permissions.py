"""Who may see and do what. Everything that is not allowed here is denied.

* Staff with ``tasktrack.view_trackedtask`` see every task; arguments, results and tracebacks only
  with ``tasktrack.view_trackedtask_payload`` as well.
* Everyone else who is authenticated sees the tasks whose ``owner`` is ``str(user.pk)``: their state,
  progress and result. What they may not see does not exist for them.
* Goals and workers are for staff with ``tasktrack.view_goal`` and ``tasktrack.view_worker``.
* Owners may revoke their own tasks without any permission, but not kill the process that runs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rest_framework.permissions import BasePermission, DjangoModelPermissions
from rest_framework.request import Request
from rest_framework.views import APIView

from ..models import TrackedTask
from ..querysets import TaskQuerySet


@dataclass(frozen=True, slots=True)
class Access:
    """What one user may see and do.

    Attributes:
        owner: the ``owner`` of this user's tasks.
        sees_all: whether other owners' tasks exist for the user.
        sees_payload: whether arguments, results and tracebacks are shown.
        revokes, terminates, retries: whether the user may do so to every task that is visible.
    """

    owner: str
    sees_all: bool
    sees_payload: bool
    revokes: bool
    terminates: bool
    retries: bool

    @classmethod
    def of(cls, user: Any) -> Access:
        """The access of an authenticated user, of whatever class the project's users are."""
        has_perm = getattr(user, "has_perm", None)

        def may(action: str) -> bool:
            return has_perm is not None and has_perm(f"tasktrack.{action}_trackedtask")

        sees_all = bool(getattr(user, "is_staff", False)) and may("view")
        return cls(
            owner="" if user.pk is None else str(user.pk),
            sees_all=sees_all,
            sees_payload=sees_all and user.has_perm("tasktrack.view_trackedtask_payload"),
            revokes=may("revoke"),
            terminates=may("terminate"),
            retries=may("retry"),
        )

    def visible(self, tasks: TaskQuerySet) -> TaskQuerySet:
        """Those of ``tasks`` that exist for the user."""
        if self.sees_all:
            return tasks
        return tasks.owned_by(self.owner) if self.owner else tasks.none()

    def may_revoke(self, task: TrackedTask) -> bool:
        """Whether the user may ask this task to stop: its owner always may."""
        return self.revokes or (self.owner != "" and task.owner == self.owner)

    @property
    def may_terminate(self) -> bool:
        """Whether the user may have the process of a running task killed."""
        return self.revokes and self.terminates


class MayRevoke(BasePermission):
    """The task is one that the user may revoke."""

    message = "You may not revoke this task."

    def has_object_permission(self, request: Request, view: APIView, obj: Any) -> bool:
        return Access.of(request.user).may_revoke(obj)


class MayRetry(BasePermission):
    """The user may have finished tasks run again."""

    message = "You may not run this task again."

    def has_object_permission(self, request: Request, view: APIView, obj: Any) -> bool:
        return Access.of(request.user).retries


class MayView(DjangoModelPermissions):
    """The user has the view permission of the endpoint's model; nothing here can be written."""

    perms_map = {
        method: ["%(app_label)s.view_%(model_name)s"] for method in ("GET", "HEAD", "OPTIONS")
    }
