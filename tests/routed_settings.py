"""Settings of worker processes whose tasks are in a database of their own (``tests/routed.py``)."""

from __future__ import annotations

from django.db.backends.signals import connection_created

from tests import routed
from tests.settings import *  # noqa: F403

DATABASE_ROUTERS = ["tests.routed.Router"]
connection_created.connect(routed.watch, dispatch_uid="tests.routed")
