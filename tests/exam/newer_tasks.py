"""A task that only the newer version of the code has (``newer``)."""

from __future__ import annotations

from django_tasktrack import task
from tests import ledger


@task
def novel(number: int) -> None:
    ledger.write("began", number)
    ledger.write("ended", number)
