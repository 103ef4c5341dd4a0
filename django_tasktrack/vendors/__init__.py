"""SQL by database: one specification in portable ORM, and faster ways where a database has them."""

from __future__ import annotations

from functools import cache

from django.db import connections, router

from . import errors
from .base import Vendor
from .postgresql import PostgreSQLVendor
from .sqlite import SQLiteVendor

_VENDORS: dict[str, type[Vendor]] = {"postgresql": PostgreSQLVendor, "sqlite": SQLiteVendor}


@cache
def vendor_for(using: str) -> Vendor:
    """The vendor of a database alias. It keeps no state: every thread may share it."""
    return _VENDORS.get(connections[using].vendor, Vendor)(using)


def task_database() -> str:
    """The alias of the database that holds the tasks."""
    from ..models import TrackedTask

    return router.db_for_write(TrackedTask)


__all__ = ["Vendor", "errors", "task_database", "vendor_for"]
