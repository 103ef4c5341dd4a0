"""Reads, in the words of the domain. Nothing here writes."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar
from uuid import UUID

from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from . import lookups  # noqa: F401  it makes "among" known
from .exceptions import TasktrackError
from .ids import first_id
from .states import FINAL, UNFINISHED, WAITING, Stage, State

if TYPE_CHECKING:
    from .models import (  # noqa: F401  for the generics below
        Goal,
        Schedule,
        StateChange,
        TrackedTask,
        Worker,
    )

_Model = TypeVar("_Model", bound=models.Model)

#: An id carries its producer's clock, created_at the database's: they may differ by this much.
_SKEW = timedelta(minutes=10)


class KeptQuerySet(models.QuerySet[_Model]):
    """Rows that ordinary code reads and never deletes: only ``purge`` does."""

    def delete(self) -> NoReturn:
        raise TasktrackError(
            f"{self.model._meta.verbose_name_plural} are deleted by purge alone.",
            hint="Run manage.py tasktrack purge.",
        )


class TaskQuerySet(KeptQuerySet["TrackedTask"]):
    """Questions about tasks."""

    def waiting(self) -> Self:
        return self.filter(state__in=WAITING)

    def unfinished(self) -> Self:
        return self.filter(state__in=UNFINISHED)

    def finished(self) -> Self:
        return self.filter(state__in=FINAL)

    def due(self) -> Self:
        """Runnable now by a worker that knows their name."""
        return self.filter(stage=Stage.DUE)

    def claimed_by(self, worker_id: int) -> Self:
        return self.filter(stage=Stage.CLAIMED, worker_id=worker_id)

    def for_queue(self, *queues: str) -> Self:
        return self.filter(queue__in=queues)

    def served(self, queues: Collection[str], excluded: Collection[str] = ()) -> Self:
        """Those in these queues; without any, those in all but the excluded ones."""
        if queues:
            return self.filter(queue__in=queues)
        return self.exclude(queue__in=excluded) if excluded else self

    def named(self, names: Iterable[str]) -> Self:
        return self.filter(name__in=list(names))

    def not_expired(self, now: Any = None) -> Self:
        """Without those whose ``expires`` has passed at ``now`` (default: this moment)."""
        now = now or timezone.now()
        return self.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now))

    def in_claim_order(self) -> Self:
        """Larger priority first, then age."""
        return self.order_by("-priority", "pk")

    def not_awaited(self) -> Self:
        """Without those whose end is still to be followed up, or whose value is to be passed on to a task that
        waits."""
        links: Any = self.model._meta.get_field("links").related_model
        # A revoked one may be run again, and asks for it then.
        wants = Q(successor__stage=Stage.BLOCKED) | Q(successor__state=State.REVOKED)
        waiting = links._base_manager.filter(
            Q(state=links.State.OPEN) | Q(wants, state=links.State.PASSED),  # not handed over yet
            task=OuterRef("pk"),
        )
        return self.exclude(Q(followed=True) & Exists(waiting))

    def in_state(self, state: str) -> Self:
        """Those in a state, by the stage that it implies as well: named, it admits the partial indexes."""
        if state in FINAL:
            return self.filter(stage=Stage.DONE, state=state)
        if state == State.STARTED:
            return self.filter(stage=Stage.CLAIMED, state=state)
        return self.filter(state=state)

    def created_since(self, at: datetime) -> Self:
        """Those enqueued since then. The key is time-ordered, so its range finds them; created_at is exact."""
        return self.filter(pk__gte=first_id(at - _SKEW), created_at__gte=at)

    def owned_by(self, owner: str) -> Self:
        return self.filter(owner=owner)

    def many(self, ids: Iterable[UUID]) -> Self:
        return self.filter(pk__among=list(ids))


class HistoryQuerySet(KeptQuerySet["StateChange"]):
    """Questions about history, which is only ever added to."""

    def update(self, **values: Any) -> NoReturn:
        raise TasktrackError("History is append-only.", hint="Record a new change instead.")

    def in_order(self) -> Self:
        return self.order_by("task_id", "seq")


class WorkerQuerySet(models.QuerySet["Worker"]):
    """Questions about workers."""

    def alive(self) -> Self:
        """Neither stopped nor found lost. A dead one counts until its lease has run out."""
        return self.filter(stopped_at__isnull=True, lost_at__isnull=True)


class GoalQuerySet(models.QuerySet["Goal"]):
    """Questions about goals."""

    def unmet(self) -> Self:
        return self.filter(state__in=self.model.UNMET)

    def for_subject(self, subject: models.Model) -> Self:
        """Goals that are about this model instance."""
        return self.filter(subject_type=subject._meta.label_lower, subject_id=str(subject.pk))


class ScheduleQuerySet(models.QuerySet["Schedule"]):
    """Questions about schedules."""

    def active(self) -> Self:
        """Those whose slots are to be run."""
        return self.filter(enabled=True, withdrawn_at__isnull=True)

    def awaited(self, tasks: Iterable[str]) -> Self:
        """Active ones of these tasks that have a slot to come."""
        return self.active().filter(next_at__isnull=False, task__in=list(tasks))
