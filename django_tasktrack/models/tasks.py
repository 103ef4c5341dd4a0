"""Tasks, their history, their progress, and what follows them. Models carry reads, no state writes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NoReturn

from django.core.checks import CheckMessage
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..exceptions import TasktrackError
from ..ids import new_id
from ..querysets import HistoryQuerySet, TaskQuerySet
from ..states import FINAL, Stage, State
from .indexes import PartialIndex, PartialUnique

STATES = [(state.value, state.value) for state in State]


class TrackedTask(models.Model):
    """One task, from the moment that it is enqueued.

    ``state`` says what is true of it; ``stage`` says who has to look at the row next (see ``states``).
    ``seq`` is the number of its last history row. ``lease`` rises with every claim and fences every
    write of the attempt that holds it.
    """

    id = models.UUIDField(_("id"), primary_key=True, default=new_id, editable=False)
    name = models.CharField(_("task name"), max_length=255)
    args = models.JSONField(_("positional arguments"), default=list, blank=True)
    kwargs = models.JSONField(_("keyword arguments"), default=dict, blank=True)
    queue = models.CharField(_("queue"), max_length=100)
    priority = models.SmallIntegerField(_("priority"), default=0)

    state = models.CharField(_("state"), max_length=8, choices=STATES)
    stage = models.SmallIntegerField(_("stage"), choices=[(s.value, s.name) for s in Stage])
    label = models.CharField(_("label"), max_length=50, blank=True, default="")
    seq = models.PositiveIntegerField(_("history rows"), default=1)

    attempt = models.PositiveIntegerField(_("attempt"), default=0)
    max_attempts = models.PositiveIntegerField(_("allowed attempts"), null=True)
    time_limit = models.FloatField(_("time limit, seconds"), null=True)
    soft_time_limit = models.FloatField(_("soft time limit, seconds"), null=True)
    rerun_if_lost = models.BooleanField(_("run again if lost"), default=True)
    losses = models.PositiveIntegerField(_("lost attempts"), default=0)
    crashes = models.PositiveIntegerField(_("crashes"), default=0)
    lease = models.BigIntegerField(_("lease"), default=0)
    worker = models.ForeignKey(
        "Worker",
        verbose_name=_("worker"),
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="tasks",
    )

    created_at = models.DateTimeField(_("created"))
    changed_at = models.DateTimeField(_("last change"))
    run_after = models.DateTimeField(_("run after"))
    expires_at = models.DateTimeField(_("expires"), null=True)
    started_at = models.DateTimeField(_("started"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)

    revoke_requested_at = models.DateTimeField(_("revoke requested"), null=True)
    revoke_request = models.JSONField(_("revoke request"), null=True)

    result = models.JSONField(_("result"), null=True)
    # When its time was over and the value went: that nothing is there is no None that was returned.
    result_expired_at = models.DateTimeField(_("result expired"), null=True)
    error_type = models.CharField(_("error"), max_length=255, blank=True, default="")
    error_message = models.TextField(_("error message"), blank=True, default="")
    traceback = models.TextField(_("traceback"), blank=True, default="")

    owner = models.CharField(_("owner"), max_length=255, blank=True, default="")
    goal = models.ForeignKey(
        "Goal",
        verbose_name=_("goal"),
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="tasks",
    )

    # Relations to other tasks. A task without a root is its own.
    root_id = models.UUIDField(_("root task"), null=True, editable=False)
    parent_id = models.UUIDField(_("parent task"), null=True, editable=False)
    group_id = models.UUIDField(_("group"), null=True, editable=False)
    headers = models.JSONField(_("headers"), null=True, blank=True)
    # Workers of an older version insert rows without these two.
    ignore_result = models.BooleanField(_("ignore result"), default=False, db_default=False)
    followed = models.BooleanField(_("others wait for it"), default=False, db_default=False)

    # NULL where nobody asked for it: it then costs no index anything.
    unique_key = models.CharField(_("unique key"), max_length=255, null=True)
    # The same until the task is final: what the constraint is on.
    active_key = models.CharField(max_length=255, null=True, editable=False)

    # Of tasks with this key so many run at once; NULL where nobody asked for it.
    concurrency_key = models.CharField(_("concurrency key"), max_length=255, null=True)
    concurrency_limit = models.PositiveSmallIntegerField(_("at once, of its key"), null=True)
    # Which of the places from 1 to the limit the last claim took. It is taken while the row is CLAIMED; what is
    # left on other rows, the next claim of the key clears away.
    concurrency_slot = models.PositiveSmallIntegerField(null=True, editable=False)

    objects = TaskQuerySet.as_manager()

    class Meta:
        verbose_name = _("task")
        verbose_name_plural = _("tasks")
        default_permissions = ("view", "delete")
        permissions = [
            ("view_trackedtask_payload", "Can see arguments, results and tracebacks"),
            ("revoke_trackedtask", "Can revoke tasks"),
            ("terminate_trackedtask", "Can terminate running tasks"),
            ("retry_trackedtask", "Can run finished tasks again"),
        ]
        constraints = [
            PartialUnique(
                fields=["active_key"],
                condition=Q(active_key__isnull=False),
                name="tasktrack_active_key",
            ),
            PartialUnique(
                fields=["concurrency_key", "concurrency_slot"],
                condition=Q(concurrency_slot__isnull=False),
                name="tasktrack_concurrency_slot",
            ),
        ]
        indexes = [
            PartialIndex(
                fields=["queue", "-priority", "id"],
                condition=Q(stage=Stage.DUE),
                name="tasktrack_due",
            ),
            PartialIndex(
                fields=["run_after"],
                condition=Q(stage=Stage.SCHEDULED),
                name="tasktrack_scheduled",
            ),
            PartialIndex(
                fields=["name"],
                condition=Q(stage=Stage.HELD),
                name="tasktrack_held",
            ),
            PartialIndex(
                fields=["name", "-priority", "id"],
                condition=Q(stage=Stage.GATED),
                name="tasktrack_gated",
            ),
            PartialIndex(
                fields=["stage", "concurrency_key", "-priority", "id"],
                condition=Q(concurrency_key__isnull=False),
                name="tasktrack_concurrency_key",
            ),
            PartialIndex(
                fields=["worker"],
                condition=Q(stage=Stage.CLAIMED),
                name="tasktrack_claimed",
            ),
            PartialIndex(
                fields=["state", "finished_at"],
                condition=Q(stage=Stage.DONE),
                name="tasktrack_done",
            ),
            PartialIndex(  # rare states: without it a list of failures reads all that has succeeded
                fields=["state", "id"],
                condition=Q(state__in=(State.FAILURE, State.REVOKED)),
                name="tasktrack_unsuccessful",
            ),
            PartialIndex(
                fields=["expires_at"],
                condition=Q(expires_at__isnull=False, stage__lt=Stage.CLAIMED),
                name="tasktrack_expiring",
            ),
            PartialIndex(fields=["owner", "id"], condition=Q(owner__gt=""), name="tasktrack_owner"),
            PartialIndex(
                fields=["parent_id", "id"],
                condition=Q(parent_id__isnull=False),
                name="tasktrack_parent",
            ),
            PartialIndex(
                fields=["group_id", "id"],
                condition=Q(group_id__isnull=False),
                name="tasktrack_group",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} [{self.id}]"

    @classmethod
    def check(cls, **kwargs: Any) -> list[CheckMessage]:
        """Without the warnings that conditions are ignored: ``PartialUnique`` and ``PartialIndex`` are made
        without them."""
        ignored = ("models.W036", "models.W037")
        return [message for message in super().check(**kwargs) if message.id not in ignored]

    @property
    def is_finished(self) -> bool:
        return self.state in FINAL

    @property
    def shown_state(self) -> str:
        """What to call the state: while it runs, the task's own word for it."""
        return self.label or self.state

    @property
    def shown_progress(self) -> Progress | None:
        """How far it is, unless that tells of an attempt that another one has replaced.

        The lease that it was written under is the task's, or the one that a revoke has taken away.
        """
        progress: Progress | None = getattr(self, "progress", None)
        revoked = 1 if self.revoke_requested_at else 0
        return progress if progress and self.lease - progress.lease <= revoked else None

    @property
    def retries(self) -> int:
        """Retries as Celery counts them."""
        return max(0, self.attempt - 1 - self.losses)

    @property
    def wait(self) -> timedelta | None:
        """Time between being due and the start of the latest attempt."""
        return self.started_at - self.run_after if self.started_at else None

    @property
    def duration(self) -> timedelta | None:
        """How long the latest attempt has run, or ran."""
        if not self.started_at:
            return None
        if self.state == State.STARTED:
            return timezone.now() - self.started_at
        return self.finished_at - self.started_at if self.finished_at else None

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TasktrackError("Tasks are deleted by purge alone.", hint="manage.py tasktrack purge")


class StateChange(models.Model):
    """One row of a task's history. Added in the write that changes the state; never changed."""

    pk = models.CompositePrimaryKey("task_id", "seq")
    task = models.ForeignKey(
        TrackedTask,
        verbose_name=_("task"),
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="history",
    )
    seq = models.PositiveIntegerField(_("number"))
    state = models.CharField(_("state"), max_length=8, choices=STATES)
    label = models.CharField(_("label"), max_length=50, blank=True, default="")
    attempt = models.PositiveIntegerField(_("attempt"))
    lease = models.BigIntegerField(_("lease"))
    at = models.DateTimeField(_("at"))
    worker = models.ForeignKey(
        "Worker",
        verbose_name=_("worker"),
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    actor = models.CharField(_("actor"), max_length=255, blank=True, default="")
    reason = models.CharField(_("reason"), max_length=255, blank=True, default="")
    error_type = models.CharField(_("error"), max_length=255, blank=True, default="")
    error_message = models.TextField(_("error message"), blank=True, default="")
    traceback = models.TextField(_("traceback"), blank=True, default="")

    objects = HistoryQuerySet.as_manager()

    class Meta:
        verbose_name = _("state change")
        verbose_name_plural = _("state changes")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.seq}. {self.label or self.state}"

    def save(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TasktrackError("History is append-only and written with the state it tells of.")

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TasktrackError("History is deleted by purge alone.", hint="manage.py tasktrack purge")


class Link(models.Model):
    """What follows the end of a task: another task that waits for it, or one to enqueue if it fails.

    It is OPEN until the task has ended: PASSED if that was a success, HANDED once the value is among the
    other's arguments, else BROKEN. A task waits (``Stage.BLOCKED``) while links to it are open.
    """

    class State(models.IntegerChoices):
        OPEN = 0, _("open")
        PASSED = 1, _("passed")
        HANDED = 2, _("handed over")
        BROKEN = 3, _("broken")

    pk = models.CompositePrimaryKey("task_id", "number")
    task = models.ForeignKey(
        TrackedTask,
        verbose_name=_("task"),
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="links",
    )
    number = models.PositiveIntegerField(_("number"))
    successor = models.ForeignKey(
        TrackedTask,
        verbose_name=_("successor"),
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="waits_for",
    )
    state = models.SmallIntegerField(_("state"), choices=State.choices, default=State.OPEN)
    place = models.PositiveIntegerField(_("place of its value"), null=True)
    collects = models.BooleanField(_("into a list"), default=False)
    delay = models.FloatField(_("delay, seconds"), default=0.0)
    on_error = models.JSONField(_("called on its failure"), null=True)

    class Meta:
        verbose_name = _("link")
        verbose_name_plural = _("links")
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["successor", "state"], name="tasktrack_link_successor"),
            PartialIndex(
                fields=["state", "task"], condition=Q(state=0), name="tasktrack_link_open"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.task_id} → {self.successor_id or 'on error'}"


class Progress(models.Model):
    """How far a task is: one row a task, written while it runs, on a connection of its own."""

    task = models.OneToOneField(
        TrackedTask,
        verbose_name=_("task"),
        primary_key=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="progress",
    )
    lease = models.BigIntegerField(_("lease"))
    current = models.FloatField(_("current"), null=True)
    total = models.FloatField(_("total"), null=True)
    message = models.CharField(_("message"), max_length=255, blank=True, default="")
    meta = models.JSONField(_("meta"), null=True)
    began_at = models.DateTimeField(_("began"))
    updated_at = models.DateTimeField(_("updated"))

    class Meta:
        verbose_name = _("progress")
        verbose_name_plural = _("progress")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.message or f"{self.current} / {self.total}"

    @property
    def percent(self) -> float | None:
        """0 to 100, or None where the total is not known."""
        if self.current is None or not self.total:
            return None
        return max(0.0, min(100.0, 100.0 * self.current / self.total))

    def eta(self, now: datetime | None = None) -> timedelta | None:
        """Time left at the speed so far, or None where it cannot be told."""
        if not self.current or not self.total or self.current < 0:
            return None
        spent = self.updated_at - self.began_at
        if not spent:
            return None
        try:
            left = spent * max(0.0, self.total - self.current) / self.current
        except (OverflowError, ValueError):  # longer than a timedelta can say, or no number
            return None
        since_update = (now or timezone.now()) - self.updated_at
        return max(timedelta(0), left - since_update)
