"""When a poll may be answered with 304: while nothing but the passing of time has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from django.http import HttpResponse
from django.utils.cache import get_conditional_response
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response


def weak_etag(rows: Sequence[dict[str, Any]]) -> str:
    """A weak ETag over status rows. The time left shrinks by itself and is no news."""
    content = JSONRenderer().render([_without_eta(row) for row in rows])
    return f'W/"{hashlib.blake2b(content, digest_size=16).hexdigest()}"'


def _without_eta(row: dict[str, Any]) -> dict[str, Any]:
    progress = row["progress"]
    return {**row, "progress": progress and {**progress, "eta": None}}


def conditional(request: Request, response: Response, etag: str) -> HttpResponse:
    """``response`` with its ETag, or 304 where the client has it already."""
    response["ETag"] = etag
    answer = get_conditional_response(request._request, etag=etag, response=response)
    return answer or response
