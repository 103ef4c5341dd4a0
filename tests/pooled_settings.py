"""Settings of worker processes whose bodies share the few sessions of a pool (PostgreSQL)."""

from __future__ import annotations

import os
from typing import Any

from tests import settings
from tests.settings import *  # noqa: F403

#: How many sessions each process has; 2 if it is not set.
SESSIONS = "TASKTRACK_TEST_POOL"

_POOL = {"min_size": 1, "max_size": int(os.environ.get(SESSIONS, "2")), "timeout": 5}
_DATABASE: dict[str, Any] = settings.DATABASES["default"]
# A copy: tests import this module too, and go on with what they have.
DATABASES = {
    **settings.DATABASES,
    "default": {**_DATABASE, "OPTIONS": {**_DATABASE.get("OPTIONS", {}), "pool": _POOL}},
}
