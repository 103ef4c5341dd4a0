"""The package's own tasks, which workers always know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asgiref.sync import async_to_sync

from .. import registry
from ..declaration import task


@task(name="tasktrack.map", max_retries=0, serializer="tagged", ignore_result=False)
def call_with_each(name: str, values: Sequence[Any]) -> list[Any]:
    """What ``xmap`` runs."""
    return [_call(name, [value]) for value in values]


@task(name="tasktrack.starmap", max_retries=0, serializer="tagged", ignore_result=False)
def call_with_each_list(name: str, lists: Sequence[Sequence[Any]]) -> list[Any]:
    """What ``xstarmap`` runs."""
    return [_call(name, arguments) for arguments in lists]


@task(name="tasktrack.accumulate", max_retries=0, serializer="tagged", ignore_result=False)
def accumulate(values: list[Any]) -> list[Any]:
    """Between two groups: it waits for all of the first, so that not each of the second has to."""
    return values


def _call(name: str, arguments: Sequence[Any]) -> Any:
    definition = registry.get(name)
    body = async_to_sync(definition.body) if definition.is_async else definition.body
    return body(*arguments)
