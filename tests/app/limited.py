"""Tasks with limits. A worker process knows them where ``TASKS_MODULE`` says "limited", and those of ``tasks``."""

from __future__ import annotations

import time

from django_tasktrack import task
from tests import ledger
from tests.app import tasks  # noqa: F401  its tasks are known then too


@task(rate_limit="10/m")
def sends(number: int) -> int:
    return number


@task(rate_limit=0)
def unlimited() -> None:
    """Of no rate, whatever the settings say."""


@task(concurrency=(lambda key, **_: f"apart:{key}" if key else None, 2))
def apart(key: str) -> str:
    """Two of each key at once; those of none as they like."""
    return key


@task(concurrency=("printer", 1))
def printed() -> str:
    return "printed"


@task(concurrency=(lambda customer, *_: f"sync:{customer}", 2))
def sync(customer: int, seconds: float) -> int:
    """Two of a customer at once, as the ledger can tell."""
    ledger.write("began", customer)
    time.sleep(seconds)
    ledger.write("ended", customer)
    return customer
