"""Workers: who runs the tasks."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from ..querysets import WorkerQuerySet
from ..served import Served


class Worker(models.Model):
    """One incarnation of a worker process. A restarted worker is a new row."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(_("name"), max_length=255)
    host = models.CharField(_("host"), max_length=255)
    pid = models.PositiveIntegerField(_("process id"))
    pool = models.CharField(_("pool"), max_length=20)
    concurrency = models.PositiveIntegerField(_("concurrency"))
    can_terminate = models.BooleanField(_("can terminate tasks"))
    queues = models.JSONField(_("queues"), default=list, help_text=_("Empty: all of them."))
    excluded_queues = models.JSONField(
        _("excluded queues"), null=True, help_text=_("Left out of all of them.")
    )
    known_tasks = models.JSONField(_("known tasks"), default=list)
    version = models.CharField(_("version"), max_length=50, blank=True, default="")
    started_at = models.DateTimeField(_("started"))
    heartbeat_at = models.DateTimeField(_("last heartbeat"))
    stopped_at = models.DateTimeField(_("stopped"), null=True)
    lost_at = models.DateTimeField(_("found lost"), null=True)
    # No index names these, so that a sign of life stays a cheap update.
    shutdown_requested_at = models.DateTimeField(_("shutdown requested"), null=True)
    wanted_concurrency = models.PositiveIntegerField(_("wanted concurrency"), null=True)
    wanted_queues = models.JSONField(_("wanted queues"), null=True)
    requests_made = models.PositiveIntegerField(_("requests made"), default=0, db_default=0)
    requests_met = models.PositiveIntegerField(_("requests met"), default=0, db_default=0)

    objects = WorkerQuerySet.as_manager()

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.name

    @property
    def is_alive(self) -> bool:
        return self.stopped_at is None and self.lost_at is None

    @property
    def served(self) -> Served:
        """The queues that it takes tasks from."""
        return Served(tuple(self.queues), tuple(self.excluded_queues or ()))

    @property
    def is_asked_to_change(self) -> bool:
        """Whether it was asked to be what it is not yet (see ``adaptation``)."""
        return self.requests_made != self.requests_met

    @property
    def condition(self) -> str:
        """One word for what became of it."""
        if self.lost_at:
            return "lost"
        return "stopped" if self.stopped_at else "alive"
