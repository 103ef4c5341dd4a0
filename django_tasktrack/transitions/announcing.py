"""What is told of ends that no body tells of: revoked, expired, lost. Once they are committed."""

from __future__ import annotations

import signal
from collections.abc import Collection, Iterable
from functools import partial
from uuid import UUID

from django.db import transaction

from .. import exceptions, signals
from ..einfo import ExceptionInfo
from ..models import TrackedTask
from ..request import Request, related
from ..states import State
from ..vendors import Vendor


def anybody_listens() -> bool:
    """Whether anybody wants to be told of such ends."""
    return bool(signals.task_revoked.receivers or signals.task_failure.receivers)


def revoked_after_commit(vendor: Vendor, ids: Collection[UUID]) -> None:
    """Tell that these were revoked in the caller's transaction, when that is committed."""
    if not ids or not signals.task_revoked.receivers:
        return
    if vendor.in_transaction and not vendor.connection.in_atomic_block:
        return  # without autocommit nobody knows when
    tell = partial(tell_ends, vendor.using, list(ids))
    transaction.on_commit(tell, using=vendor.using, robust=True)


def tell_ends(
    using: str, ids: Iterable[UUID], *, expired: bool = False, lost: bool = False
) -> None:
    """Tell of committed ends by what their rows show; others are left out.

    Args:
        using: database alias.
        ids: of tasks that have ended.
        expired: whether they were revoked because nobody had run them in time.
        lost: whether they were rescued: then one that has failed since, in a later attempt, is told of by that.
    """
    for row in TrackedTask.objects.using(using).many(ids).select_related("worker"):
        if row.state == State.REVOKED:
            _tell_revoked(row, expired)
        elif row.state == State.FAILURE and (not lost or row.error_type == _LOST):
            _tell_failure(row)


def _tell_revoked(row: TrackedTask, expired: bool) -> None:
    name = str((row.revoke_request or {}).get("signal") or "")
    signals.task_revoked.tell(
        signals.task_of(row.name),
        request=request_of(row),
        terminated=bool(name),
        signum=signal.Signals[name] if name in signal.Signals.__members__ else None,
        expired=expired,
    )


def _tell_failure(row: TrackedTask) -> None:
    error = _error_of(row)
    signals.task_failure.tell(
        signals.task_of(row.name),
        task_id=str(row.pk),
        exception=error,
        args=tuple(row.args),
        kwargs=row.kwargs,
        traceback=None,
        einfo=ExceptionInfo(type(error), error, row.traceback),
    )


def _error_of(row: TrackedTask) -> Exception:
    """What stands for an exception that was another process's: one of this package's own, or a
    ``TaskFailure`` that names it."""
    kind = _OURS.get(row.error_type)
    if kind is not None:
        return kind(row.error_message)
    failure = exceptions.TaskFailure(row.error_message)
    failure.error_type, failure.remote_traceback = row.error_type, row.traceback
    return failure


_LOST = f"{exceptions.WorkerLost.__module__}.{exceptions.WorkerLost.__qualname__}"
_OURS = {
    f"{kind.__module__}.{kind.__qualname__}": kind
    for kind in (
        exceptions.NotRegistered,
        exceptions.SoftTimeLimitExceeded,
        exceptions.TimeLimitExceeded,
        exceptions.WorkerLost,
    )
}


def request_of(row: TrackedTask) -> Request:
    """A task as receivers get it that is told of outside of its body."""
    task_id = str(row.pk)
    return Request(
        id=task_id,
        task=row.name,
        args=tuple(row.args),
        kwargs=row.kwargs,
        attempt=row.attempt,
        retries=max(0, row.attempt - 1 - row.losses),
        hostname=row.worker.name if row.worker else None,
        delivery_info={"exchange": "", "routing_key": row.queue, "priority": row.priority},
        eta=row.run_after if row.run_after > row.created_at else None,
        expires=row.expires_at,
        owner=row.owner,
        timelimit=(row.time_limit, row.soft_time_limit),
        **related(row, task_id),
    )
