"""Task ids: time-ordered UUIDs that can be told apart from ids that were never issued here.

An id is a UUIDv7 whose last 24 bits are a keyed checksum of the other 104, so an id without a row is
known to be ours or not (docs/adr/0002-expired-or-unknown.md). The checksum authenticates nothing else.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from uuid import UUID

import uuid_utils
from django.conf import settings
from django.utils.encoding import force_bytes

from .exceptions import InvalidTask

_TAG_BITS = 24
_TAG_MASK = (1 << _TAG_BITS) - 1
_BEGINNING = re.compile(r"[0-9a-f]{8,32}", re.IGNORECASE)


@lru_cache(maxsize=16)
def _key(secret: str | bytes) -> bytes:
    return hashlib.blake2b(force_bytes(secret), digest_size=32, person=b"tasktrack-ids").digest()


def _tag(head: int, secret: str | bytes) -> int:
    digest = hashlib.blake2b(head.to_bytes(13, "big"), digest_size=3, key=_key(secret)).digest()
    return int.from_bytes(digest, "big")


def new_id() -> UUID:
    """A fresh id; later ids of one process sort after earlier ones."""
    head = uuid_utils.uuid7().int >> _TAG_BITS
    return UUID(int=head << _TAG_BITS | _tag(head, settings.SECRET_KEY))


def is_ours(task_id: UUID) -> bool:
    """Whether the id was issued with this project's SECRET_KEY (or one of its fallbacks).

    A foreign id passes by chance once in 16 million; ids that callers chose never do on purpose.
    """
    secrets: Iterable[str | bytes] = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    head, tag = task_id.int >> _TAG_BITS, task_id.int & _TAG_MASK
    return task_id.version == 7 and any(_tag(head, secret) == tag for secret in secrets)


def parse_id(value: object) -> UUID | None:
    """The UUID that ``value`` spells, or None where it spells none."""
    if isinstance(value, UUID):
        return value
    try:
        return UUID(str(value))
    except ValueError:
        return None


def required_id(value: object) -> UUID:
    """The UUID that ``value`` spells.

    Raises:
        InvalidTask: it spells none.
    """
    task_id = parse_id(value)
    if task_id is None:
        raise InvalidTask(
            f"task_id={value!r} is not a UUID.",
            hint="Leave it out, or pass uuid.uuid4() or its string.",
        )
    return task_id


def bounds(text: str) -> tuple[UUID, UUID] | None:
    """First and last id that a text, a whole id or its first eight digits or more, may mean."""
    whole = parse_id(text)
    if whole:
        return whole, whole
    digits = text.replace("-", "")
    if not _BEGINNING.fullmatch(digits):
        return None
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))


def first_id(at: datetime) -> UUID:
    """The smallest id that can have been made at this time."""
    return first_id_of(int(at.timestamp() * 1000))


def first_id_of(milliseconds: int) -> UUID:
    """The smallest id of this millisecond since 1970: a UUIDv7 begins with it."""
    return UUID(int=max(0, milliseconds) << 80)


def milliseconds_of(task_id: UUID) -> int:
    """When an id of version 7 was made, in milliseconds since 1970."""
    return task_id.int >> 80
