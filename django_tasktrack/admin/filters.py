"""The filters of the lists. Their choices are small known sets; a value outside of them is no error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..models import Goal
from ..querysets import TaskQuerySet
from ..states import State
from .choices import goal_kinds, known

_BIGGEST = 2**63 - 1


class ChoiceFilter(SimpleListFilter):
    """A native <select> in the list's toolbar; the value that is chosen is always among the options."""

    template = "admin/tasktrack/includes/filter_select.html"
    anything: Any = _("any")

    def has_output(self) -> bool:
        return True

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, Any]]:
        offered = [(str(value), label) for value, label in self.offered(request)]
        chosen = self.value()
        if chosen and chosen not in dict(offered):
            offered.append((chosen, chosen))
        return offered

    def offered(self, request: HttpRequest) -> Iterable[tuple[Any, Any]]:
        raise NotImplementedError

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        chosen = self.value() or ""
        for value, label in [("", self.anything), *self.lookup_choices]:
            link = {str(self.parameter_name): value or None}
            yield {
                "value": value,
                "display": label,
                "selected": value == chosen,
                "query_string": changelist.get_query_string(link),
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        if not chosen:
            return queryset
        # No row has a NUL in it, and PostgreSQL refuses the question.
        return queryset.none() if "\x00" in chosen else self.narrowed(queryset, chosen)

    def narrowed(self, queryset: QuerySet[Any], chosen: str) -> QuerySet[Any]:
        return queryset.filter(**{str(self.parameter_name): chosen})


class TaskStateFilter(ChoiceFilter):
    title = _("state")
    parameter_name = "state"
    template = "admin/tasktrack/includes/filter_states.html"
    anything = _("All")

    def offered(self, request: HttpRequest) -> Iterable[tuple[Any, Any]]:
        return [(state.value, state.value) for state in State]

    def narrowed(self, queryset: Any, chosen: str) -> QuerySet[Any]:
        tasks: TaskQuerySet = queryset
        return tasks.in_state(chosen)


class QueueFilter(ChoiceFilter):
    title = _("queue")
    parameter_name = "queue"

    def offered(self, request: HttpRequest) -> Iterable[tuple[Any, Any]]:
        return [(queue, queue) for queue in known(request).queues]


class TaskNameFilter(ChoiceFilter):
    title = _("task")
    parameter_name = "name"

    def offered(self, request: HttpRequest) -> Iterable[tuple[Any, Any]]:
        return [(name, name) for name in known(request).names]


class WorkerFilter(ChoiceFilter):
    title = _("worker")
    parameter_name = "worker"

    def offered(self, request: HttpRequest) -> Iterable[tuple[Any, Any]]:
        return known(request).workers

    def narrowed(self, queryset: QuerySet[Any], chosen: str) -> QuerySet[Any]:
        number = int(chosen) if chosen.isascii() and chosen.isdigit() else -1
        return queryset.filter(worker_id=number) if 0 <= number <= _BIGGEST else queryset.none()


class CreatedFilter(ChoiceFilter):
    """Presets of age."""

    title = _("created")
    parameter_name = "created"
    anything = _("any time")
    _ages = {
        "15m": (_("last 15 minutes"), timedelta(minutes=15)),
        "1h": (_("last hour"), timedelta(hours=1)),
        "24h": (_("last 24 hours"), timedelta(hours=24)),
        "7d": (_("last 7 days"), timedelta(days=7)),
    }

    def offered(self, request: HttpRequest) -> Iterable[tuple[Any, Any]]:
        return [(key, label) for key, (label, _age) in self._ages.items()]

    def narrowed(self, queryset: Any, chosen: str) -> QuerySet[Any]:
        tasks: TaskQuerySet = queryset
        if chosen not in self._ages:
            return tasks.none()
        return tasks.created_since(timezone.now() - self._ages[chosen][1])


class GoalStateFilter(ChoiceFilter):
    title = _("state")
    parameter_name = "state"
    template = "admin/tasktrack/includes/filter_states.html"
    anything = _("All")

    def offered(self, request: HttpRequest) -> Iterable[tuple[Any, Any]]:
        return [(state.value, state.value) for state in Goal.State]


class GoalKindFilter(ChoiceFilter):
    title = _("kind")
    parameter_name = "kind"

    def offered(self, request: HttpRequest) -> Iterable[tuple[Any, Any]]:
        return [(kind, kind) for kind in goal_kinds()]


class ConditionFilter(ChoiceFilter):
    """The workers that live, unless another condition or a search is asked for."""

    title = _("condition")
    parameter_name = "condition"
    template = "admin/tasktrack/includes/filter_states.html"
    _lookups: dict[str, dict[str, bool]] = {
        "all": {},
        "alive": {"stopped_at__isnull": True, "lost_at__isnull": True},
        "stopped": {"stopped_at__isnull": False, "lost_at__isnull": True},
        "lost": {"lost_at__isnull": False},
    }

    def offered(self, request: HttpRequest) -> Iterable[tuple[Any, Any]]:
        words = (_("All"), _("alive"), _("stopped"), _("lost"))
        return list(zip(self._lookups, words, strict=True))

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self._implied = "all" if request.GET.get("q") else "alive"
        super().__init__(request, *args, **kwargs)

    def value(self) -> str:
        return super().value() or self._implied

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        asked, chosen = super().value(), self.value()
        for value, label in self.lookup_choices:
            yield {
                "value": value,
                "display": label,
                "selected": value == chosen,
                "implied": not asked,
                "query_string": changelist.get_query_string({"condition": value}),
            }

    def narrowed(self, queryset: QuerySet[Any], chosen: str) -> QuerySet[Any]:
        lookups = self._lookups.get(chosen)
        return queryset.none() if lookups is None else queryset.filter(**lookups)
