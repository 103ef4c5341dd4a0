"""Options of Celery's tasks and calls that change nothing here: they are taken, and left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Why, and the options of ``@app.task``.
OF_TASKS: Mapping[str, str] = {
    "a task is known to all apps, from its declaration on": "shared lazy autofinalize",
    "arguments are always checked": "typing strict",
    "children are always found": "trail",
    "every change of state is a row of history": "send_events",
    "the database stores payloads": "compression",
    "a task that has ended in FAILURE is not run again": "acks_on_failure_or_timeout",
    "there is nothing of the kind here": "resultrepr_maxsize request_stack_limit pydantic_strict",
}
#: Why, and the options of calls.
OF_CALLS: Mapping[str, str] = {
    "the database is the broker": "producer publisher connection exchange_type delivery_mode mandatory",
    "a call is a row, in the caller's own transaction": "retry retry_policy",
    "the database stores payloads": "compression",
    "a row knows its parent, and who shows it cuts it": "add_to_parent shadow argsrepr kwargsrepr",
}

_OF_TASKS = frozenset(name for names in OF_TASKS.values() for name in names.split())
_OF_CALLS = frozenset(name for names in OF_CALLS.values() for name in names.split())


def of_task(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a task that mean something here."""
    return {name: value for name, value in given.items() if name not in _OF_TASKS}


def of_call(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a call that mean something here; Celery's "json" is what a task says anyway."""
    found = {name: value for name, value in given.items() if name not in _OF_CALLS}
    if found.get("serializer") in (None, "json"):
        found.pop("serializer", None)
    return found
