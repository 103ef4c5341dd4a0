"""Whether the database is as the tasks need it, and agrees with this machine about the time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

from django.core.checks import ERROR, CheckMessage
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from .. import checks
from ..vendors import Vendor
from ..words import span
from .findings import Finding, good, note, problem, warning

#: Clocks that differ by less are taken to agree.
_AGREED = timedelta(seconds=1)


def of_database(vendor: Vendor) -> Iterator[Finding]:
    """What can be told of it without reading a task."""
    lacking = _lacking_migrations(vendor)
    if lacking:
        option = "" if vendor.using == "default" else f" --database {vendor.using}"
        yield problem(
            "migrations_lacking",
            f"The database {vendor.using!r} lacks migrations of this app: {', '.join(lacking)}.",
            f"manage.py migrate{option}",
        )
        return
    yield good(
        "database", f"The database {vendor.using!r} ({vendor.connection.display_name}) is migrated."
    )
    yield _of_clock(vendor)
    yield from _of_journal(vendor)
    for message in _messages(vendor):
        if not message.is_silenced():
            yield _of_check(message)


def _lacking_migrations(vendor: Vendor) -> list[str]:
    executor = MigrationExecutor(vendor.connection)
    ours = executor.loader.graph.leaf_nodes("tasktrack")
    return [migration.name for migration, _ in executor.migration_plan(ours)]


def _of_clock(vendor: Vendor) -> Finding:
    """Only what people read suffers where clocks differ: the engine asks the database's."""
    began = time.monotonic()
    theirs = vendor.now()
    trip = timedelta(seconds=time.monotonic() - began)
    skew = theirs + trip / 2 - timezone.now()
    if abs(skew) <= _AGREED + trip:
        return good(
            "clock",
            f"The clocks of this machine and of the database agree (within {span(abs(skew))}).",
        )
    word = "ahead of" if skew > timedelta(0) else "behind"
    return warning(
        "clock_skew",
        f"The database's clock is {span(abs(skew))} {word} this machine's.",
        "Tasks run by the database's. An eta= or expires= that is made of this machine's time is off by as "
        "much: let NTP set both.",
    )


def _of_journal(vendor: Vendor) -> Iterator[Finding]:
    if vendor.connection.vendor != "sqlite" or vendor.connection.is_in_memory_db():  # type: ignore[attr-defined]
        return
    with vendor.connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        (mode,) = cursor.fetchone()
    if str(mode).lower() != "wal":
        yield warning(
            "sqlite_journal",
            f"SQLite's journal_mode is {mode}: readers and the one writer wait for each other.",
            'Set "init_command": "PRAGMA journal_mode=WAL" in OPTIONS.',
        )
    timeout = float(vendor.connection.settings_dict.get("OPTIONS", {}).get("timeout", 5.0))
    if timeout < 10:
        yield note(
            "sqlite_timeout",
            f"A writer of SQLite waits for others for {timeout:g} s before “database is locked”.",
            'Set "timeout": 30 in OPTIONS.',
        )


def _messages(vendor: Vendor) -> Iterator[CheckMessage]:
    yield from checks.check_router()
    yield from checks.check_sqlite(databases=[vendor.using])
    yield from checks.check_mariadb(databases=[vendor.using])


def _of_check(message: CheckMessage) -> Finding:
    made = problem if message.level >= ERROR else warning
    return made(str(message.id), str(message.msg), str(message.hint or ""))
