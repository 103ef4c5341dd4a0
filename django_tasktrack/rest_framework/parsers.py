"""How a request's body is read: JSON in UTF-8, short, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from .exceptions import BodyTooLarge

MAX_BODY_BYTES = 64 * 1024


class ShortJSONParser(JSONParser):
    """REST framework's JSON parser within bounds. Forms and other media types are answered 415."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        body = stream.read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge(f"The body is longer than {MAX_BODY_BYTES:,} bytes.")
        try:
            return super().parse(BytesIO(body), media_type, parser_context)
        except RecursionError:
            raise ParseError("JSON parse error - nested too deeply") from None
