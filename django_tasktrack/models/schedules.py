"""Schedules, and the slots of theirs that were run."""

from __future__ import annotations

from uuid import UUID

from django.db import models
from django.utils.translation import gettext_lazy as _

from ..querysets import ScheduleQuerySet


class Schedule(models.Model):
    """A task that is wanted again and again, or at one time: each slot of it is enqueued once.

    ``next_at`` is its first slot that was not run yet; NULL where there is none.
    """

    name = models.CharField(_("name"), max_length=255, unique=True)
    task = models.CharField(_("task"), max_length=255, help_text=_("A task's name."))
    timing = models.CharField(
        _("when"),
        max_length=255,
        help_text=_(
            "A cron text (30 7 * * mon-fri), an interval (every 90 s, every 15 min, every 2 h, every 1 d) "
            "or one time (at 2030-01-31 07:30)."
        ),
    )
    timezone = models.CharField(
        _("time zone"),
        max_length=64,
        blank=True,
        default="",
        help_text=_("Such as Europe/Berlin. Empty: the site's."),
    )
    args = models.JSONField(_("positional arguments"), default=list, blank=True)
    kwargs = models.JSONField(_("keyword arguments"), default=dict, blank=True)
    queue = models.CharField(
        _("queue"), max_length=100, blank=True, default="", help_text=_("Empty: the task's own.")
    )
    priority = models.SmallIntegerField(
        _("priority"), null=True, blank=True, help_text=_("Empty: the task's own.")
    )
    expires = models.FloatField(
        _("expires, seconds"),
        null=True,
        blank=True,
        help_text=_("A task that has not begun so long after it was enqueued never will."),
    )
    unique_key = models.CharField(
        _("unique key"),
        max_length=255,
        blank=True,
        default="",
        help_text=_(
            "While a task with this key waits or runs, a slot adds no other. Empty: the task's own."
        ),
    )
    catch_up = models.PositiveSmallIntegerField(
        _("missed slots to run"),
        default=1,
        help_text=_("0: none. 1: the latest. More: so many of the latest."),
    )
    enabled = models.BooleanField(_("enabled"), default=True)

    #: What the code has declared last; NULL where a person has made it.
    declaration = models.JSONField(_("declaration"), null=True, editable=False)
    #: Since when no code declares it any more.
    withdrawn_at = models.DateTimeField(_("withdrawn"), null=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    next_at = models.DateTimeField(_("next slot"), null=True, editable=False)
    last_at = models.DateTimeField(_("last slot"), null=True, editable=False)
    problem = models.CharField(_("problem"), max_length=255, blank=True, default="", editable=False)

    objects = ScheduleQuerySet.as_manager()

    class Meta:
        verbose_name = _("schedule")
        verbose_name_plural = _("schedules")
        permissions = [("run_schedule", "Can run schedules now")]
        indexes = [models.Index(fields=["next_at"], name="tasktrack_schedule_next")]

    def __str__(self) -> str:
        return self.name

    @property
    def is_active(self) -> bool:
        """Whether its slots are to be run at all."""
        return self.enabled and self.withdrawn_at is None


class ScheduleSlot(models.Model):
    """A slot of a schedule, and the task that was enqueued for it: at most one.

    It outlives the task and the schedule, until purge deletes it.
    """

    schedule = models.ForeignKey(
        Schedule,
        verbose_name=_("schedule"),
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="slots",
    )
    slot = models.DateTimeField(_("slot"))
    name = models.CharField(_("name of the schedule"), max_length=255)
    task_id: models.UUIDField[UUID, UUID] = models.UUIDField(_("task"), db_index=True)
    joined = models.BooleanField(
        _("joined"), default=False, help_text=_("An earlier task with its key was still there.")
    )
    by_hand = models.BooleanField(_("run by hand"), default=False)
    enqueued_at = models.DateTimeField(_("enqueued"), db_index=True)

    class Meta:
        verbose_name = _("slot")
        verbose_name_plural = _("slots")
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["schedule", "slot"], name="tasktrack_schedule_slot"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.slot:%Y-%m-%d %H:%M:%S}"
