"""The answer for addresses of this API where nothing is, ids that are none among them: JSON too."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import NotFound
from rest_framework.request import Request

from ..models import TrackedTask
from .endpoint import Endpoint

_NAMES = ("get", "head", "options", "post", "put", "patch", "delete")
METHODS: dict[str, Any] = dict.fromkeys(_NAMES, "nothing")


class Nowhere(Endpoint[TrackedTask]):
    """404 for everybody who may ask at all, whatever the method."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise NotFound

    def nothing(self, request: Request) -> None:
        """Never reached: a view set's methods need a handler."""
