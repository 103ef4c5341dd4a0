"""Receivers that note what they hear."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from django_tasktrack.signals import Signal


class Heard(NamedTuple):
    """One signal, as a receiver got it, with the exception that was being handled."""

    name: str
    sender: object
    given: dict[str, Any]
    handled: BaseException | None


@contextmanager
def listening(*signals: Signal, sender: object = None) -> Iterator[list[Heard]]:
    """Note what is sent by these, for a block."""
    heard: list[Heard] = []

    def receiver(signal: Signal, sender: object, **given: Any) -> None:
        heard.append(Heard(signal.name, sender, given, sys.exc_info()[1]))

    for signal in signals:
        signal.connect(receiver, sender=sender)
    try:
        yield heard
    finally:
        for signal in signals:
            assert signal.disconnect(receiver, sender=sender)


def names(heard: list[Heard]) -> list[str]:
    return [one.name for one in heard]
