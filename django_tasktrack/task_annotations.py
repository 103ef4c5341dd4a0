"""Options of tasks that the settings give, by the task's name: ``TASK_ANNOTATIONS``, as Celery has it.

What is said of a task by its name goes before what is said by globs, and that before what is said of all
(``"*"``); all of it goes before what the task declares.
"""

from __future__ import annotations

import fnmatch
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from .exceptions import nearest
from .retention import WORDS

#: What can be given for a task without touching its code.
OPTIONS = frozenset(
    {
        "queue",
        "priority",
        "max_retries",
        "default_retry_delay",
        "autoretry_for",
        "dont_autoretry_for",
    }
    | {"retry_backoff", "retry_backoff_max", "retry_jitter", "track_started", "time_limit"}
    | {"soft_time_limit", "on_lost", "unique_key", "serializer", "ignore_result"}
    | {"store_errors_even_if_ignored", "rate_limit", "retry_kwargs", "throws"}
    | {"acks_late", "reject_on_worker_lost", "concurrency", *WORDS}
)
_EVERY = "*".__eq__
_HINT = "Give {'tasks.add': {'time_limit': 60}}, or a list of such dicts; 'tasks.*' is a glob."


def of_task(given: Any, name: str) -> dict[str, Any]:
    """What the setting says of the task of this name; nothing where the setting is wrong."""
    if next(problems(given), None) is not None:
        return {}  # while Django starts: its checks say so
    found: dict[str, Any] = {}
    for says in (_EVERY, _of_some(name), name.__eq__):
        for part in reversed(_parts(given)):  # the first one is followed
            for which in reversed(list(part)):
                found |= part[which] if says(which) else {}
    return found


def _of_some(name: str) -> Callable[[str], bool]:
    """Whether a key is a glob that fits the name, other than that for all."""
    return lambda which: _is_glob(which) and which != "*" and fnmatch.fnmatchcase(name, which)


def _is_glob(which: str) -> bool:
    return any(sign in which for sign in "*?[")


def names(given: Any) -> list[str]:
    """The tasks that the setting names, other than by globs."""
    return [name for part in _parts(given) for name in part if not _is_glob(name)]


def _parts(given: Any) -> Sequence[Any]:
    if not given:
        return ()
    return given if isinstance(given, (list, tuple)) else (given,)


def problems(given: Any) -> Iterator[tuple[str, str]]:
    """What is wrong with the setting."""
    for part in _parts(given):
        if not isinstance(part, Mapping):
            yield f"{reprlib.repr(part)} annotates nothing.", _HINT
            continue
        for name, options in part.items():
            if not isinstance(name, str) or not isinstance(options, Mapping):
                yield f"{name!r}: {reprlib.repr(options)} is no annotation.", _HINT
                continue
            for option in options:
                if option not in OPTIONS:
                    yield f"{name!r} has no option {option!r}.", nearest(str(option), OPTIONS)
