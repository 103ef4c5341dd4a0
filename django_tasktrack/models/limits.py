"""What operators and declarations limit: tasks by their name, and queues. A row stands only where something was
said."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class TaskLimits(models.Model):
    """The limits of the tasks of one name, and the bucket of tokens that their rate is kept by.

    ``version`` rises with each change of what is limited, not with the tokens: workers ask for the sum of
    all of them, to know whether there is anything new. So rows are never deleted.
    """

    name = models.CharField(_("task name"), max_length=255, unique=True)
    declared = models.CharField(_("declared rate"), max_length=50, blank=True, default="")
    # NULL: as declared. Empty: none.
    rate_limit = models.CharField(_("rate set at run time"), max_length=50, null=True)
    # Both or none of them count, as ``timed`` says.
    timed = models.BooleanField(_("time limits set at run time"), default=False)
    time_limit = models.FloatField(_("time limit, seconds"), null=True)
    soft_time_limit = models.FloatField(_("soft time limit, seconds"), null=True)
    set_at = models.DateTimeField(_("set"), null=True)
    set_by = models.CharField(_("set by"), max_length=255, blank=True, default="")
    version = models.PositiveIntegerField(default=1, editable=False)

    tokens = models.FloatField(default=1.0, editable=False)
    refilled_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = _("limits of a task")
        verbose_name_plural = _("limits of tasks")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.name}: {self.rate or 'no limit'}"

    @property
    def rate(self) -> str:
        """The rate that counts; empty for none."""
        return self.declared if self.rate_limit is None else self.rate_limit


class Queue(models.Model):
    """What was said of a queue: that it is paused. ``version`` as in ``TaskLimits``."""

    name = models.CharField(_("queue"), max_length=100, unique=True)
    paused_at = models.DateTimeField(_("paused"), null=True)
    paused_by = models.CharField(_("paused by"), max_length=255, blank=True, default="")
    version = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        verbose_name = _("queue")
        verbose_name_plural = _("queues")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.name
