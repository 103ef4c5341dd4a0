"""What rows look like in answers. Nothing here can be written."""

from __future__ import annotations

import math
from typing import Any

from rest_framework import serializers

from ..models import Goal, GoalAttempt, Progress, StateChange, TrackedTask, Worker
from ..serializers import readable

_PAYLOAD = ("args", "kwargs", "result", "traceback")
#: Columns that may be long.
HEAVY: tuple[str, ...] = (*_PAYLOAD, "error_message", "revoke_request")
#: Columns of related rows that no answer shows.
UNSHOWN_RELATED = ("progress__meta", "worker__queues", "worker__known_tasks")


class FiniteField(serializers.FloatField):
    """A number, or null for the infinities that tasks may report and JSON cannot carry."""

    def to_representation(self, value: Any) -> Any:
        return value if math.isfinite(value) else None


class PayloadField(serializers.JSONField):
    """What a task was given, or has left, in plain JSON whatever carries it."""

    def to_representation(self, value: Any) -> Any:
        return readable(value)


class ProgressSerializer(serializers.ModelSerializer[Progress]):
    """How far a task is; ``eta`` is in seconds."""

    current = FiniteField()
    total = FiniteField()
    percent = FiniteField(allow_null=True)
    eta = serializers.SerializerMethodField()

    class Meta:
        model = Progress
        fields = read_only_fields = ("current", "total", "percent", "message", "eta")

    def get_eta(self, progress: Progress) -> float | None:
        eta = progress.eta()
        return None if eta is None else round(eta.total_seconds(), 1)


class _WithProgress(serializers.ModelSerializer[TrackedTask]):
    progress = serializers.SerializerMethodField()

    def get_progress(self, task: TrackedTask) -> dict[str, Any] | None:
        progress = task.shown_progress
        return None if progress is None else dict(ProgressSerializer(progress).data)


class _WithWorker(serializers.ModelSerializer[Any]):
    worker = serializers.SerializerMethodField()

    def get_worker(self, row: TrackedTask | StateChange) -> dict[str, Any] | None:
        if row.worker_id is None:
            return None
        # The row of a worker may be gone before those that name it.
        return {"id": row.worker_id, "name": row.worker.name if row.worker else None}


class StatusSerializer(_WithProgress):
    """The small row that progress bars poll for."""

    finished = serializers.BooleanField(source="is_finished")

    deferred: tuple[str, ...] = HEAVY

    class Meta:
        model = TrackedTask
        fields = read_only_fields = ("id", "state", "label", "progress", "finished")


# Tasks. Each class names the columns that its queries leave out.

_SHOWN_TO_OWNERS = (
    "id", "task", "queue", "state", "label", "attempt", "created_at", "run_after", "started_at",
    "finished_at", "revoke_requested_at", "progress", "error",
)  # fmt: skip
#: The value, and when it went: null alone does not tell.
_RESULT = ("result", "result_expired_at")
_SHOWN_TO_STAFF = (
    "owner", "worker", "priority", "max_attempts", "losses", "crashes", "expires_at", "goal",
)  # fmt: skip


class TaskRowSerializer(_WithProgress):
    """A task in a list, as its owner sees it."""

    task = serializers.CharField(source="name")
    error = serializers.SerializerMethodField()

    deferred: tuple[str, ...] = HEAVY

    class Meta:
        model = TrackedTask
        fields: tuple[str, ...] = _SHOWN_TO_OWNERS
        read_only_fields: tuple[str, ...] = fields

    def get_error(self, task: TrackedTask) -> dict[str, str] | None:
        return {"type": task.error_type} if task.error_type else None


class StaffTaskRowSerializer(_WithWorker, TaskRowSerializer):
    """A task in a list, as staff see it."""

    class Meta(TaskRowSerializer.Meta):
        fields = read_only_fields = (*_SHOWN_TO_OWNERS, *_SHOWN_TO_STAFF)


class _WithMessage(serializers.ModelSerializer[Any]):
    """An error's type and message; never its traceback."""

    error = serializers.SerializerMethodField()

    def get_error(self, row: TrackedTask | StateChange) -> dict[str, str] | None:
        if not row.error_type:
            return None
        return {"type": row.error_type, "message": row.error_message}


class TaskSerializer(_WithMessage, TaskRowSerializer):
    """One task, as its owner sees it."""

    result = PayloadField(read_only=True)

    deferred = ("args", "kwargs", "traceback", "revoke_request")

    class Meta(TaskRowSerializer.Meta):
        fields = read_only_fields = (*_SHOWN_TO_OWNERS, *_RESULT)


class StaffTaskSerializer(_WithMessage, StaffTaskRowSerializer):
    """One task, as staff see it."""

    deferred: tuple[str, ...] = (*_PAYLOAD, "revoke_request")


class PayloadTaskSerializer(StaffTaskSerializer):
    """One task with everything that it was given and has left."""

    args = PayloadField(read_only=True)
    kwargs = PayloadField(read_only=True)
    result = PayloadField(read_only=True)

    deferred = ("revoke_request",)

    class Meta(TaskRowSerializer.Meta):
        fields = read_only_fields = (
            *_SHOWN_TO_OWNERS, *_SHOWN_TO_STAFF, "args", "kwargs", *_RESULT, "traceback",
        )  # fmt: skip


# History


class ChangeSerializer(_WithMessage):
    """A row of history, as the task's owner sees it."""

    deferred: tuple[str, ...] = ("traceback",)

    class Meta:
        model = StateChange
        fields: tuple[str, ...] = ("seq", "state", "label", "attempt", "at", "error")
        read_only_fields: tuple[str, ...] = fields


class StaffChangeSerializer(_WithWorker, ChangeSerializer):
    """A row of history, as staff see it."""

    class Meta(ChangeSerializer.Meta):
        fields = read_only_fields = (*ChangeSerializer.Meta.fields, "worker", "actor", "reason")


class PayloadChangeSerializer(StaffChangeSerializer):
    """A row of history with the traceback of its error."""

    deferred = ()

    class Meta(StaffChangeSerializer.Meta):
        fields = read_only_fields = (*StaffChangeSerializer.Meta.fields, "traceback")


# Goals and workers


class GoalSerializer(serializers.ModelSerializer[Goal]):
    """A goal, without the arguments and the evidence that it carries."""

    task = serializers.CharField(source="task_name")

    deferred: tuple[str, ...] = ("task_args", "task_kwargs", "task_options", "evidence")

    class Meta:
        model = Goal
        fields: tuple[str, ...] = (
            "id", "kind", "key", "subject_type", "subject_id", "state", "reason", "late", "task",
            "achieve_on_success", "attempts", "max_attempts", "deadline", "next_attempt_at",
            "created_at", "settled_at",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = fields


class PayloadGoalSerializer(GoalSerializer):
    """A goal with everything."""

    task_args = PayloadField(read_only=True)
    task_kwargs = PayloadField(read_only=True)

    deferred = ()

    class Meta(GoalSerializer.Meta):
        fields = read_only_fields = (
            *GoalSerializer.Meta.fields, "task_args", "task_kwargs", "task_options", "evidence",
        )  # fmt: skip


class GoalAttemptSerializer(serializers.ModelSerializer[GoalAttempt]):
    """A task that served a goal. Its error is the type and the beginning of the message."""

    deferred = ()

    class Meta:
        model = GoalAttempt
        fields = read_only_fields = (
            "number", "task_id", "state", "created_at", "started_at", "finished_at", "error",
        )  # fmt: skip


class WorkerRowSerializer(serializers.ModelSerializer[Worker]):
    """A worker in a list."""

    condition = serializers.CharField()
    excluded_queues = serializers.ListField(source="served.excluded")

    deferred: tuple[str, ...] = ("known_tasks",)

    class Meta:
        model = Worker
        fields: tuple[str, ...] = (
            "id", "name", "condition", "host", "pid", "pool", "concurrency", "can_terminate",
            "queues", "excluded_queues", "version", "started_at", "heartbeat_at", "shutdown_requested_at",
            "stopped_at", "lost_at",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = fields


class WorkerSerializer(WorkerRowSerializer):
    """One worker, with the names of the tasks that it knows."""

    deferred = ()

    class Meta(WorkerRowSerializer.Meta):
        fields = read_only_fields = (*WorkerRowSerializer.Meta.fields, "known_tasks")
