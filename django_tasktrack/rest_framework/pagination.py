"""How lists are cut into pages: by the key of the last row seen, so that no page costs more than another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, cast

from django.core.signing import BadSignature, Signer
from django.db.models import Model, QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

_Model = TypeVar("_Model", bound=Model)
_Row = TypeVar("_Row")


class KeysetPagination(CursorPagination):
    """Newest first. The order is that of a unique key, so a cursor names exactly one place.

    Cursors are signed: a position that was not issued here never reaches the database.
    """

    ordering = "-pk"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 100

    def paginate_queryset(
        self,
        queryset: QuerySet[_Model, _Row] | Sequence[_Row],
        request: Request,
        view: APIView | None = None,
    ) -> list[_Row] | None:
        model = cast("QuerySet[Model]", queryset).model
        # A cursor of one list means nothing in another.
        self._signer = Signer(salt=f"{__name__}:{model._meta.label_lower}")
        return super().paginate_queryset(queryset, request, view)

    def encode_cursor(self, cursor: Cursor) -> str:
        token = self._signer.sign_object([cursor.position, bool(cursor.reverse)])
        return replace_query_param(self.base_url or "", self.cursor_query_param, token)

    def decode_cursor(self, request: Request) -> Cursor | None:
        token = request.query_params.get(self.cursor_query_param)
        if token is None:
            return None
        try:
            position, reverse = self._signer.unsign_object(token)
        except BadSignature:
            raise ValidationError(
                {self.cursor_query_param: ["Not a cursor of this list. Follow next and previous."]}
            ) from None
        return Cursor(offset=0, reverse=reverse, position=position)


class HistoryPagination(KeysetPagination):
    """Oldest first: a task's history is read in the order in which it happened."""

    ordering = "seq"


class AttemptPagination(KeysetPagination):
    """A goal's attempts in the order of their number."""

    ordering = "number"
