"""Which query parameters each endpoint takes. One that is unknown, repeated or malformed is answered 400."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Self, TypeVar
from urllib.parse import unquote_to_bytes

from django.conf import settings
from django.db.models import Model, QuerySet
from django.utils import timezone
from rest_framework import ISO_8601, serializers
from rest_framework.exceptions import ParseError
from rest_framework.filters import BaseFilterBackend
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from ..models import Goal
from ..states import State
from .bodies import StrictSerializer

MAX_IDS = 100

_Model = TypeVar("_Model", bound=Model)
_Row = TypeVar("_Row")


class MomentField(serializers.DateTimeField):
    """A time with its offset from UTC: without one it would mean another moment elsewhere."""

    default_error_messages = {"naive": "Say the offset from UTC, as in 2026-05-01T12:00:00Z."}

    def __init__(self, **kwargs: Any) -> None:
        # Aware whatever USE_TZ says; REST framework would make it naive in UTC without USE_TZ.
        super().__init__(input_formats=[ISO_8601], default_timezone=UTC, **kwargs)

    def enforce_timezone(self, value: datetime) -> datetime:
        if timezone.is_naive(value):
            self.fail("naive")
        moment = super().enforce_timezone(value)
        return moment if settings.USE_TZ else timezone.make_naive(moment)


class IdsField(serializers.ListField):
    """Task ids, separated by commas or in repeated parameters."""

    child = serializers.UUIDField()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_empty=False, max_length=MAX_IDS, **kwargs)

    def to_internal_value(self, data: list[str]) -> list[Any]:
        return super().to_internal_value(",".join(data).split(","))


class StatesField(serializers.MultipleChoiceField):
    """One state, or several in repeated parameters."""

    def __init__(self, states: Any, **kwargs: Any) -> None:
        known = [str(state) for state in states]
        message = f"“{{input}}” is no state. Known: {', '.join(known)}."
        super().__init__(choices=known, error_messages={"invalid_choice": message}, **kwargs)


#: Fields whose parameter may be given more than once.
_REPEATED = (IdsField, StatesField)


class Query(StrictSerializer):
    """The parameters of one request. A field's ``source`` is the lookup that it stands for."""

    what = "parameter"

    @classmethod
    def of(cls, request: Request) -> Self:
        """The parameters of ``request``.

        Raises:
            ParseError: the query string is not UTF-8.
            ValidationError: naming each parameter that is wrong.
        """
        try:
            unquote_to_bytes(request.META.get("QUERY_STRING", "")).decode()
        except UnicodeDecodeError:
            raise ParseError("The query string is not UTF-8.") from None
        query = cls()
        query.initial_data = query._plain(dict(request.query_params.lists()))
        query.is_valid(raise_exception=True)
        return query

    def _plain(self, given: dict[str, list[Any]]) -> dict[str, Any]:
        given.pop(str(api_settings.URL_FORMAT_OVERRIDE), None)  # content negotiation reads it
        lists = {name for name, field in self.fields.items() if isinstance(field, _REPEATED)}
        repeated = [name for name, values in given.items() if len(values) > 1 and name not in lists]
        if repeated:
            raise serializers.ValidationError(
                {name: ["Given more than once."] for name in repeated}
            )
        return {name: values if name in lists else values[0] for name, values in given.items()}

    def lookups(self) -> dict[str, Any]:
        """What the rows must match."""
        return {}


class PageQuery(Query):
    """``cursor`` and ``page_size``, of every list."""

    cursor = serializers.CharField(required=False)
    page_size = serializers.IntegerField(min_value=1, required=False)

    def lookups(self) -> dict[str, Any]:
        paging = PageQuery().fields.keys()
        return {name: value for name, value in self.validated_data.items() if name not in paging}


class TaskQuery(PageQuery):
    """What owners may ask about their tasks: only about what they are shown."""

    id__in = IdsField(required=False)
    state = StatesField(State, source="state__in", required=False)
    task = serializers.CharField(source="name", max_length=255, required=False)
    queue = serializers.CharField(max_length=100, required=False)
    created_at__gte = MomentField(required=False)
    created_at__lt = MomentField(required=False)


class StaffTaskQuery(TaskQuery):
    """What those who see all tasks may ask as well."""

    owner = serializers.CharField(max_length=255, required=False)
    worker = serializers.IntegerField(
        source="worker_id", min_value=1, max_value=2**63 - 1, required=False
    )


class DetailQuery(Query):
    """``expand=history`` adds the latest rows of the history."""

    expand = serializers.ChoiceField(["history"], required=False)


class StatusQuery(Query):
    """``id``, up to a hundred times."""

    id = IdsField(source="id__in")

    def lookups(self) -> dict[str, Any]:
        return dict(self.validated_data)


class GoalQuery(PageQuery):
    """Goals by kind, key and state."""

    kind = serializers.CharField(max_length=255, required=False)
    key = serializers.CharField(max_length=255, required=False)
    state = StatesField(Goal.State.values, source="state__in", required=False)


class QueryFilter(BaseFilterBackend):
    """Filters by the parameters that the view has read as its ``query``."""

    def filter_queryset(
        self, request: Request, queryset: QuerySet[_Model, _Row], view: APIView
    ) -> QuerySet[_Model, _Row]:
        query: Query = view.query  # type: ignore[attr-defined]  # views.Endpoint
        return queryset.filter(**query.lookups())
