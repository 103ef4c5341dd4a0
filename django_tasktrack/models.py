"""The tables: tasks, their history, their progress, workers, goals, schedules. Models carry reads, no state
writes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NoReturn
from uuid import UUID

from django.core.checks import CheckMessage
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.ddl_references import Statement
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .exceptions import TasktrackError
from .ids import new_id
from .querysets import (
    GoalQuerySet,
    HistoryQuerySet,
    ScheduleQuerySet,
    TaskQuerySet,
    WorkerQuerySet,
)
from .states import FINAL, Stage, State

STATES = [(state.value, state.value) for state in State]


class PartialIndex(models.Index):
    """A conditional index that stays an index where the database has no partial ones.

    Django leaves conditional indexes out on MariaDB and MySQL, and claims would scan the table there.
    Instead they get the same columns, behind the stage where the condition is about the stage.
    """

    def create_sql(
        self,
        model: type[models.Model],
        schema_editor: BaseDatabaseSchemaEditor,
        using: str = "",
        **kwargs: Any,
    ) -> Statement:
        if schema_editor.connection.features.supports_partial_indexes:
            return super().create_sql(model, schema_editor, using, **kwargs)
        return models.Index(fields=self._whole(), name=self.name).create_sql(
            model, schema_editor, using, **kwargs
        )

    def remove_sql(
        self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor, **kwargs: Any
    ) -> str:
        if schema_editor.connection.features.supports_partial_indexes:
            return super().remove_sql(model, schema_editor, **kwargs)
        return models.Index(fields=self._whole(), name=self.name).remove_sql(
            model, schema_editor, **kwargs
        )

    def _whole(self) -> list[str]:
        conditions = self.condition.children if self.condition else []
        about = [child[0] for child in conditions if isinstance(child, tuple)]
        lead = ["stage"] if any(lookup.split("__")[0] == "stage" for lookup in about) else []
        return [*lead, *(f"{order and '-'}{name}" for name, order in self.fields_orders)]


class PartialUnique(models.UniqueConstraint):
    """A conditional constraint that is a plain one where the database has no partial indexes.

    Only for conditions that leave out NULL, which is never a duplicate anyway.
    """

    def constraint_sql(
        self, model: type[models.Model] | None, schema_editor: BaseDatabaseSchemaEditor | None
    ) -> str:
        return self._made_for(schema_editor).constraint_sql(model, schema_editor)

    def create_sql(
        self, model: type[models.Model] | None, schema_editor: BaseDatabaseSchemaEditor | None
    ) -> str:
        return self._made_for(schema_editor).create_sql(model, schema_editor)

    def remove_sql(
        self, model: type[models.Model] | None, schema_editor: BaseDatabaseSchemaEditor | None
    ) -> str:
        return self._made_for(schema_editor).remove_sql(model, schema_editor)

    def check(self, model: type[models.Model], connection: BaseDatabaseWrapper) -> list[Any]:
        """Nothing to warn of: the constraint is there on every database."""
        return []

    def _made_for(self, schema_editor: BaseDatabaseSchemaEditor | None) -> models.UniqueConstraint:
        assert schema_editor  # noqa: S101  only the types of its callers know of none
        partial = schema_editor.connection.features.supports_partial_indexes
        condition = self.condition if partial else None
        return models.UniqueConstraint(fields=self.fields, condition=condition, name=self.name)


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
    known_tasks = models.JSONField(_("known tasks"), default=list)
    version = models.CharField(_("version"), max_length=50, blank=True, default="")
    started_at = models.DateTimeField(_("started"))
    heartbeat_at = models.DateTimeField(_("last heartbeat"))
    stopped_at = models.DateTimeField(_("stopped"), null=True)
    lost_at = models.DateTimeField(_("found lost"), null=True)
    # No index names it, so that a sign of life stays a cheap update.
    shutdown_requested_at = models.DateTimeField(_("shutdown requested"), null=True)

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
    def condition(self) -> str:
        """One word for what became of it."""
        if self.lost_at:
            return "lost"
        return "stopped" if self.stopped_at else "alive"


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


class PurgeHorizon(models.Model):
    """The greatest task id that purge has deleted: the compact record behind EXPIRED. One row."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    task_id = models.UUIDField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"purged up to {self.task_id}"
