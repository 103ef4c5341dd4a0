"""``celery.exceptions``: this package's own, and Django's where Celery has some of its kind."""

from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError  # the broker that cannot be reached is the database

from ...exceptions import (
    DuplicateTaskId,
    Ignore,
    InvalidTask,
    MaxRetriesExceededError,
    NotCommitted,
    NotRegistered,
    Reject,
    ResultExpired,
    Retry,
    SoftTimeLimitExceeded,
    TaskFailure,
    TaskRevokedError,
    TasktrackError,
    TimeLimitExceeded,
    TimeoutError,  # noqa: A004  Celery's name for it
    UnknownTask,
    Unsupported,
    WorkerLostError,
    WouldDeadlock,
)

CeleryError = TaskError = TasktrackError
InvalidTaskError = InvalidTask

__all__ = [
    "CeleryError",
    "DuplicateTaskId",
    "Ignore",
    "ImproperlyConfigured",
    "InvalidTaskError",
    "MaxRetriesExceededError",
    "NotCommitted",
    "NotRegistered",
    "OperationalError",
    "Reject",
    "ResultExpired",
    "Retry",
    "SoftTimeLimitExceeded",
    "TaskError",
    "TaskFailure",
    "TaskRevokedError",
    "TimeLimitExceeded",
    "TimeoutError",
    "UnknownTask",
    "Unsupported",
    "WorkerLostError",
    "WouldDeadlock",
]
