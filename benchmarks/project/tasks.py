"""The bodies as tasks of django-tasktrack, which finds them here."""

from __future__ import annotations

from benchmarks import work
from django_tasktrack import task


@task
def noop(number: int) -> int:
    return work.noop(number)


@task
async def anoop(number: int) -> int:
    return await work.anoop(number)


@task
def touch(number: int) -> int:
    return work.touch(number)
