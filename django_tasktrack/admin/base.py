"""What all pages of this app in the admin share: they show, and they save nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

_Model = TypeVar("_Model", bound=Model)

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
else:

    class ModelAdmin(admin.ModelAdmin):
        """Django's class, which has type parameters for type checkers only."""

        def __class_getitem__(cls, item: Any) -> type[ModelAdmin]:
            return cls


__all__ = ["REFRESH", "ModelAdmin", "ReadOnlyAdmin", "may", "refresh_context"]

#: Seconds that ``?refresh=`` may ask for; anything else is ignored.
REFRESH = (5, 10, 30, 60)


def may(user: AbstractBaseUser | AnonymousUser, codename: str) -> bool:
    """Whether the user holds a permission of this app."""
    # Anonymous users have the method too; user classes of a project's own may come without it.
    allowed = getattr(user, "has_perm", None)
    return bool(allowed and allowed(f"tasktrack.{codename}"))


def refresh_context(request: HttpRequest) -> dict[str, Any]:
    """What the page needs to load itself again, without a script."""
    given = request.GET.get("refresh", "")
    seconds = int(given) if given in map(str, REFRESH) else 0
    query = request.GET.copy()
    query.pop("refresh", None)
    links = [(0, f"?{query.urlencode()}")]
    for choice in REFRESH:
        query["refresh"] = str(choice)
        links.append((choice, f"?{query.urlencode()}"))
    return {"refresh": seconds, "refresh_links": links}


class ReadOnlyAdmin(ModelAdmin[_Model]):
    """Lists and pages that only show. Subclasses name the template of the page and fill it."""

    page_template = ""
    actions: Any = None
    show_full_result_count = False
    list_per_page = 50
    sortable_by = ()

    class Media:
        css = {"all": ["tasktrack/admin.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: _Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: _Model | None = None) -> bool:
        return False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        title = str(self.opts.verbose_name_plural)
        return super().changelist_view(
            request,
            {
                "title": title[:1].upper() + title[1:],
                **refresh_context(request),
                **(extra_context or {}),
            },
        )

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The page of one row; there is no form behind it."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            return self.gone(request, unquote(object_id))
        context = {
            **self.admin_site.each_context(request),
            "title": str(row),
            "opts": self.opts,
            "original": row,
            "media": self.media,
            "has_view_permission": True,
            **refresh_context(request),
            **self.page_context(request, row),
            **(extra_context or {}),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, self.page_template, context)

    def page_context(self, request: HttpRequest, row: _Model) -> dict[str, Any]:
        """What the template of the page needs beside the row."""
        raise NotImplementedError

    def gone(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The answer for a row that does not exist: the list, with a word about it."""
        text = _("There is no %(name)s “%(id)s”.")
        given = {"name": self.opts.verbose_name, "id": object_id[:100]}
        self.message_user(request, text % given, messages.WARNING)
        return HttpResponseRedirect(self.list_url())

    def list_url(self) -> str:
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"
        return reverse(name, current_app=self.admin_site.name)
