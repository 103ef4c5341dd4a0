"""Lists over tables that may hold millions of rows: pages by key, counts with a cap."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest

#: Beyond this a count says "more than".
COUNT_CAP = 10_000
OLDER, NEWER = "before", "after"
#: Parameters of the page that filter nothing.
_OWN = (OLDER, NEWER, "refresh", "_changelist_filters")


class CappedCount(int):
    """A number of rows, or the cap where there are more."""

    def __new__(cls, counted: int, cap: int = COUNT_CAP) -> CappedCount:
        self = super().__new__(cls, min(counted, cap))
        self.is_capped = counted > cap
        return self

    is_capped: bool

    def __str__(self) -> str:
        return f"{int(self):,}{'+' if self.is_capped else ''}"


def capped_count(rows: QuerySet[Any], cap: int = COUNT_CAP) -> CappedCount:
    """Count at most ``cap`` + 1 rows, so that the database stops early."""
    return CappedCount(rows.order_by().values("pk")[: cap + 1].count(), cap)


class StrictChangeList(ChangeList):
    """Takes the filters that the page offers, and no other question about the columns."""

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        """The filters that were asked for; one that does not exist sends back to the plain list."""
        found: dict[str, Any] = super().get_filters_params(params)
        known = {getattr(spec, "parameter_name", None) for spec in self.list_filter}
        asked = {name: value for name, value in found.items() if name not in _OWN}
        if not asked.keys() <= known:
            raise IncorrectLookupParameters(", ".join(sorted(asked.keys() - known)))
        return asked


class KeysetChangeList(StrictChangeList):
    """Newest first by primary key; ``before`` and ``after`` name the row where a page begins.

    However deep one pages, a page costs the same, and rows that arrive meanwhile shift nothing.
    """

    older_url: str | None = None
    newer_url: str | None = None
    newest_url: str | None = None

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        return ["-pk"]

    def get_results(self, request: HttpRequest) -> None:
        older, newer = self._key(OLDER), self._key(NEWER)
        rows, more = self._page(older, newer)
        self.result_list = rows
        whole = not more and older is None and newer is None
        self.result_count = CappedCount(len(rows)) if whole else capped_count(self.queryset)
        self._link(rows, more, older, newer)
        self.full_result_count = None
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = bool(rows)

    def _page(self, older: Any, newer: Any) -> tuple[list[Model], bool]:
        """The rows of the page, and whether there are more in the direction of travel."""
        size = self.list_per_page
        if newer is not None:
            rows = list(self.queryset.filter(pk__gt=newer).order_by("pk")[: size + 1])
            return rows[:size][::-1], len(rows) > size
        page = self.queryset if older is None else self.queryset.filter(pk__lt=older)
        rows = list(page[: size + 1])
        return rows[:size], len(rows) > size

    def _link(self, rows: list[Model], more: bool, older: Any, newer: Any) -> None:
        plain: dict[str, Any] = {OLDER: None, NEWER: None}
        if older is not None or newer is not None:
            self.newest_url = self.get_query_string(plain)
        if rows and (more or newer is not None):
            self.older_url = self.get_query_string({**plain, OLDER: rows[-1].pk})
        if rows and (older is not None or (newer is not None and more)):
            self.newer_url = self.get_query_string({**plain, NEWER: rows[0].pk})
        if newer is not None and not more:  # the top is reached: show it as everybody sees it
            self.newer_url = None

    def _key(self, parameter: str) -> Any:
        """The primary key in a parameter; None where it is missing or malformed."""
        try:
            return self.lookup_opts.pk.to_python(self.params.get(parameter) or None)
        except (ValidationError, ValueError, OverflowError):
            return None

    def get_query_string(self, new_params: Any = None, remove: Any = None) -> str:
        """A link within the list. A changed filter begins at the newest row again."""
        paging = (
            {} if new_params and {OLDER, NEWER} & set(new_params) else {OLDER: None, NEWER: None}
        )
        return super().get_query_string({**(new_params or {}), **paging}, remove)
