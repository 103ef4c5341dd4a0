"""Goals: what the business wants, apart from the tasks that serve it."""

from __future__ import annotations

from uuid import UUID

from django.db import models
from django.utils.translation import gettext_lazy as _

from ..querysets import GoalQuerySet
from .tasks import STATES


class Goal(models.Model):
    """What the business wants, apart from the tasks that serve it; it outlives them."""

    class State(models.TextChoices):
        OPEN = "OPEN", _("open")
        ACTIVE = "ACTIVE", _("active")
        ACHIEVED = "ACHIEVED", _("achieved")
        MISSED = "MISSED", _("missed")
        FAILED = "FAILED", _("failed")
        ABANDONED = "ABANDONED", _("abandoned")

    #: Still pursued.
    UNMET = (State.OPEN, State.ACTIVE)

    kind = models.CharField(_("kind"), max_length=255)
    key = models.CharField(_("key"), max_length=255)
    subject_type = models.CharField(_("subject type"), max_length=100, blank=True, default="")
    subject_id = models.CharField(_("subject"), max_length=255, blank=True, default="")
    state = models.CharField(_("state"), max_length=9, choices=State, default=State.OPEN)
    reason = models.CharField(_("reason"), max_length=255, blank=True, default="")
    evidence = models.JSONField(_("evidence"), null=True)
    late = models.BooleanField(_("late"), default=False)

    task_name = models.CharField(_("task name"), max_length=255)
    task_args = models.JSONField(_("positional arguments"), default=list)
    task_kwargs = models.JSONField(_("keyword arguments"), default=dict)
    task_options = models.JSONField(_("enqueue options"), default=dict)
    achieve_on_success = models.BooleanField(_("achieved by the task's success"), default=False)

    attempts = models.PositiveIntegerField(_("tasks used"), default=0)
    max_attempts = models.PositiveIntegerField(_("tasks allowed"), null=True)
    deadline = models.DateTimeField(_("deadline"), null=True)
    next_attempt_at = models.DateTimeField(_("next task"), null=True)
    created_at = models.DateTimeField(_("created"))
    settled_at = models.DateTimeField(_("settled"), null=True)

    objects = GoalQuerySet.as_manager()

    class Meta:
        verbose_name = _("goal")
        verbose_name_plural = _("goals")
        default_permissions = ("view", "change")
        constraints = [
            models.UniqueConstraint(fields=["kind", "key"], name="tasktrack_goal_kind_key"),
        ]
        indexes = [
            models.Index(fields=["state", "next_attempt_at"], name="tasktrack_goal_next"),
            models.Index(fields=["state", "deadline"], name="tasktrack_goal_deadline"),
            models.Index(fields=["subject_type", "subject_id"], name="tasktrack_goal_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"

    @property
    def is_unmet(self) -> bool:
        return self.state in self.UNMET


class GoalAttempt(models.Model):
    """A task that served a goal: kept when the task itself is purged."""

    goal = models.ForeignKey(
        Goal, verbose_name=_("goal"), on_delete=models.CASCADE, related_name="attempt_set"
    )
    number = models.PositiveIntegerField(_("number"))
    task_id: models.UUIDField[UUID, UUID] = models.UUIDField(_("task"), unique=True)
    state = models.CharField(_("state"), max_length=8, choices=STATES)
    created_at = models.DateTimeField(_("created"))
    started_at = models.DateTimeField(_("started"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)
    error = models.CharField(_("error"), max_length=255, blank=True, default="")

    class Meta:
        verbose_name = _("goal attempt")
        verbose_name_plural = _("goal attempts")
        default_permissions = ("view",)
        ordering = ("goal", "number")
        constraints = [
            models.UniqueConstraint(fields=["goal", "number"], name="tasktrack_goal_number"),
        ]

    def __str__(self) -> str:
        return f"{self.number}. {self.state}"
