"""What all endpoints have in common, whatever REST framework's defaults are in the project.

Authentication and throttling stay the project's own settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.cache import patch_cache_control
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from .bodies import StrictSerializer
from .filters import Query, QueryFilter
from .pagination import KeysetPagination
from .parsers import ShortJSONParser
from .permissions import Access

_Model = TypeVar("_Model", bound=Model)
_Body = TypeVar("_Body", bound=StrictSerializer)


class Endpoint(GenericViewSet[_Model]):
    """A view set that speaks JSON, denies by default and takes no parameter that it does not know."""

    permission_classes = [IsAuthenticated]
    parser_classes = [ShortJSONParser]
    renderer_classes = [JSONRenderer]
    filter_backends = [QueryFilter]
    pagination_class = KeysetPagination
    versioning_class = None  # the version is in the path
    #: The query of each action; the others take no parameters.
    queries: Mapping[str, type[Query]] = {}

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        if request.encoding:
            # Of the body and of the query string, whatever charset the Content-Type says: some that
            # Python knows are decompressors.
            request.encoding = "utf-8"
        return super().initialize_request(request, *args, **kwargs)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        # What one user may see is nothing for shared caches, nor to be shown again unasked.
        patch_cache_control(response, private=True, no_cache=True)
        return super().finalize_response(request, response, *args, **kwargs)

    @property
    def access(self) -> Access:
        """What the user of this request may see and do."""
        return Access.of(self.request.user)

    def query_class(self) -> type[Query]:
        """The parameters that this request may have."""
        return self.queries.get(self.action, Query)

    @cached_property
    def query(self) -> Query:
        """The parameters of this request, once they are known to be right."""
        return self.query_class().of(self.request)

    def body(self, kind: type[_Body]) -> _Body:
        """The body of this request as a valid ``kind``."""
        body = kind(data=self.request.data)
        body.is_valid(raise_exception=True)
        return body

    def page_of(self, rows: QuerySet[Any], serializer: Any) -> Response:
        """One page of ``rows``, without the columns that ``serializer`` does not show."""
        page = self.paginate_queryset(rows.defer(*serializer.deferred)) or []
        return self.get_paginated_response(serializer(page, many=True).data)
