"""As ``tests.routed_settings``, with a copy for reads that cannot be reached."""

from __future__ import annotations

from tests import databases, routed
from tests.routed_settings import *  # noqa: F403
from tests.routed_settings import DATABASES

DATABASES["replica"] = databases.beside(DATABASES[routed.TASKS], "/nowhere")
DATABASE_ROUTERS = ["tests.routed.Lagging"]
